// Owns the strip of a study's series: a small picture of each, its modality, name and count. One is put into the active cell by a press.

import { useSignal } from "@preact/signals";
import type { JSX } from "preact";
import { useEffect } from "preact/hooks";
import { t } from "../i18n";
import { SERIES_TYPE } from "./cell";
import type { SeriesHead } from "./model";
import type { StudyViewer } from "./viewer";

interface StripProps {
  readonly viewer: StudyViewer;
  readonly series: readonly SeriesHead[];
}

export function Strip({ viewer, series }: StripProps): JSX.Element {
  return (
    <ul class="reader-strip" aria-label={t("reader.series")} data-testid="reader-strip">
      {series.map((head) => (
        <li key={head.uid}>
          <Tile viewer={viewer} head={head} />
        </li>
      ))}
    </ul>
  );
}

function Tile({ viewer, head }: { readonly viewer: StudyViewer; readonly head: SeriesHead }): JSX.Element {
  const address = useSignal<string | null>(null);
  useEffect(() => {
    let isThere = true;
    void viewer.library.thumbnail(head.study, head.uid).then((made) => {
      if (isThere) address.value = made;
    });
    return () => {
      isThere = false;
    };
  }, [viewer, head.study, head.uid, address]);
  const isShown = viewer.cells.value.some(({ content }) => content?.series === head.uid);
  const name = head.description === "" ? t("reader.seriesNumber", { number: head.number ?? 0 }) : head.description;
  return (
    <button
      type="button"
      class="reader-tile"
      data-testid="reader-tile"
      data-series={head.uid}
      aria-pressed={isShown}
      draggable
      onDragStart={(event) => event.dataTransfer?.setData(SERIES_TYPE, `${head.study} ${head.uid}`)}
      onClick={() => {
        if (viewer.layout.peek() === "mpr") viewer.arrange("1x1");
        viewer.put(viewer.active.peek(), { study: head.study, series: head.uid });
      }}
    >
      <span class="reader-thumb">{address.value !== null && <img src={address.value} alt="" />}</span>
      <span class="reader-tile-words">
        <strong>{head.modality}</strong>
        <span>{name}</span>
        <span class="note">{t("reader.objects", { count: head.instances })}</span>
      </span>
    </button>
  );
}
