// Owns how sizes, times, patients and studies are written while sending. Pure.

import { formatNumber, t } from "../i18n";
import { formatLength, formatSize } from "../pages/replay/view";
import type { FoundStudy } from "./findings";

export { formatLength, formatSize };

/** "CT 300, SR 1" */
export function modalities(study: FoundStudy): string {
  return Array.from(study.modalities, ([name, count]) => `${name || t("send.other")} ${formatNumber(count)}`).join(", ");
}

export function patient(study: FoundStudy): string {
  return study.patient || study.patientId || t("send.nameless");
}

/** Of the line. */
export function speed(bytesPerS: number): string {
  return t("send.speed", { size: formatSize(bytesPerS) });
}
