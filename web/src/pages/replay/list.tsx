// Owns the list of recordings that a link may see.

import type { JSX } from "preact";
import { useCallback } from "preact/hooks";
import { toldAs } from "../../components/context";
import { Page } from "../../components/header";
import { Icon } from "../../components/icons";
import { Problem } from "../../components/problem";
import { formatWhen, t } from "../../i18n";
import type { Recorded, ReplayApi } from "../../replay/api";
import { replayLink } from "../link";
import { useLoading } from "../loading";
import { formatLength, formatSize } from "./view";

/** Seldom: every look is written into the audit. */
const REFRESH_MS = 60_000;

export function RecordingsPage({ api, token }: { readonly api: ReplayApi; readonly token: string }): JSX.Element {
  const { found, fault, load } = useLoading(useCallback(() => api.recordings(), [api]), REFRESH_MS, anyRuns);
  return (
    <Page wide title={t("replay.recordings")}>
      <h1>{t("replay.recordings")}</h1>
      {fault.value !== null && (
        <Problem code={fault.value}>
          <p>{t(`refused.${toldAs(fault.value)}`)}</p>
          <p>{t(`refused.${toldAs(fault.value)}.todo`)}</p>
          <button type="button" class="button" onClick={() => void load()}>
            <Icon name="retry" />
            {t("app.retry")}
          </button>
        </Problem>
      )}
      {found.value === null && fault.value === null && <p role="status">{t("app.loading")}</p>}
      {found.value?.length === 0 && <p class="replay-none">{t("replay.none")}</p>}
      <ul class="replay-list" data-testid="recordings">
        {found.value?.map((one) => (
          <Row key={one.id} recording={one} token={token} />
        ))}
      </ul>
    </Page>
  );
}

/** What has ended does not change by itself. */
function anyRuns(recordings: readonly Recorded[]): boolean {
  return recordings.some(({ state }) => state === "running");
}

function Row({ recording, token }: { readonly recording: Recorded; readonly token: string }): JSX.Element {
  const { id, title, kind, state, startedAt, beginMs, endMs, sizeBytes, hold, retainUntil, clipOf } = recording;
  const facts = [
    t(`kind.${kind}`),
    formatWhen(startedAt + beginMs, Date.now()),
    ...(endMs > beginMs ? [formatLength(endMs - beginMs)] : []),
    ...(sizeBytes > 0 ? [formatSize(sizeBytes)] : []),
  ];
  const name = title === "" ? t(`kind.${kind}`) : title;
  return (
    <li class="card replay-row" data-testid="recording" data-recording={id} data-state={state}>
      <div class="replay-row-words">
        <h2>{name}</h2>
        <p>{facts.join(" · ")}</p>
        <p class="replay-badges">
          {clipOf !== null && <span class="replay-badge">{t("replay.clip")}</span>}
          {state !== "ended" && (
            <span class="replay-badge strong">
              {state === "running" && <Icon name="live" />}
              {state === "cut" && <Icon name="warning" />}
              {t(`replay.state.${state}`)}
            </span>
          )}
          {hold && <span class="replay-badge">{t("replay.held")}</span>}
          {!hold && retainUntil !== null && <span class="replay-kept">{t("replay.keptUntil", { when: formatWhen(retainUntil, Date.now()) })}</span>}
        </p>
      </div>
      {state !== "shredded" && (
        <a class="button primary" href={replayLink(token, id)} aria-label={t("replay.openOne", { title: name })} data-testid="open-recording">
          <Icon name="play" />
          {t("replay.open")}
        </a>
      )}
    </li>
  );
}
