// Owns how figures of an attendance are written.

import { formatNumber, t } from "../../i18n";
import type { Quality } from "./aftermodel";

const MINUTE_MS = 60_000;

export function lengthText(lengthMs: number): string {
  if (lengthMs < MINUTE_MS) return t("after.minutesOnly", { minutes: "<1" });
  const whole = Math.round(lengthMs / MINUTE_MS);
  const [hours, minutes] = [Math.floor(whole / 60), whole % 60];
  return hours > 0 ? t("after.hours", { hours: formatNumber(hours), minutes }) : t("after.minutesOnly", { minutes });
}

export function percentText(share: number | null): string {
  return share === null ? "" : t("after.percent", { percent: formatNumber(share * 100) });
}

export function sharesText({ good, weak, bad }: Quality): string {
  return t("after.shares", { good: formatNumber(good * 100), weak: formatNumber(weak * 100), bad: formatNumber(bad * 100) });
}
