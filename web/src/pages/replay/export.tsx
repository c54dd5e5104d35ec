// Owns the question in which form a recording is taken along, and how far that is.

import { useSignal } from "@preact/signals";
import type { JSX } from "preact";
import { useEffect, useRef } from "preact/hooks";
import { Dialog } from "../../components/dialog";
import { opener } from "../../components/focus";
import { Icon } from "../../components/icons";
import { Problem } from "../../components/problem";
import { t } from "../../i18n";
import type { ExportFormat } from "../../replay/api";
import { save } from "../../replay/download";
import { say } from "./faults";
import type { Told } from "./faults";
import type { Room } from "./room";
import { formatSize } from "./view";

/** Wrapped without encoding anew, which a DICOM video of another codec would need. */
const DICOM_CODEC = /^avc|^h264/i;

export function Export({ room, onClose }: { readonly room: Room; readonly onClose: () => void }): JSX.Element {
  const bytes = useSignal<number | null>(null);
  const fault = useSignal<Told | null>(null);
  const done = useSignal(false);
  const running = useRef<AbortController | null>(null);
  useEffect(() => () => running.current?.abort(), []);
  const recording = room.replay.recording.value;
  const dicomTrack = dicomTrackOf(room);
  const take = async (format: ExportFormat): Promise<void> => {
    if (bytes.value !== null) return;
    const stop = new AbortController();
    running.current = stop;
    bytes.value = 0;
    fault.value = null;
    done.value = false;
    try {
      await save({
        // What it is about stands in no file name: those are seen by others.
        name: `${room.id}.${format === "dicom" ? "dcm" : format}`,
        sizeBytes: recording?.sizeBytes ?? 0,
        ask: (signal) => room.api.exported(room.id, format, format === "dicom" ? dicomTrack : null, signal),
        signal: stop.signal,
        onProgress: (now) => (bytes.value = now),
      });
      done.value = true;
    } catch (error) {
      if (!stop.signal.aborted && !(error instanceof DOMException && error.name === "AbortError")) fault.value = say(error);
    }
    bytes.value = null;
  };
  const choice = (format: ExportFormat): JSX.Element => (
    <button type="button" class="button large" data-testid={`export-${format}`} aria-disabled={bytes.value !== null} onClick={() => void take(format)}>
      <Icon name="download" />
      <span>
        {t(`replay.export.${format}`)}
        <small>{t(`replay.export.${format}.hint`)}</small>
      </span>
    </button>
  );
  return (
    <Dialog title={t("replay.exportTitle")} onClose={onClose} testId="export-dialog" after={opener("export")}>
      <p class="replay-warn">
        <Icon name="warning" />
        {t("replay.exportWarning")}
      </p>
      <div class="choices">
        {choice("mkv")}
        {choice("mp4")}
        {dicomTrack !== null && choice("dicom")}
      </div>
      <div role="status" class="replay-export-state">
        {bytes.value !== null && (
          <span class="replay-progress" data-testid="exporting">
            <progress aria-label={t("replay.exporting")} max={Math.max(1, recording?.sizeBytes ?? 1)} value={bytes.value > 0 ? bytes.value : undefined} />
            {t("replay.exported", { size: formatSize(bytes.value) })}
            <button type="button" class="button small" onClick={() => running.current?.abort()}>
              <Icon name="stop" />
              {t("replay.exportStop")}
            </button>
          </span>
        )}
        {done.value && <span data-testid="exported">{t("replay.exportDone")}</span>}
      </div>
      {fault.value !== null && (
        <Problem code={fault.value.code}>
          <p>{fault.value.words}</p>
        </Problem>
      )}
    </Dialog>
  );
}

/** The stream of the large picture at this time, if it can become a DICOM video. */
function dicomTrackOf(room: Room): number | null {
  const main = room.main.value;
  if (main === null) return null;
  const moment = main.at(room.replay.atMs.peek());
  const tracks = [...main.tracks.values()].filter(({ inits }) => inits.length > 0 && inits.every(({ codec }) => DICOM_CODEC.test(codec)));
  const now = moment.kind === "there" ? tracks.find(({ id }) => id === moment.piece.track) : undefined;
  return (now ?? tracks[0])?.id ?? null;
}
