// Owns one session in the list: who is connected, its links by role and point, and ending it.

import { useSignal } from "@preact/signals";
import type { Signal } from "@preact/signals";
import type { JSX } from "preact";
import { useCallback, useEffect } from "preact/hooks";
import { ApiError } from "../api";
import type { Api, InviteEntry, SessionDetail, SessionEntry } from "../api";
import { toldAs } from "../components/context";
import { Confirm } from "../components/dialog";
import { Icon } from "../components/icons";
import { Problem } from "../components/problem";
import { formatWhen, t } from "../i18n";
import type { Participant, Role } from "../protocol";
import { InviteForm, InviteRow } from "./invites";
import { Recordings } from "./recordings";
import { eventLink } from "./link";
import { LineQuality } from "./session/strip";
import type { Fault } from "./loading";

const REFRESH_MS = 5_000;

interface RowProps {
  readonly api: Api;
  readonly token: string;
  readonly entry: SessionEntry;
  readonly open: boolean;
  readonly onToggle: () => void;
  readonly onChanged: () => void;
}

export function SessionRow({ api, token, entry, open, onToggle, onChanged }: RowProps): JSX.Element {
  const asked = useSignal(false);
  const fault = useSignal<Fault>(null);
  const running = entry.state === "open";
  const act = (work: Promise<void>): void => {
    work.then(
      () => {
        fault.value = null;
        onChanged();
      },
      (error: unknown) => (fault.value = error instanceof ApiError ? error.code : "internal"),
    );
  };
  return (
    <li class="card session-row" data-testid="session-row" data-session={entry.id} data-state={entry.state}>
      <div class="session-row-head">
        <div class="session-row-title">
          <h3>{entry.title}</h3>
          <p>
            {t(`kind.${entry.kind}`)} ·{" "}
            {entry.startedAt === null
              ? t("sessions.created", { when: formatWhen(entry.createdAt, Date.now()) })
              : t("sessions.started", { when: formatWhen(entry.startedAt, Date.now()) })}
            {running && ` · ${t("sessions.connected", { count: entry.connected })}`}
            {running && ` · ${t(`recording.mode.${entry.record}`)}`}
          </p>
        </div>
        {entry.format === "event" && (
          <a class="button" href={eventLink(token, entry.id)} data-testid="to-event">
            <Icon name="wall" />
            {t("event.open")}
          </a>
        )}
        {running ? (
          <Toggle open={open} word={t("sessions.details")} testId="session-details" onToggle={onToggle} />
        ) : (
          <Toggle open={open} word={t("recording.list")} testId="session-recordings" onToggle={onToggle} />
        )}
      </div>
      {fault.value !== null && (
        <Problem code={fault.value}>
          <p>{t("said.failed", { reason: t(`refused.${toldAs(fault.value)}`) })}</p>
        </Problem>
      )}
      {running && open && <Details api={api} entry={entry} act={act} onEnd={() => (asked.value = true)} />}
      {open && (entry.record !== "never" || !running) && <Recordings api={api} token={token} session={entry.id} />}
      {asked.value && (
        <Confirm
          question={t("sessions.endAsk", { title: entry.title })}
          yes={t("sessions.end")}
          onYes={() => act(api.endSession(entry.id))}
          onClose={() => (asked.value = false)}
        />
      )}
    </li>
  );
}

interface ToggleProps {
  readonly open: boolean;
  readonly word: string;
  readonly testId: string;
  readonly onToggle: () => void;
}

function Toggle({ open, word, testId, onToggle }: ToggleProps): JSX.Element {
  return (
    <button type="button" class="button" aria-expanded={open} data-testid={testId} onClick={onToggle}>
      <Icon name="down" />
      {open ? t("sessions.hide") : word}
    </button>
  );
}

interface DetailsProps {
  readonly api: Api;
  readonly entry: SessionEntry;
  readonly act: (work: Promise<void>) => void;
  readonly onEnd: () => void;
}

function Details({ api, entry, act, onEnd }: DetailsProps): JSX.Element {
  const detail = useSignal<SessionDetail | null>(null);
  const load = useDetail(api, entry.id, detail);
  if (!detail.value) return <p role="status">{t("app.loading")}</p>;
  const { invites, participants } = detail.value;
  const valid = invites.filter(({ revoked }) => !revoked);
  return (
    <div class="session-details">
      <div class="session-start">
        <StartButton api={api} entry={entry} invites={valid} role="hub" act={act} />
        <StartButton api={api} entry={entry} invites={valid} role="organiser" act={act} />
        <button type="button" class="button danger-quiet" data-testid="end-session" onClick={onEnd}>
          <Icon name="end" />
          {t("sessions.end")}
        </button>
      </div>
      <section aria-label={t("sessions.links")}>
        <h4>{t("sessions.links")}</h4>
        <p class="note">{t("sessions.linksHint")}</p>
        <ul class="invites">
          {valid.map((invite) => (
            <InviteRow key={invite.id} api={api} session={entry.id} invite={invite} onChanged={load} />
          ))}
        </ul>
        <InviteForm api={api} session={entry.id} onCreated={load} />
      </section>
      <Points participants={participants} />
    </div>
  );
}

function useDetail(api: Api, session: string, detail: Signal<SessionDetail | null>): () => void {
  const load = useCallback(() => {
    // The list above says what is wrong with the server; here the last known state stays.
    api.session(session).then(
      (found) => (detail.value = found),
      () => undefined,
    );
  }, [api, session, detail]);
  useEffect(() => {
    load();
    const timer = setInterval(() => {
      if (!document.hidden) load();
    }, REFRESH_MS);
    return () => clearInterval(timer);
  }, [load]);
  return load;
}

interface StartProps {
  readonly api: Api;
  readonly entry: SessionEntry;
  readonly invites: readonly InviteEntry[];
  readonly role: "hub" | "organiser";
  readonly act: (work: Promise<void>) => void;
}

function StartButton({ api, entry, invites, role, act }: StartProps): JSX.Element | null {
  const invite = invites.find((one) => one.role === role);
  if (!invite) return null;
  const start = async (): Promise<void> => {
    const { link } = await api.inviteLink(entry.id, invite.id);
    location.assign(link);
  };
  return (
    <button type="button" class={role === "hub" ? "button primary" : "button"} data-testid={`start-${role}`} onClick={() => act(start())}>
      <Icon name="play" />
      {t(role === "hub" ? "sessions.startHub" : "sessions.startOrganiser")}
    </button>
  );
}

const ROLE_ORDER: readonly Role[] = ["hub", "organiser", "satellite", "viewer"];

function Points({ participants }: { readonly participants: readonly Participant[] }): JSX.Element {
  const people = [...participants].sort((a, b) => ROLE_ORDER.indexOf(a.role) - ROLE_ORDER.indexOf(b.role));
  return (
    <section aria-label={t("sessions.points")}>
      <h4>{t("sessions.points")}</h4>
      {people.length === 0 && <p class="note">{t("sessions.pointsNone")}</p>}
      <ul class="points">
        {people.map((person) => (
          <li key={person.id} data-testid="point" data-participant={person.id}>
            <span class="point-name">
              {person.name}
              {person.point !== "" && person.point !== person.name && <small>{person.point}</small>}
            </span>
            <span class="point-role">{t(`role.${person.role}`)}</span>
            <LineQuality person={person} />
          </li>
        ))}
      </ul>
    </section>
  );
}
