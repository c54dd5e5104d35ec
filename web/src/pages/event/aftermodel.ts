// Owns what an event's attendance says (docs/protocol.md, "Attendance"), and what is reckoned from it for the page. Pure.

import { plain } from "../../event/tiles";
import type { Role } from "../../protocol";
import type { LineCheck } from "./model";

/** Shares of the time for which the line was known. */
export interface Quality {
  readonly good: number;
  readonly weak: number;
  readonly bad: number;
}

interface Stay {
  readonly joinedAt: number | null;
  /** Null: is there, or never came. */
  readonly leftAt: number | null;
  readonly minutes: number;
  readonly comings: number;
  readonly quality: Quality | null;
}

export interface PersonRow extends Stay {
  readonly province: string;
  readonly organisation: string;
  readonly point: string;
  readonly name: string;
  readonly role: Role;
  readonly joinedAt: number;
}

export interface PointRow extends Stay {
  readonly id: string;
  readonly province: string;
  readonly organisation: string;
  readonly name: string;
  readonly people: number;
  readonly check: LineCheck | null;
}

export interface ProvinceRow {
  readonly province: string;
  readonly invited: number;
  readonly came: number;
  readonly people: number;
  readonly minutes: number;
}

export interface Step {
  readonly atMs: number;
  readonly points: number;
  readonly people: number;
}

export interface Attendance {
  readonly rows: readonly PersonRow[];
  readonly byProvince: readonly ProvinceRow[];
  readonly byPoint: readonly PointRow[];
  readonly peak: { readonly at: number | null; readonly points: number; readonly people: number };
  readonly timeline: readonly Step[];
  readonly from: number | null;
  readonly until: number | null;
}

export interface Figures {
  readonly invited: number;
  readonly came: number;
  readonly people: number;
  readonly lastedMs: number;
  /** Of all the time of all points, weighed by how long each was there; null: not known. */
  readonly lineGood: number | null;
  readonly checked: number;
}

export function figuresOf(attendance: Attendance): Figures {
  const { byPoint, rows, from, until } = attendance;
  const known = byPoint.flatMap(({ quality, minutes }) => (quality === null ? [] : [{ good: quality.good, minutes }]));
  const knownMinutes = known.reduce((sum, { minutes }) => sum + minutes, 0);
  const good = known.reduce((sum, one) => sum + one.good * one.minutes, 0);
  return {
    invited: byPoint.length,
    came: byPoint.filter(({ joinedAt }) => joinedAt !== null).length,
    people: rows.length,
    lastedMs: from === null || until === null ? 0 : until - from,
    lineGood: knownMinutes > 0 ? good / knownMinutes : null,
    checked: byPoint.filter(({ check }) => check !== null).length,
  };
}

export type Cell = string | number | null;

export interface Order {
  readonly column: number;
  readonly down: boolean;
}

/** Rows by what a column holds; what is empty stands last either way. Equal rows keep their order. */
export function sorted<T>(rows: readonly T[], value: (row: T) => Cell, down: boolean, language: string): readonly T[] {
  const collator = new Intl.Collator(language, { numeric: true });
  const isEmpty = (cell: Cell) => cell === null || cell === "";
  return [...rows].sort((a, b) => {
    const [left, right] = [value(a), value(b)];
    if (isEmpty(left) || isEmpty(right)) return Number(isEmpty(left)) - Number(isEmpty(right));
    const order =
      typeof left === "number" && typeof right === "number" ? left - right : collator.compare(String(left), String(right));
    return down ? -order : order;
  });
}

/** Round numbers up to which an axis counts, from 0; the last is at least `most`. */
export function ticks(most: number, wanted = 4): readonly number[] {
  const rough = Math.max(1, most) / wanted;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = Math.max(1, [1, 2, 5, 10].map((each) => each * power).find((each) => each >= rough) ?? 10 * power);
  const last = Math.ceil(Math.max(1, most) / step);
  return Array.from({ length: last + 1 }, (_, index) => index * step);
}

const CLOCK_STEPS_MIN = [1, 2, 5, 10, 15, 30, 60, 120, 180, 360, 720, 1440];
const MINUTE_MS = 60_000;

/** Moments on the wall clock between two, at most `most` of them. `offsetMs`: of the clock to UTC. */
export function clockTicks(fromMs: number, untilMs: number, offsetMs: number, most = 7): readonly number[] {
  const stepMs = (CLOCK_STEPS_MIN.find((each) => (untilMs - fromMs) / (each * MINUTE_MS) <= most) ?? 10_080) * MINUTE_MS;
  const found: number[] = [];
  for (let atMs = Math.ceil((fromMs + offsetMs) / stepMs) * stepMs - offsetMs; atMs <= untilMs; atMs += stepMs) found.push(atMs);
  return found;
}

/** Corners of a line that keeps each value until the next step. */
export function stairs(steps: readonly Step[], untilMs: number, value: (step: Step) => number): readonly (readonly [number, number])[] {
  return steps.flatMap((step, index) => {
    const endMs = steps[index + 1]?.atMs ?? Math.max(untilMs, step.atMs);
    return [
      [step.atMs, value(step)],
      [endMs, value(step)],
    ] as const;
  });
}

/** Every word stands in one of the texts, whatever the case and with or without marks. */
export function matches(search: string, ...texts: readonly string[]): boolean {
  const text = plain(texts.join(" "));
  return plain(search)
    .split(/\s+/)
    .every((word) => text.includes(word));
}

/** More would not fit the page. */
const NAMED_LETTERS = 480;

/** As many of the names as fit. */
export function fewNames(names: readonly string[]): readonly string[] {
  let letters = 0;
  const end = names.findIndex((name) => (letters += name.length + 2) > NAMED_LETTERS);
  return end < 0 ? names : names.slice(0, end);
}
