// Owns how moments of an event are written and typed: on the clock of whoever looks, with its zone where others read it. Pure.

import { language } from "../../i18n";
import type { Language } from "../../protocol";

const MINUTE_MS = 60_000;

/** Day and time, with weekday and zone: what a point in another zone has to know. */
export function formatBegin(atMs: number, code: Language = language.value): string {
  const day = new Intl.DateTimeFormat(code, { weekday: "long", day: "numeric", month: "long", year: "numeric" }).format(atMs);
  const time = new Intl.DateTimeFormat(code, { hour: "2-digit", minute: "2-digit", hourCycle: "h23", timeZoneName: "short" }).format(atMs);
  return `${day} · ${time}`;
}

/** The time of day to the minute. */
export function formatClock(atMs: number): string {
  return new Intl.DateTimeFormat(language.value, { hour: "2-digit", minute: "2-digit", hourCycle: "h23" }).format(atMs);
}

/** What a field of type datetime-local has: the clock on the wall here. */
export function toLocalField(atMs: number): string {
  const offsetMs = new Date(atMs).getTimezoneOffset() * MINUTE_MS;
  return new Date(atMs - offsetMs).toISOString().slice(0, 16);
}

/** Null for an empty field and what is no moment. */
export function fromLocalField(text: string): number | null {
  const atMs = new Date(text).getTime();
  return Number.isNaN(atMs) ? null : atMs;
}
