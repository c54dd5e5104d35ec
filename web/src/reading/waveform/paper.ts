// Owns where everything stands on the paper, in millimetres: rows, columns, which lead at which time. Pure; knows no pixels but the screen's.

import { LEADS } from "./model";
import type { Group, Lead } from "./model";

export type Speed = 25 | 50;
export type Gain = 5 | 10 | 20;
export const SPEEDS: readonly Speed[] = [25, 50];
export const GAINS: readonly Gain[] = [5, 10, 20];
/** `standard`: three rows of four leads, and a long one below; `rows`: one below the other. */
export type Arrangement = "standard" | "rows";

export interface Scale {
  readonly speed: Speed;
  readonly gain: Gain;
}

/** A stretch of one channel: where on the paper, and from when to when. Millimetres from the paper's left upper corner. */
export interface Strip {
  readonly channel: number;
  readonly fromS: number;
  readonly toS: number;
  readonly x: number;
  /** Where the value `middle` of the channel lies. */
  readonly y: number;
  readonly top: number;
  readonly bottom: number;
  /** Millimetres for one of the channel's unit. */
  readonly perUnit: number;
  readonly middle: number;
  /** The first of its row: the pulse of calibration stands before it. */
  readonly isFirst: boolean;
}

export interface Paper {
  readonly width: number;
  readonly height: number;
  readonly strips: readonly Strip[];
}

export interface Place {
  readonly strip: Strip;
  readonly timeS: number;
  readonly value: number;
}

/** For the pulse of calibration at the left. */
export const MARGIN = 15;
/** What one sheet shows; longer recordings are paged through. */
export const SHEET_S = 10;
const ROW = 27;
const ROW_MAX = 40;
const COLUMNS: readonly (readonly Lead[])[] = [
  ["I", "aVR", "V1", "V4"],
  ["II", "aVL", "V2", "V5"],
  ["III", "aVF", "V3", "V6"],
];
const RHYTHM: Lead = "II";
/** Above the first row and below the last one, for waves that are higher than a row. */
const EDGE = 3;
const EDGE_MAX = 40;
const OTHER_UNITS_SHARE = 0.8;

/** Whether all twelve leads are there. */
export function isTwelveLead({ channels }: Group): boolean {
  return LEADS.every((lead) => channels.some((channel) => channel.lead === lead));
}

/** `ranges`: least and most of each channel. Waves may reach into other rows, as on paper, but not over the paper's edge. */
export function paperOf(
  group: Group,
  arrangement: Arrangement,
  { speed, gain }: Scale,
  fromS: number,
  ranges: readonly ({ readonly least: number; readonly most: number } | null)[],
): Paper {
  const wholeS = group.samples / group.rateHz;
  const toS = Math.min(wholeS, fromS + SHEET_S);
  const rowHeight = Math.min(ROW_MAX, ROW * Math.max(1, gain / 10));
  const scaleOf = (channel: number): { perUnit: number; middle: number } => {
    const range = ranges[channel];
    if (group.channels[channel]?.unit === "mV" || !range) return { perUnit: gain, middle: 0 };
    const span = range.most - range.least || 1;
    return { perUnit: (rowHeight * OTHER_UNITS_SHARE) / span, middle: (range.least + range.most) / 2 };
  };
  const channelRows = rowsOf(group, arrangement, fromS, toS);
  const above = edge(channelRows[0] ?? [], ranges, scaleOf, rowHeight, "most");
  const below = edge(channelRows.at(-1) ?? [], ranges, scaleOf, rowHeight, "least");
  const strip = (channel: number, row: number, stripFromS: number, stripToS: number, isFirst: boolean): Strip => ({
    channel,
    fromS: stripFromS,
    toS: stripToS,
    x: MARGIN + (stripFromS - fromS) * speed,
    y: above + (row + 0.5) * rowHeight,
    top: row === 0 ? 0 : above + row * rowHeight,
    bottom: above + (row + 1) * rowHeight + (row === channelRows.length - 1 ? below : 0),
    ...scaleOf(channel),
    isFirst,
  });
  const rows = channelRows.map((stretches, row) => stretches.map(({ channel, begin, end }, column) => strip(channel, row, begin, end, column === 0)));
  return { width: MARGIN + (toS - fromS) * speed + 2, height: above + rows.length * rowHeight + below, strips: rows.flat() };
}

interface Stretch {
  readonly channel: number;
  readonly begin: number;
  readonly end: number;
}

function rowsOf(group: Group, arrangement: Arrangement, fromS: number, toS: number): readonly (readonly Stretch[])[] {
  if (arrangement === "standard" && isTwelveLead(group)) return standard(group, fromS, toS);
  return group.channels.map((_, channel) => [{ channel, begin: fromS, end: toS }]);
}

/** How far the highest or deepest wave of a row reaches beyond it. */
function edge(
  row: readonly Stretch[],
  ranges: readonly ({ readonly least: number; readonly most: number } | null)[],
  scaleOf: (channel: number) => { perUnit: number; middle: number },
  rowHeight: number,
  which: "least" | "most",
): number {
  const reaches = row.map(({ channel }) => {
    const { perUnit, middle } = scaleOf(channel);
    return Math.abs((ranges[channel]?.[which] ?? middle) - middle) * perUnit - rowHeight / 2;
  });
  return Math.min(EDGE_MAX, Math.max(0, ...reaches) + EDGE);
}

/** The columns follow each other in time, as a machine prints them. */
function standard({ channels }: Group, fromS: number, toS: number): readonly (readonly Stretch[])[] {
  const indexOf = (lead: Lead): number => channels.findIndex((channel) => channel.lead === lead);
  const columnS = (toS - fromS) / 4;
  const rows = COLUMNS.map((leads) =>
    leads.map((lead, column) => ({ channel: indexOf(lead), begin: fromS + column * columnS, end: fromS + (column + 1) * columnS })),
  );
  return [...rows, [{ channel: indexOf(RHYTHM), begin: fromS, end: toS }]];
}

/** What lies under a point of the paper; null beside the strips. */
export function placeAt({ strips }: Paper, { speed }: Scale, x: number, y: number): Place | null {
  const strip = strips.find((each) => y >= each.top && y < each.bottom && x >= each.x && x <= each.x + (each.toS - each.fromS) * speed);
  return strip ? within(strip, speed, x, y) : null;
}

/** The same strip, however far the hand has gone. */
export function within(strip: Strip, speed: Speed, x: number, y: number): Place {
  const timeS = Math.min(strip.toS, Math.max(strip.fromS, strip.fromS + (x - strip.x) / speed));
  return { strip, timeS, value: strip.middle + (strip.y - y) / strip.perUnit };
}

export function xOf(strip: Strip, speed: Speed, timeS: number): number {
  return strip.x + (timeS - strip.fromS) * speed;
}

export function yOf(strip: Strip, value: number): number {
  return strip.y - (value - strip.middle) * strip.perUnit;
}
