// Owns the words in a cell's corners: who, what, which picture, how it is shown, and where the patient's sides are.

import type { JSX } from "preact";
import { formatDay, formatNumber, t } from "../i18n";
import type { Picture, Series } from "./model";
import { edgeLetters, flatOf, place } from "./placement";
import type { Size } from "./placement";
import { cameraIn } from "./slots";
import { isComparing } from "./studyline";
import type { StudyViewer } from "./viewer";
import type { Levels } from "./windows";

interface CornersProps {
  readonly viewer: StudyViewer;
  readonly cell: number;
  readonly series: Series;
  readonly picture: Picture;
  readonly index: number;
  readonly levels: Levels;
  readonly size: Size;
}

export function Corners({ viewer, cell, series, picture, index, levels, size }: CornersProps): JSX.Element {
  const camera = cameraIn(viewer.slots.value, cell);
  const flat = flatOf(picture);
  const [left, top] = picture.plane ? edgeLetters(flat, place(flat, size, camera)) : ["", ""];
  const best = viewer.best(picture);
  // Where studies lie side by side, the line above says it.
  const date = isComparing(viewer) ? "" : (viewer.headIn(cell)?.date ?? "");
  const failure = viewer.frames.failure(picture);
  return (
    <>
      <p class="reader-corner top-left" data-testid="corner-who">
        <strong>{series.patient === "" ? t("reader.nameless") : series.patient}</strong>
        <span>{[series.modality, series.description].filter(Boolean).join(" · ")}</span>
        {date !== "" && <span data-testid="corner-date">{formatDay(date)}</span>}
      </p>
      <p class="reader-corner top-right" data-testid="corner-where">
        <span>{t("reader.pictureOf", { number: formatNumber(index + 1), count: formatNumber(series.pictures.length) })}</span>
        {best?.grade === "preview" && <span data-testid="corner-preview">{t("reader.preview")}</span>}
      </p>
      <p class="reader-corner bottom-left" data-testid="corner-window">
        {best?.decoded.samples === 1 && <span>{t("reader.windowIs", { centre: formatNumber(levels[0]), width: formatNumber(levels[1]) })}</span>}
      </p>
      <p class="reader-corner bottom-right">
        <span data-testid="corner-zoom">{t("reader.zoomIs", { value: formatNumber(camera[0] * 100) })}</span>
        {!picture.isMillimetre && <span>{t("reader.noMillimetres")}</span>}
      </p>
      {left !== "" && <span class="reader-side left">{left}</span>}
      {top !== "" && <span class="reader-side top">{top}</span>}
      {!best && (
        <p class="reader-cell-note" role="status">
          {failure === null ? t("reader.loadingPicture") : t("reader.pictureFailed")}
        </p>
      )}
    </>
  );
}
