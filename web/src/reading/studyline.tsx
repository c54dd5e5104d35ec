// Owns the line above a cell that says of which study its pictures are, wherever studies lie side by side: they must not be mistaken.

import type { JSX } from "preact";
import { Icon } from "../components/icons";
import { formatDay, t } from "../i18n";
import type { StudyHead } from "./model";
import { kinship } from "./patients";
import type { Kinship } from "./patients";
import type { StudyViewer } from "./viewer";

type When = "this" | "earlier" | "later" | "another";

export function StudyLine({ viewer, cell }: { readonly viewer: StudyViewer; readonly cell: number }): JSX.Element | null {
  if (!viewer.cells.value[cell]?.content || !isComparing(viewer)) return null;
  const main = viewer.study.value;
  const read = main === null ? null : viewer.headOf(main);
  const shown = viewer.headIn(cell);
  if (!read || !shown) {
    return (
      <p class="reader-study-line other" data-testid="study-line" data-cell={cell} role="status">
        {t("reader.loadingSeries")}
      </p>
    );
  }
  const kin = kinship(read, shown);
  const when = whenOf(shown, read, kin);
  return (
    <p class={`reader-study-line ${kin === "same" ? (when === "this" ? "this" : "other") : "danger"}`} data-testid="study-line" data-cell={cell} data-study={shown.uid} data-kinship={kin}>
      {kin !== "same" && (
        <strong class="reader-kin">
          <Icon name="warning" />
          {kinWords(shown, kin)}
        </strong>
      )}
      <strong>{dayOf(shown)}</strong>
      <span class="reader-when">{t(`reader.when.${when}`)}</span>
      <span>{aboutOf(shown)}</span>
    </p>
  );
}

/** Whether cells show pictures of another study than the one that is read. */
export function isComparing(viewer: StudyViewer): boolean {
  return viewer.cells.value.some(({ content }) => content?.study !== undefined);
}

export function kinWords({ patient, patientId }: StudyHead, kin: "doubtful" | "other"): string {
  const who = [patient === "" ? t("reader.nameless") : patient, patientId].filter((part) => part !== "").join(" · ");
  return t(`reader.kin.${kin}`, { who });
}

export const dayOf = ({ date }: StudyHead): string => (date === "" ? t("reader.noDate") : formatDay(date));
export const aboutOf = ({ modalities, description }: StudyHead): string => [modalities.join(", "), description].filter((part) => part !== "").join(" · ");

/** Of who may be somebody else nothing is earlier or later. */
export function whenOf(shown: StudyHead, read: StudyHead, kin: Kinship): When {
  if (shown.uid === read.uid) return "this";
  if (kin !== "same" || shown.date === "" || read.date === "" || shown.date === read.date) return "another";
  return shown.date < read.date ? "earlier" : "later";
}
