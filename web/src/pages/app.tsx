// Owns which page is shown: by the address, and in a session by where the client is.

import { Component } from "preact";
import type { ComponentChildren, JSX } from "preact";
import { ClientContext, useClient } from "../components/context";
import { Page } from "../components/header";
import { Icon } from "../components/icons";
import { t } from "../i18n";
import type { Client } from "../state";
import { CheckPage } from "./check";
import { EventPage } from "./event";
import { JoinPage } from "./join";
import type { Link } from "./link";
import { EndedPage, LeftPage, Refusal } from "./outcome";
import { ReadPage } from "./read";
import { ReplayPage } from "./replay";
import { SessionPage } from "./session";
import { SessionsPage } from "./sessions";

interface AppProps {
  readonly link: Link;
  /** Only the join link needs one. */
  readonly client: Client | null;
}

export function App({ link, client }: AppProps): JSX.Element {
  return (
    <Guard>
      {client === null ? (
        <Outside link={link} />
      ) : (
        <ClientContext.Provider value={client}>
          <Bridge link={link} />
        </ClientContext.Provider>
      )}
    </Guard>
  );
}

/** The pages that need no client. */
function Outside({ link }: { readonly link: Link }): JSX.Element {
  switch (link.page) {
    case "replay":
      return <ReplayPage token={link.token} recording={link.recording} />;
    case "read":
      return <ReadPage token={link.token} study={link.study} />;
    case "check":
      return <CheckPage token={link.token} />;
    case "event":
      return <EventPage token={link.token} event={link.event} />;
    default:
      return <SessionsPage token={link.token} />;
  }
}

function Bridge({ link }: { readonly link: Link }): JSX.Element {
  const client = useClient();
  const phase = client.phase.value;
  switch (phase.name) {
    case "idle":
      return link.token === "" ? <Refusal code="notAuthorised" onAgain={null} /> : <JoinPage token={link.token} now={link.now} />;
    case "joining":
      // A person who was in the session already keeps seeing it; a newcomer keeps the join page.
      return client.session.value ? <SessionPage token={link.token} /> : <JoinPage token={link.token} now={link.now} />;
    case "inSession":
    case "reconnecting":
      return client.session.value ? <SessionPage token={link.token} /> : <Returning client={client} />;
    case "refused":
      return <Refusal code={phase.code} onAgain={phase.again ? () => client.rejoin() : null} />;
    case "ended":
      return <EndedPage token={link.token} />;
    case "left":
      return <LeftPage />;
  }
}

/** After a reload, until the snapshot is there. */
function Returning({ client }: { readonly client: Client }): JSX.Element {
  return (
    <Page>
      <p class="waiting" role="status">
        {t("connection.connecting")}
      </p>
      <button type="button" class="button" onClick={() => void client.leave()}>
        <Icon name="leave" />
        {t("control.leave")}
      </button>
    </Page>
  );
}

/** A fault in drawing must not leave a doctor before an empty page. */
class Guard extends Component<{ readonly children: ComponentChildren }, { readonly failed: boolean }> {
  override state = { failed: false };

  static override getDerivedStateFromError(): { failed: boolean } {
    return { failed: true };
  }

  override render(): ComponentChildren {
    if (!this.state.failed) return this.props.children;
    return (
      <Page>
        <div class="outcome" role="alert" data-testid="problem" data-code="crash">
          <h1>{t("crash.title")}</h1>
          <p>{t("crash.todo")}</p>
          <button type="button" class="button primary large" onClick={() => location.reload()}>
            <Icon name="retry" />
            {t("crash.reload")}
          </button>
        </div>
      </Page>
    );
  }
}
