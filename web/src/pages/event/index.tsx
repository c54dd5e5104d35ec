// Owns the page of an event before and after it is live: what it is, when it begins, and its tabs.

import { useComputed } from "@preact/signals";
import type { ReadonlySignal } from "@preact/signals";
import type { JSX } from "preact";
import { useCallback, useEffect, useMemo } from "preact/hooks";
import { isStaff, roleOf, sessionOf } from "../../claims";
import { toldAs } from "../../components/context";
import { Page } from "../../components/header";
import { Icon } from "../../components/icons";
import { Problem } from "../../components/problem";
import { t } from "../../i18n";
import type { SessionId } from "../../protocol";
import { useLoading } from "../loading";
import type { Fault } from "../loading";
import { Refusal } from "../outcome";
import { After } from "./after";
import { createEventApi } from "./api";
import { Checks } from "./checks";
import type { EventDesk } from "./desk";
import { Draft } from "./draft";
import { EventHead } from "./head";
import type { EventFacts } from "./model";
import { Points } from "./points";
import { RunOfShow } from "./show";
import { TabBar, TabPanel, useTab } from "./tabs";
import type { Tab } from "./tabs";

/** Seldom: who looks at contacts stands in the audit, and points come and go by the hour. */
const REFRESH_MS = 30_000;

interface EventPageProps {
  readonly token: string;
  /** "" is that of the token. */
  readonly event: string;
}

export function EventPage({ token, event }: EventPageProps): JSX.Element {
  const session = event === "" ? sessionOf(token) : (event as SessionId);
  if (token === "" || session === null) return <Refusal code="notAuthorised" onAgain={null} />;
  return <OneEvent token={token} session={session} />;
}

function OneEvent({ token, session }: { readonly token: string; readonly session: SessionId }): JSX.Element {
  const api = useMemo(() => createEventApi(token, session), [token, session]);
  const { found, fault, load } = useLoading(useCallback(() => api.event(), [api]), REFRESH_MS);
  const first = found.value;
  if (first === null && fault.value !== null && fault.value !== "network") {
    return <Refusal code={fault.value} onAgain={null} />;
  }
  return (
    <Page wide title={t("event.page")}>
      {fault.value !== null && <Unloaded fault={fault.value} load={load} />}
      {first === null ? (
        <p class="waiting" role="status">
          {fault.value === null ? t("app.loading") : ""}
        </p>
      ) : (
        <Known token={token} session={session} api={api} found={found} first={first} load={load} />
      )}
    </Page>
  );
}

interface KnownProps {
  readonly token: string;
  readonly session: SessionId;
  readonly api: EventDesk["api"];
  readonly found: ReadonlySignal<EventFacts | null>;
  /** As it was when it came for the first time. */
  readonly first: EventFacts;
  readonly load: () => Promise<void>;
}

function Known({ token, session, api, found, first, load }: KnownProps): JSX.Element {
  const event = useComputed(() => found.value ?? first);
  const manages = isStaff(token) || roleOf(token) === "organiser";
  const changes = manages && event.value.state !== "ended";
  const desk = useMemo<EventDesk>(
    () => ({ token, session, api, event, manages, changes, load }),
    [token, session, api, event, manages, changes, load],
  );
  const draft = useMemo(() => new Draft(first.agenda), []);
  const { agenda } = event.value;
  useEffect(() => draft.hear(agenda), [draft, agenda]);
  const tab = useTab();
  return (
    <>
      <EventHead desk={desk} />
      <TabBar tab={tab} label={t("event.page")} />
      <TabPanel tab={tab.value}>
        <Opened tab={tab.value} desk={desk} draft={draft} />
      </TabPanel>
    </>
  );
}

interface OpenedProps {
  readonly tab: Tab;
  readonly desk: EventDesk;
  /** Lives as long as the page, so that nothing unsaved is lost by looking at another tab. */
  readonly draft: Draft;
}

function Opened({ tab, desk, draft }: OpenedProps): JSX.Element {
  switch (tab) {
    case "points":
      return <Points desk={desk} />;
    case "show":
      return <RunOfShow desk={desk} draft={draft} />;
    case "checks":
      return <Checks desk={desk} />;
    case "after":
      return <After desk={desk} />;
  }
}

function Unloaded({ fault, load }: { readonly fault: Exclude<Fault, null>; readonly load: () => Promise<void> }): JSX.Element {
  return (
    <Problem code={fault}>
      <p>{t(`refused.${toldAs(fault)}`)}</p>
      <p>{t(`refused.${toldAs(fault)}.todo`)}</p>
      <button type="button" class="button" onClick={() => void load()}>
        <Icon name="retry" />
        {t("sessions.reload")}
      </button>
    </Problem>
  );
}
