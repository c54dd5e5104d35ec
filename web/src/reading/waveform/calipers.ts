// Owns calipers as marks of the common view: two points in time and value on one channel, and what they come to. Pure.

import type { Mark } from "../view";
import type { Group } from "./model";

export const CALIPER = "caliper";

/** Times in seconds of the group's clock, values in the channel's unit. */
export interface Caliper {
  readonly id: string;
  readonly channel: number;
  readonly fromS: number;
  readonly toS: number;
  readonly fromValue: number;
  readonly toValue: number;
  readonly by: string;
}

export interface Measured {
  readonly ms: number;
  /** Were it from beat to beat; null for what cannot be that. */
  readonly perMinute: number | null;
  readonly difference: number;
  readonly unit: string;
}

/** Slower or faster is no heart. */
const RATE_PER_MINUTE = [10, 400] as const;
const MILLISECONDS = 1000;

/** The calipers on a group, counted from 0, of an object. What is nonsense is passed over. */
export function calipersOn(marks: readonly (Mark & { readonly id: string })[], instance: string, groupIndex: number, group: Group): readonly Caliper[] {
  return marks.flatMap(({ id, tool, instance: of, frame, points, by }) => {
    const [from, to] = points;
    if (tool !== CALIPER || of !== instance || frame !== groupIndex + 1 || from === undefined || to === undefined) return [];
    const channel = from[2];
    if (group.channels[channel] === undefined || to[2] !== channel) return [];
    return [{ id, channel, fromS: from[0] / MILLISECONDS, toS: to[0] / MILLISECONDS, fromValue: from[1], toValue: to[1], by }];
  });
}

/** Points of a mark: milliseconds, value in the channel's unit, channel counted from 0. */
export function pointsOf({ channel, fromS, toS, fromValue, toValue }: Omit<Caliper, "id" | "by">): Mark["points"] {
  const rounded = (value: number): number => Math.round(value * 1e4) / 1e4;
  return [
    [rounded(fromS * MILLISECONDS), rounded(fromValue), channel],
    [rounded(toS * MILLISECONDS), rounded(toValue), channel],
  ];
}

export function measure(caliper: Omit<Caliper, "id" | "by">, group: Group): Measured {
  const ms = Math.abs(caliper.toS - caliper.fromS) * MILLISECONDS;
  const rate = ms > 0 ? 60_000 / ms : 0;
  const [slowest, fastest] = RATE_PER_MINUTE;
  return {
    ms,
    perMinute: rate >= slowest && rate <= fastest ? rate : null,
    difference: caliper.toValue - caliper.fromValue,
    unit: group.channels[caliper.channel]?.unit ?? "",
  };
}
