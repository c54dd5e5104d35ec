// Owns a cell with a video object: fetched whole, played by the browser itself.

import { useSignal } from "@preact/signals";
import type { JSX } from "preact";
import { useEffect } from "preact/hooks";
import { t } from "../i18n";
import { Note } from "./cell";
import type { Series } from "./model";
import type { StudyViewer } from "./viewer";

interface VideoProps {
  readonly viewer: StudyViewer;
  readonly cell: number;
  readonly series: Series;
}

export function VideoCell({ viewer, cell, series }: VideoProps): JSX.Element {
  const address = useSignal<string | null>(null);
  const isFailed = useSignal(false);
  const at = viewer.slots.value[`at.${cell}`];
  const index = Math.min(series.instancesOf.length - 1, Math.max(0, typeof at === "number" ? Math.round(at) : 0));
  const instance = series.instancesOf[index]?.uid ?? "";
  useEffect(() => {
    const stop = new AbortController();
    let made: string | null = null;
    address.value = null;
    isFailed.value = false;
    viewer.api.video(series.study, series.uid, instance, stop.signal).then(
      (blob) => {
        made = URL.createObjectURL(blob);
        address.value = made;
      },
      () => {
        if (!stop.signal.aborted) isFailed.value = true;
      },
    );
    return () => {
      stop.abort();
      if (made !== null) URL.revokeObjectURL(made);
    };
  }, [viewer, series, instance, address, isFailed]);
  if (isFailed.value) return <Note>{t("reader.videoFailed")}</Note>;
  if (address.value === null) return <Note>{t("reader.loadingPicture")}</Note>;
  return (
    <div class="reader-video">
      <video src={address.value} controls loop autoPlay muted playsInline data-testid="reader-video" aria-label={series.description} onError={() => (isFailed.value = true)} />
      {series.instancesOf.length > 1 && (
        <p class="reader-video-choice">
          {series.instancesOf.map(({ uid }, number) => (
            <button key={uid} type="button" class="button small" aria-pressed={number === index} onClick={() => viewer.hand({ [`at.${cell}`]: number })}>
              {number + 1}
            </button>
          ))}
        </p>
      )}
    </div>
  );
}
