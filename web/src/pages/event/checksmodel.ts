// Owns what the board of line checks shows of an event's points: counts, filters, and the list for who calls them. Pure.

import type { EventPoint, Grade, LineCheck } from "./model";
import { shownName } from "./model";

export type State = Grade | "none";
export const STATES = ["red", "amber", "green", "none"] as const satisfies readonly State[];
export const FILTERS = ["all", "trouble", ...STATES] as const;
export type Filter = (typeof FILTERS)[number];

export function stateOf(point: EventPoint): State {
  return point.check?.grade ?? "none";
}

export function passes(point: EventPoint, filter: Filter): boolean {
  const state = stateOf(point);
  if (filter === "all") return true;
  return filter === "trouble" ? state === "red" || state === "amber" : state === filter;
}

export function countOf(points: readonly EventPoint[], filter: Filter): number {
  return points.filter((point) => passes(point, filter)).length;
}

/** The points with their newest checks, which are asked for more often than the points. */
export function withChecks(points: readonly EventPoint[], checks: ReadonlyMap<string, LineCheck | null>): readonly EventPoint[] {
  return points.map((point) => {
    const check = checks.get(point.id);
    return check === undefined ? point : { ...point, check };
  });
}

/** A line a point, as it goes into a message or a sheet: province, point, whom to call. */
export function listText(points: readonly EventPoint[]): string {
  return points.map((point) => [point.province, shownName(point), point.contact].join("\t")).join("\n");
}
