// Owns the pages for when there is no session (any more): refused, removed, opened elsewhere, ended, left; with what to do.

import type { ComponentChildren, JSX } from "preact";
import { ledBy } from "../claims";
import { toldAs, useClient } from "../components/context";
import { Page } from "../components/header";
import { Icon } from "../components/icons";
import type { IconName } from "../components/icons";
import { t } from "../i18n";
import type { ErrorCode } from "../protocol";
import { withTab } from "./event/tabs";
import { eventLink, replayLink } from "./link";

interface RefusalProps {
  readonly code: ErrorCode | "offline" | "network";
  /** Null: pressing would not help. */
  readonly onAgain: (() => void) | null;
}

export function Refusal({ code, onAgain }: RefusalProps): JSX.Element {
  const told = toldAs(code);
  return (
    <Outcome icon="warning" title={t(`refused.${told}`)} todo={t(`refused.${told}.todo`)} code={code}>
      {onAgain && (
        <button type="button" class="button primary large" data-testid="again-button" onClick={onAgain}>
          <Icon name="retry" />
          {t(told === "joinedElsewhere" ? "refused.takeBack" : "refused.again")}
        </button>
      )}
    </Outcome>
  );
}

/** Also for who comes by the link of a session that is over: of that one nothing is known but the link. */
export function EndedPage({ token }: { readonly token: string }): JSX.Element {
  const client = useClient();
  const watch = ledBy(token) && client.session.value?.record !== "never";
  return (
    <Outcome icon="end" title={t("refused.sessionEnded")} todo={t("refused.sessionEnded.todo")} code="sessionEnded">
      {watch && (
        <a class="button primary large" href={replayLink(token)} data-testid="watch">
          <Icon name="recordings" />
          {t("recording.watch")}
        </a>
      )}
      {ledBy(token) && client.session.value?.format === "event" && (
        <a class="button large" href={withTab(eventLink(token), "after")} data-testid="to-event">
          <Icon name="people" />
          {t("event.lookBack")}
        </a>
      )}
    </Outcome>
  );
}

export function LeftPage(): JSX.Element {
  const client = useClient();
  return (
    <Outcome icon="leave" title={t("outcome.left")} todo={t("outcome.left.todo")} code="left">
      <button type="button" class="button primary large" data-testid="again-button" onClick={() => client.rejoin()}>
        <Icon name="retry" />
        {t("outcome.back")}
      </button>
    </Outcome>
  );
}

interface OutcomeProps {
  readonly icon: IconName;
  readonly title: string;
  readonly todo: string;
  readonly code: string;
  readonly children?: ComponentChildren;
}

function Outcome({ icon, title, todo, code, children }: OutcomeProps): JSX.Element {
  return (
    <Page title={title}>
      <div class="outcome" role="alert" data-testid="problem" data-code={code}>
        <Icon name={icon} />
        <h1>{title}</h1>
        <p>{todo}</p>
        {children}
      </div>
    </Page>
  );
}
