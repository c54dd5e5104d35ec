// Owns that everybody sees at all times whether the session is being recorded, the alarm when it cannot be written, and the
// choice to pause or stop it.

import { useSignal } from "@preact/signals";
import type { JSX } from "preact";
import { useEffect } from "preact/hooks";
import { ask } from "../../components/context";
import { Dialog } from "../../components/dialog";
import { opener } from "../../components/focus";
import { Icon } from "../../components/icons";
import { t } from "../../i18n";
import { STORAGE_TROUBLES } from "../../protocol";
import type { Recording, StorageTrouble } from "../../protocol";
import { duration } from "../view";
import { openConsents } from "./consent";
import type { Room } from "./room";

export type RecordingState = "off" | "recording" | "paused" | "trouble";

export function recordingState(recording: Recording | null): RecordingState {
  if (recording === null) return "off";
  return recording.trouble === null ? recording.state : "trouble";
}

/** A sign and a word, in the column beside the picture and in the panel that stands in its place. */
export function RecordingSign({ room }: { readonly room: Room }): JSX.Element {
  const { client } = room;
  const recording = client.session.value?.recording ?? null;
  const state = recordingState(recording);
  const leads = client.permissions.value.has("record");
  const consent = client.self.value?.consent;
  const open = leads ? openConsents(room).filter(({ id }) => id !== client.self.value?.id).length : 0;
  return (
    <p class="recording-sign" data-state={state} data-testid="recording-sign">
      <span class="recording-state">
        <Sign state={state} />
        <span>
          {t(`recording.state.${state}`)}
          {leads && recording !== null && state === "recording" && <Elapsed room={room} startedAt={recording.startedAt} />}
        </span>
      </span>
      {recording !== null && (consent === "pending" || consent === "declined") && (
        <span class="recording-note">{t("recording.withoutYou")}</span>
      )}
      {recording !== null && open > 0 && <span class="recording-note">{t("recording.withoutOthers", { count: open })}</span>}
    </p>
  );
}

function Sign({ state }: { readonly state: RecordingState }): JSX.Element {
  if (state === "paused") return <Icon name="pause" />;
  if (state === "trouble") return <Icon name="warning" />;
  return <span class={state === "recording" ? "recording-dot on" : "recording-dot"} aria-hidden="true" />;
}

function Elapsed({ room, startedAt }: { readonly room: Room; readonly startedAt: number }): JSX.Element {
  const now = useSignal(room.client.serverNowMs());
  useEffect(() => {
    const look = (): void => {
      now.value = room.client.serverNowMs();
    };
    look();
    const timer = setInterval(look, 1000);
    return () => clearInterval(timer);
  }, [room, now, startedAt]);
  return <span class="recording-time"> {duration(now.value - startedAt)}</span>;
}

/** What a screen reader says of it: once for each change, and no running time. */
export function RecordingSpoken({ room }: { readonly room: Room }): JSX.Element {
  const state = recordingState(room.client.session.value?.recording ?? null);
  return (
    <p class="unseen" role="status" data-testid="recording-spoken">
      {t(`recording.spoken.${state}`)}
    </p>
  );
}

/** Stays as long as nothing can be written. Its place is always there, as a screen reader hears only what changes in one. */
export function StorageAlarm({ room }: { readonly room: Room }): JSX.Element {
  const recording = room.client.session.value?.recording ?? null;
  const trouble = room.client.permissions.value.has("record") ? (recording?.trouble ?? null) : null;
  const lostS = Math.ceil((recording?.lostMs ?? 0) / 1000);
  return (
    <div class={trouble === null ? "unseen" : "banner alarm"} data-testid="storage-alarm" data-trouble={trouble}>
      {trouble !== null && <Icon name="warning" />}
      <span>
        <span role="alert">{trouble !== null && `${t(`recording.trouble.${told(trouble)}`)} ${t("recording.goesOn")}`}</span>
        {/* It grows: seen, and not said again and again. */}
        {trouble !== null && lostS > 0 && <span class="alarm-lost"> {t("recording.lost", { count: lostS })}</span>}
      </span>
    </div>
  );
}

/** A newer server may know of more. */
function told(trouble: StorageTrouble): StorageTrouble {
  return STORAGE_TROUBLES.includes(trouble) ? trouble : "io";
}

interface DialogProps {
  readonly room: Room;
  readonly onClose: () => void;
}

export function RecordingDialog({ room, onClose }: DialogProps): JSX.Element {
  const { client } = room;
  const recording = client.session.value?.recording ?? null;
  const act = (action: Promise<void>) => (): void => {
    ask(action);
    onClose();
  };
  return (
    <Dialog title={t("recording.title")} onClose={onClose} testId="recording-dialog" after={opener("recording")}>
      <div class="choices">
        {recording === null ? (
          // It ended while the dialog was open.
          <button type="button" class="button large primary" data-testid="start-recording" onClick={() => act(client.startRecording())()}>
            <Icon name="record" />
            {t("recording.start")}
          </button>
        ) : (
          <>
            <PauseButton paused={recording.state === "paused"} onPause={(paused) => act(client.pauseRecording(paused))()} />
            <details class="danger-zone">
              <summary class="button large" data-testid="stop-recording">
                <Icon name="stop" />
                <span>
                  {t("recording.stop")}
                  <small>{t("recording.stopHint")}</small>
                </span>
              </summary>
              <button type="button" class="button large danger" data-testid="stop-recording-yes" onClick={() => act(client.stopRecording())()}>
                <Icon name="stop" />
                {t("recording.stopSure")}
              </button>
            </details>
          </>
        )}
      </div>
    </Dialog>
  );
}

function PauseButton({ paused, onPause }: { readonly paused: boolean; readonly onPause: (paused: boolean) => void }): JSX.Element {
  return (
    <button type="button" class="button large primary" autoFocus data-testid="pause-recording" onClick={() => onPause(!paused)}>
      <Icon name={paused ? "record" : "pause"} />
      <span>
        {t(paused ? "recording.resume" : "recording.pause")}
        <small>{t(paused ? "recording.resumeHint" : "recording.pauseHint")}</small>
      </span>
    </button>
  );
}
