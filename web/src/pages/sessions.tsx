// Owns the page of whoever sets sessions up: what runs, what is ready, making one, and ending it.

import { useComputed, useSignal } from "@preact/signals";
import type { ReadonlySignal, Signal } from "@preact/signals";
import type { JSX } from "preact";
import { useCallback, useMemo } from "preact/hooks";
import { createApi } from "../api";
import type { Api, SessionEntry, SessionList } from "../api";
import { toldAs } from "../components/context";
import { Page } from "../components/header";
import { Icon } from "../components/icons";
import { Problem } from "../components/problem";
import { t } from "../i18n";
import type { Key } from "../i18n";
import type { SessionId } from "../protocol";
import { studyLink } from "./link";
import { useLoading } from "./loading";
import type { Fault } from "./loading";
import { NewSessionForm } from "./newsession";
import { SessionRow } from "./sessionrow";

/** Often enough to see a clinic come in, seldom enough to cost nothing. */
const REFRESH_MS = 5_000;

export function SessionsPage({ token }: { readonly token: string }): JSX.Element {
  if (token === "") {
    return (
      <Page title={t("sessions.title")}>
        <h1>{t("sessions.title")}</h1>
        <Problem code="noToken" mild>
          <p>{t("sessions.noToken")}</p>
        </Problem>
      </Page>
    );
  }
  return <Sessions token={token} />;
}

function Sessions({ token }: { readonly token: string }): JSX.Element {
  const api = useMemo(() => createApi(token), [token]);
  const opened = useSignal<SessionId | null>(null);
  const { found: list, fault, load } = useLoading(useCallback(() => api.sessions(), [api]), REFRESH_MS);
  return (
    <Page wide title={t("sessions.title")}>
      <div class="sessions">
        <div class="sessions-list">
          <div class="sessions-head">
            <h1>{t("sessions.title")}</h1>
            <a class="button" href={studyLink(token)} data-testid="to-studies">
              <Icon name="studies" />
              {t("reader.title")}
            </a>
          </div>
          {fault.value !== null && (
            <Problem code={fault.value}>
              <p>{t(`refused.${toldAs(fault.value)}`)}</p>
              <p>{t(`refused.${toldAs(fault.value)}.todo`)}</p>
              <button type="button" class="button" onClick={() => void load()}>
                <Icon name="retry" />
                {t("sessions.reload")}
              </button>
            </Problem>
          )}
          <List api={api} token={token} list={list} opened={opened} fault={fault} load={load} />
        </div>
        <NewSessionForm
          api={api}
          usual={list.value?.usual ?? null}
          onCreated={(id) => {
            opened.value = id;
            void load();
          }}
        />
      </div>
    </Page>
  );
}

interface ListProps {
  readonly api: Api;
  readonly token: string;
  readonly list: ReadonlySignal<SessionList | null>;
  readonly opened: Signal<SessionId | null>;
  readonly fault: ReadonlySignal<Fault>;
  readonly load: () => Promise<void>;
}

function List({ api, token, list, opened, fault, load }: ListProps): JSX.Element {
  const groups = useComputed(() => groupSessions(list.value?.sessions ?? []));
  if (list.value === null) {
    return <p role="status">{fault.value === null ? t("app.loading") : ""}</p>;
  }
  if (list.value.sessions.length === 0) return <p class="sessions-none">{t("sessions.none")}</p>;
  const rows = (entries: readonly SessionEntry[]) => (
    <ul class="session-rows">
      {entries.map((entry) => (
        <SessionRow
          key={entry.id}
          api={api}
          token={token}
          entry={entry}
          open={opened.value === entry.id}
          onToggle={() => (opened.value = opened.value === entry.id ? null : entry.id)}
          onChanged={() => void load()}
        />
      ))}
    </ul>
  );
  const group = (title: Key, entries: readonly SessionEntry[]) =>
    entries.length > 0 && (
      <section aria-label={t(title)}>
        <h2>{t(title)}</h2>
        {rows(entries)}
      </section>
    );
  const { now, ready, ended } = groups.value;
  return (
    <>
      {group("sessions.now", now)}
      {group("sessions.ready", ready)}
      {ended.length > 0 && (
        <details class="ended">
          <summary>
            {t("sessions.ended")} ({ended.length})
          </summary>
          {rows(ended)}
        </details>
      )}
    </>
  );
}

interface Groups {
  readonly now: readonly SessionEntry[];
  readonly ready: readonly SessionEntry[];
  readonly ended: readonly SessionEntry[];
}

/** The newest first in each. */
export function groupSessions(sessions: readonly SessionEntry[]): Groups {
  const newest = [...sessions].sort((a, b) => b.createdAt - a.createdAt);
  const open = newest.filter(({ state }) => state === "open");
  return {
    now: open.filter(({ connected }) => connected > 0),
    ready: open.filter(({ connected }) => connected === 0),
    ended: newest.filter(({ state }) => state === "ended"),
  };
}
