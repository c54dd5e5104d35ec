// Owns what is shown where: which picture is the main one, who comes in which order, how figures are written. Pure.

import { formatNumber, language, t } from "../i18n";
import type { Participant, ParticipantId, Source, Speaker, TrackId } from "../protocol";
import type { RemoteTrack, TrackFacts } from "../state";

export type Layout = "focus" | "pair" | "grid";
export const LAYOUTS: readonly Layout[] = ["focus", "pair", "grid"];

/** A shorter delay is within the error of its measurement. */
const DELAY_TOLD_MS = 10;

/** The lower, the more it deserves the large place. */
const RANK: Readonly<Record<Source, number>> = {
  ultrasound: 0,
  microscope: 1,
  screen: 2,
  camera: 3,
  microphone: 9,
  ultrasoundSound: 9,
};

export function rank(source: Source): number {
  return RANK[source];
}

/** Pictures that can be seen now: of the stage, and one's own, none of them switched off. In the stage's order. */
export function visiblePictures(tracks: readonly RemoteTrack[], stage: readonly ParticipantId[]): readonly RemoteTrack[] {
  const place = new Map(stage.map((id, index) => [id, index]));
  return tracks
    .filter((track) => track.kind === "video" && !track.muted && !track.blocked)
    .filter((track) => track.own || place.has(track.participant))
    .map((track, index) => ({ track, index }))
    .sort((a, b) => seat(a.track) - seat(b.track) || a.index - b.index)
    .map(({ track }) => track);

  function seat(track: RemoteTrack): number {
    return place.get(track.participant) ?? stage.length;
  }
}

export interface MainWish {
  readonly pictures: readonly RemoteTrack[];
  /** The one that the person chose. */
  readonly pinned: TrackId | null;
  /** The one shown until now. */
  readonly last: TrackId | null;
  /** Who speaks, if that should move the picture: only among cameras. */
  readonly speaker: ParticipantId | null;
  /** A satellite sees its own ultrasound as it is sent. */
  readonly ownFirst: boolean;
}

/**
 * The large picture, or null. It stays what it was as long as nothing better comes: the picture must not jump while a doctor
 * looks at it. One's own camera and screen are never large; one's own ultrasound is for `ownFirst`, or when there is no other.
 */
export function mainPicture({ pictures, pinned, last, speaker, ownFirst }: MainWish): RemoteTrack | null {
  const chosen = pictures.find(({ id }) => id === pinned);
  if (chosen) return chosen;
  const able = pictures.filter(({ own, source }) => !own || (source !== "camera" && source !== "screen"));
  const worth = (track: RemoteTrack): number => {
    if (track.own) return ownFirst && track.source === "ultrasound" ? -1 : rank(track.source) + 0.5;
    return rank(track.source);
  };
  const best = Math.min(...able.map(worth));
  const candidates = able.filter((track) => worth(track) === best);
  const speaking = candidates.find(({ participant, source }) => source === "camera" && participant === speaker);
  const stays = candidates.find(({ id }) => id === last);
  return speaking ?? stays ?? candidates.find(({ flowing }) => flowing) ?? candidates[0] ?? null;
}

/** What stands beside the main picture in the layout `pair`: the camera of the same person, else the next worthy one. */
export function secondPicture(pictures: readonly RemoteTrack[], main: RemoteTrack): RemoteTrack | null {
  const others = pictures.filter(({ id, own, source }) => id !== main.id && !(own && source === "screen"));
  const same = others.find(({ participant }) => participant === main.participant);
  const foreign = others.filter(({ own }) => !own).sort((a, b) => rank(a.source) - rank(b.source))[0];
  return same ?? foreign ?? others[0] ?? null;
}

/** The doctor whose face and directions a satellite sees: the hub that speaks, else the first hub with a camera, else the first. */
export function hubFace(
  participants: readonly Participant[],
  pictures: readonly RemoteTrack[],
  speakers: readonly Speaker[],
): Participant | null {
  const hubs = participants.filter(({ role }) => role === "hub");
  const lead = hubs.length > 0 ? hubs : participants.filter(({ role }) => role === "organiser");
  const hasCamera = (id: ParticipantId) => pictures.some((p) => p.participant === id && p.source === "camera");
  return (
    lead.find(({ id }) => hasCamera(id) && speakers[0]?.participant === id) ??
    lead.find(({ id }) => hasCamera(id)) ??
    lead[0] ??
    null
  );
}

/** Everybody once: a raised hand comes before all else. */
export interface People {
  /** In the order in which they raised their hands. */
  readonly hands: readonly Participant[];
  readonly onStage: readonly Participant[];
  readonly others: readonly Participant[];
}

export function groupPeople(
  participants: readonly Participant[],
  stage: readonly ParticipantId[],
  hands: readonly ParticipantId[],
): People {
  const byId = new Map(participants.map((person) => [person.id, person]));
  const known = (ids: readonly ParticipantId[]) => ids.flatMap((id) => byId.get(id) ?? []);
  return {
    hands: known(hands),
    onStage: known(stage).filter(({ id }) => !hands.includes(id)),
    others: participants.filter(({ id }) => !stage.includes(id) && !hands.includes(id)),
  };
}

export interface Fact {
  readonly name: string;
  readonly value: string;
}

/** What is known about a picture, in the words and units of the person. An own picture has no way to us, so no delay. */
export function factLines(facts: TrackFacts | undefined, own: boolean): readonly Fact[] {
  if (!facts) return [];
  const lines: Fact[] = [];
  if (facts.width !== null && facts.height !== null) {
    lines.push({ name: t("facts.size"), value: `${facts.width}×${facts.height}` });
  }
  if (facts.framesPerSecond !== null) {
    lines.push({ name: t("facts.rate"), value: t("facts.rateUnit", { value: formatNumber(facts.framesPerSecond) }) });
  }
  if (facts.bitrateBps !== null) lines.push({ name: t("facts.bitrate"), value: bitrate(facts.bitrateBps) });
  if (facts.loss !== null) lines.push({ name: t("facts.loss"), value: `${formatNumber(facts.loss * 100, 1)} %` });
  if (facts.roundTripMs !== null) lines.push({ name: t("facts.roundTrip"), value: milliseconds(facts.roundTripMs) });
  if (!own) {
    lines.push({ name: t("facts.delay"), value: facts.delayMs === null ? t("facts.unknown") : delay(facts.delayMs) });
  }
  if (facts.freezes !== null && facts.freezes > 0) {
    lines.push({ name: t("facts.freezes"), value: formatNumber(facts.freezes) });
  }
  return lines;
}

export function bitrate(bitsPerSecond: number): string {
  return bitsPerSecond >= 1_000_000
    ? t("unit.mbps", { value: formatNumber(bitsPerSecond / 1_000_000, 1) })
    : t("unit.kbps", { value: formatNumber(bitsPerSecond / 1000) });
}

/** No more is promised than clocks compared over a line can tell: a picture is never there at once. */
function delay(valueMs: number): string {
  return valueMs < DELAY_TOLD_MS ? t("facts.under", { value: milliseconds(DELAY_TOLD_MS) }) : milliseconds(valueMs);
}

function milliseconds(value: number): string {
  return t("unit.ms", { value: formatNumber(value) });
}

/** Two letters for a person without a picture: of the last two words, as Vietnamese and Russian names put the given name late. */
export function initials(name: string): string {
  const words = name.split(/[\s.,]+/).filter((word) => /^\p{L}/u.test(word));
  const letters = words.slice(-2).map((word) => Array.from(word)[0] ?? "");
  return letters.join("").toLocaleUpperCase() || "?";
}

/** A stretch of time as a clock shows it: 4:07, 1:04:07; with hundredths where single pictures are looked at. */
export function duration(lengthMs: number, exact = false): string {
  const hundredths = Math.floor(Math.max(0, lengthMs) / 10);
  const seconds = Math.floor(hundredths / 100);
  const two = (value: number) => String(value).padStart(2, "0");
  const minutes = Math.floor(seconds / 60) % 60;
  const hours = Math.floor(seconds / 3600);
  const head = hours > 0 ? `${hours}:${two(minutes)}` : String(minutes);
  return `${head}:${two(seconds % 60)}${exact ? `.${two(hundredths % 100)}` : ""}`;
}

/** The time of day to the second, for moments that lie near each other. */
export function clockTime(atMs: number): string {
  return new Intl.DateTimeFormat(language.value, { hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" }).format(atMs);
}
