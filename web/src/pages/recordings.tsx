// Owns the recordings of one session in the list: when, how long, and the way to watch each.

import { useSignal } from "@preact/signals";
import type { JSX } from "preact";
import { useEffect } from "preact/hooks";
import { ApiError } from "../api";
import type { Api, RecordedEntry } from "../api";
import { toldAs } from "../components/context";
import { Icon } from "../components/icons";
import { Problem } from "../components/problem";
import { formatWhen, t } from "../i18n";
import type { SessionId } from "../protocol";
import { replayLink } from "./link";
import type { Fault } from "./loading";
import { duration } from "./view";

interface RecordingsProps {
  readonly api: Api;
  readonly token: string;
  readonly session: SessionId;
}

export function Recordings({ api, token, session }: RecordingsProps): JSX.Element {
  const found = useSignal<readonly RecordedEntry[] | null>(null);
  const fault = useSignal<Fault>(null);
  // Once, when it is opened: every look is written into the audit.
  useEffect(() => {
    api.recordings(session).then(
      (recordings) => (found.value = recordings.filter(({ state }) => state !== "shredded")),
      (error: unknown) => (fault.value = error instanceof ApiError ? error.code : "internal"),
    );
  }, [api, session, found, fault]);
  return (
    <section class="session-recordings" aria-label={t("recording.list")} data-testid="recordings">
      <h4>{t("recording.list")}</h4>
      {fault.value !== null ? (
        <Problem code={fault.value}>
          <p>{t("said.failed", { reason: t(`refused.${toldAs(fault.value)}`) })}</p>
        </Problem>
      ) : found.value === null ? (
        <p role="status">{t("app.loading")}</p>
      ) : found.value.length === 0 ? (
        <p class="note">{t("recording.listNone")}</p>
      ) : (
        <ul>
          {found.value.map((recording) => (
            <li key={recording.id}>
              <a class="button" href={replayLink(token, recording.id)} target="_blank" rel="noopener" data-testid="watch" data-recording={recording.id}>
                <Icon name="play" />
                <span>
                  {formatWhen(recording.startedAt + recording.beginMs, Date.now())} · {duration(recording.endMs - recording.beginMs)}
                  {note(recording) !== null && <small>{note(recording)}</small>}
                </span>
              </a>
            </li>
          ))}
        </ul>
      )}
    </section>
  );
}

function note({ state, clipOf }: RecordedEntry): string | null {
  if (state === "running") return t("recording.listRunning");
  if (state === "cut") return t("recording.listCut");
  return clipOf === null ? null : t("recording.listClip");
}
