// Owns the order of the organiser's wall: which points there are, in which group, found by which words and filter. Pure.

import type { Participant, ParticipantId, Track } from "../protocol";

export const FILTERS = ["all", "hands", "here", "trouble", "stage"] as const;
export type Filter = (typeof FILTERS)[number];

/** Where a point is; `province` may be empty. */
export interface Place {
  readonly province: string;
  readonly organisation: string;
  readonly name: string;
}

/** A point of the event's list; null: it is not here. */
export interface ListedPoint extends Place {
  readonly id: string;
  readonly participant: ParticipantId | null;
}

export interface Tile {
  /** Of the participant; of a listed point that is not here its own. */
  readonly id: string;
  readonly here: boolean;
  /** Not one of the audience who is shown for a while. */
  readonly point: boolean;
  readonly connected: boolean;
  readonly group: string;
  readonly title: string;
  readonly person: string;
  readonly quality: Participant["quality"];
  readonly camera: boolean;
  readonly microphone: "on" | "off" | "blocked";
  /** From 1 on; 0: no hand. */
  readonly hand: number;
  readonly onStage: boolean;
  readonly next: boolean;
}

export interface Group {
  readonly name: string;
  readonly tiles: readonly Tile[];
  readonly here: number;
}

export interface TilesWish {
  readonly participants: readonly Participant[];
  readonly tracks: readonly Track[];
  readonly stage: readonly ParticipantId[];
  readonly hands: readonly ParticipantId[];
  readonly cue: ParticipantId | null;
  readonly listed: readonly ListedPoint[];
}

/** Of the audience only those who want something, or are shown. */
export function tilesOf({ participants, tracks, stage, hands, cue, listed }: TilesWish): readonly Tile[] {
  const placed = new Map(listed.map((point) => [point.participant, point]));
  const sending = new Map<ParticipantId, Partial<Record<Track["source"], Track>>>();
  for (const track of tracks) sending.set(track.participant, { ...sending.get(track.participant), [track.source]: track });
  const wanted = ({ id, role }: Participant): boolean =>
    role === "satellite" || (role === "viewer" && (hands.includes(id) || stage.includes(id) || id === cue));
  const here = participants.filter(wanted).map((person): Tile => {
    const place = placed.get(person.id) ?? placeOf(person.point);
    const { camera, microphone } = sending.get(person.id) ?? {};
    return {
      id: person.id,
      here: true,
      point: person.role === "satellite",
      connected: person.connected,
      ...named(place, person.name),
      quality: person.quality,
      camera: camera !== undefined && !camera.muted && !camera.blocked,
      microphone: microphone?.blocked === true ? "blocked" : microphone === undefined || microphone.muted ? "off" : "on",
      hand: hands.indexOf(person.id) + 1,
      onStage: stage.includes(person.id),
      next: person.id === cue,
    };
  });
  const known = new Set(here.map(({ id }) => id));
  const missing = listed.filter(({ participant }) => participant === null || !known.has(participant)).map(absent);
  return [...here, ...missing];
}

export function absentId({ id }: ListedPoint): string {
  return `point-${id}`;
}

function absent(point: ListedPoint): Tile {
  const nothing = { here: false, point: true, connected: false, quality: null, camera: false, microphone: "off", hand: 0, onStage: false, next: false } as const;
  return { id: absentId(point), ...named(point, ""), ...nothing };
}

function named(place: Place, person: string): Pick<Tile, "group" | "title" | "person"> {
  const title = [place.organisation, place.name].filter(Boolean).join(", ");
  return { group: place.province, title: title === "" ? person : title, person: title === person ? "" : person };
}

/** Of a point that is known by its text only: what stands before the first dash, else before the first comma, is its group. */
export function placeOf(point: string): Place {
  const [, province = "", rest = point] = /^(.+?)\s+[—–-]\s+(.+)$/u.exec(point) ?? /^([^,]+),\s*(.+)$/u.exec(point) ?? [];
  return { province: province.trim(), organisation: "", name: rest.trim() };
}

/** Of what stayed as it was, the same object as before: only what changed is drawn anew. */
export function steady(before: readonly Tile[], now: readonly Tile[]): readonly Tile[] {
  const known = new Map(before.map((tile) => [tile.id, tile]));
  return now.map((tile) => {
    const old = known.get(tile.id);
    return old && (Object.keys(tile) as (keyof Tile)[]).every((key) => old[key] === tile[key]) ? old : tile;
  });
}

export function isTrouble({ here, connected, quality }: Tile): boolean {
  return here && (!connected || quality === 0 || quality === 1);
}

export function passes(tile: Tile, filter: Filter): boolean {
  switch (filter) {
    case "all":
      return true;
    case "hands":
      return tile.hand > 0;
    case "here":
      return tile.connected;
    case "trouble":
      return isTrouble(tile);
    case "stage":
      return tile.onStage || tile.next;
  }
}

/** Every word must be found, whatever the case and with or without marks: "quang ninh" finds Quảng Ninh. */
export function found(tile: Tile, search: string): boolean {
  const text = plain([tile.group, tile.title, tile.person].join(" "));
  return plain(search)
    .split(/\s+/)
    .every((word) => text.includes(word));
}

/** Without case and marks. */
export function plain(text: string): string {
  return text.normalize("NFD").replace(/\p{M}/gu, "").toLowerCase().replaceAll("đ", "d");
}

/** By name; those of no group at the end. Within one, by name: a tile must not move under a finger. */
export function grouped(tiles: readonly Tile[], language: string): readonly Group[] {
  const order = new Intl.Collator(language, { numeric: true });
  const groups = new Map<string, Tile[]>();
  for (const tile of tiles) {
    const group = groups.get(tile.group);
    if (group) group.push(tile);
    else groups.set(tile.group, [tile]);
  }
  return [...groups]
    .sort(([a], [b]) => Number(a === "") - Number(b === "") || order.compare(a, b))
    .map(([name, some]) => ({
      name,
      tiles: some.sort((a, b) => order.compare(a.title, b.title) || order.compare(a.id, b.id)),
      here: some.filter(({ connected }) => connected).length,
    }));
}
