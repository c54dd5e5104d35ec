// Owns how sizes, times, patients and studies are written while sending. Pure.

import { formatNumber, language, t } from "../i18n";
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

/** YYYYMMDD as people write it; anything else as it is. */
export function studyDate(date: string): string {
  const [, year, month, day] = /^(\d{4})\.?(\d{2})\.?(\d{2})$/.exec(date) ?? [];
  const at = Date.UTC(Number(year), Number(month) - 1, Number(day));
  if (!Number.isFinite(at)) return date;
  return new Intl.DateTimeFormat(language.value, { day: "numeric", month: "short", year: "numeric", timeZone: "UTC" }).format(at);
}

/** Of the line. */
export function speed(bytesPerS: number): string {
  return t("send.speed", { size: formatSize(bytesPerS) });
}
