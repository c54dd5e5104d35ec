// Owns what a replay shows where: which picture is large, in which order lanes stand, how times are written. Pure.

import { formatNumber, t } from "../../i18n";
import { SOURCES } from "../../protocol";
import type { Source } from "../../protocol";
import type { Lane } from "../../replay/lane";
import type { Person, Story } from "../../replay/story";
import { rank } from "../view";

/** Nearer than this to a mark or a chapter on the time line, that is what was meant. */
const SNAP_PX = 8;

export function asSource(source: string): Source | null {
  return SOURCES.find((known) => known === source) ?? null;
}

export function sourceWord(source: string): string {
  const known = asSource(source);
  return known === null ? t("replay.otherSource") : t(`source.${known}`);
}

/** Everybody together, in the order in which they had the floor first; pictures before sounds. */
export function orderLanes(lanes: readonly Lane[], { people }: Story): readonly Lane[] {
  const known = [...people.keys()];
  const seat = ({ participant }: Lane): number => (known.includes(participant) ? known.indexOf(participant) : known.length);
  return lanes
    .map((lane, index) => ({ lane, index }))
    .sort((a, b) => seat(a.lane) - seat(b.lane) || place(a.lane) - place(b.lane) || a.index - b.index)
    .map(({ lane }) => lane);
}

/** The large picture: the chosen one, else the most worthy of those that have something now; without need it stays. */
export function chooseMain(lanes: readonly Lane[], atMs: number, pinned: string | null, last: string | null): Lane | null {
  const pictures = lanes.filter(({ kind }) => kind === "video");
  const chosen = pictures.find(({ id }) => id === pinned);
  if (chosen) return chosen;
  const worth = (lane: Lane): number => place(lane) + (lane.at(atMs).kind === "nothing" ? 100 : 0);
  const best = Math.min(...pictures.map(worth));
  const candidates = pictures.filter((lane) => worth(lane) === best);
  return candidates.find(({ id }) => id === last) ?? candidates[0] ?? null;
}

export interface Group {
  readonly participant: string;
  readonly person: Person | null;
  readonly pictures: readonly Lane[];
  readonly sounds: readonly Lane[];
}

export function groupByPerson(lanes: readonly Lane[], people: ReadonlyMap<string, Person>): readonly Group[] {
  const ids = [...new Set(lanes.map(({ participant }) => participant))];
  return ids.map((participant) => {
    const own = lanes.filter((lane) => lane.participant === participant);
    return {
      participant,
      person: people.get(participant) ?? null,
      pictures: own.filter(({ kind }) => kind === "video"),
      sounds: own.filter(({ kind }) => kind === "audio"),
    };
  });
}

export function personName(person: Person | null | undefined): string {
  return person === null || person === undefined || person.name === "" ? t("replay.nameless") : person.name;
}

export function laneName(lane: Lane, people: ReadonlyMap<string, Person>): string {
  return t("session.pictureOf", { source: sourceWord(lane.source), name: personName(people.get(lane.participant)) });
}

/** As spoken: 2 min 3 s. */
export function formatLength(ms: number): string {
  const seconds = Math.max(1, Math.round(ms / 1000));
  if (seconds < 60) return t("replay.seconds", { count: seconds });
  const minutes = Math.round(seconds / 60);
  if (minutes < 60) return t("replay.minutes", { count: minutes });
  return t("replay.hours", { hours: Math.floor(minutes / 60), minutes: minutes % 60 });
}

export function formatSize(bytes: number): string {
  if (bytes < 1e6) return t("replay.kilobytes", { value: formatNumber(Math.ceil(bytes / 1e3)) });
  if (bytes < 1e9) return t("replay.megabytes", { value: formatNumber(bytes / 1e6, bytes < 1e7 ? 1 : 0) });
  return t("replay.gigabytes", { value: formatNumber(bytes / 1e9, 1) });
}

/** Where on the time line, in percent. */
export function percent(ms: number, beginMs: number, endMs: number): number {
  if (endMs <= beginMs) return 0;
  return Math.max(0, Math.min(100, ((ms - beginMs) / (endMs - beginMs)) * 100));
}

/** The moment that was meant by pressing at a place of the time line. */
export function snap(toMs: number, widthPx: number, spanMs: number, places: readonly number[]): number {
  const nearest = places.reduce((best, place) => (Math.abs(place - toMs) < Math.abs(best - toMs) ? place : best), Infinity);
  return Math.abs(nearest - toMs) <= (SNAP_PX / Math.max(1, widthPx)) * spanMs ? nearest : toMs;
}

function place({ source }: Lane): number {
  const known = asSource(source);
  return known === null ? 8 : rank(known);
}
