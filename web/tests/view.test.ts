// Tests src/pages/view.ts: which picture is large, and how people and figures are put.

import { beforeAll, expect, test } from "vitest";
import { setLanguage, startLanguage } from "../src/i18n";
import { factLines, groupPeople, hubFace, initials, mainPicture, secondPicture, visiblePictures } from "../src/pages/view";
import type { MainWish } from "../src/pages/view";
import type { Participant, Role, Source } from "../src/protocol";
import type { RemoteTrack, TrackFacts } from "../src/state";

beforeAll(async () => {
  await startLanguage(null, ["en"]);
});

function track(id: string, participant: string, source: Source, more: Partial<RemoteTrack> = {}): RemoteTrack {
  const kind = source === "microphone" || source === "ultrasoundSound" ? "audio" : "video";
  const state = { muted: false, blocked: false, flowing: true, layers: [], codec: "VP8", stream: null, own: false, layer: null, limited: false };
  return { id, participant, source, kind, ...state, ...more };
}

function person(id: string, role: Role, name = id): Participant {
  return { id, name, role, point: "", connected: true, quality: 3, rttMs: 10, loss: 0, clockOffsetMs: 0, language: "vi", consent: null };
}

const WISH: MainWish = { pictures: [], pinned: null, last: null, speaker: null, ownFirst: false };

test("ultrasound is large before cameras and screens", () => {
  const pictures = [track("c", "a", "camera"), track("s", "a", "screen"), track("u", "b", "ultrasound")];
  expect(mainPicture({ ...WISH, pictures, last: "c" })?.id).toBe("u");
});

test("a second ultrasound does not take the place of the one that is looked at", () => {
  const pictures = [track("u1", "a", "ultrasound"), track("u2", "b", "ultrasound")];
  expect(mainPicture({ ...WISH, pictures, last: "u2" })?.id).toBe("u2");
  expect(mainPicture({ ...WISH, pictures, last: "u2", speaker: "a" })?.id).toBe("u2");
});

test("a picture that arrives is taken before one that does not, but a standing one is not left for another patient's", () => {
  const pictures = [track("u1", "a", "ultrasound", { flowing: false }), track("u2", "b", "ultrasound")];
  expect(mainPicture({ ...WISH, pictures })?.id).toBe("u2");
  expect(mainPicture({ ...WISH, pictures, last: "u1" })?.id).toBe("u1");
});

test("what the person chose stays until it ends", () => {
  const pictures = [track("c", "a", "camera"), track("u", "b", "ultrasound")];
  expect(mainPicture({ ...WISH, pictures, pinned: "c" })?.id).toBe("c");
  expect(mainPicture({ ...WISH, pictures: pictures.slice(1), pinned: "c" })?.id).toBe("u");
});

test("among cameras the large one follows who speaks, and stays in silence", () => {
  const pictures = [track("c1", "a", "camera"), track("c2", "b", "camera")];
  expect(mainPicture({ ...WISH, pictures, last: "c1", speaker: "b" })?.id).toBe("c2");
  expect(mainPicture({ ...WISH, pictures, last: "c2" })?.id).toBe("c2");
});

test("one's own camera and screen are never large by themselves", () => {
  const pictures = [track("c", "me", "camera", { own: true }), track("s", "me", "screen", { own: true })];
  expect(mainPicture({ ...WISH, pictures })).toBeNull();
});

test("a satellite sees its own ultrasound first, a hub that of the others", () => {
  const pictures = [track("u1", "b", "ultrasound"), track("u2", "me", "ultrasound", { own: true })];
  expect(mainPicture({ ...WISH, pictures, ownFirst: true, last: "u1" })?.id).toBe("u2");
  expect(mainPicture({ ...WISH, pictures, last: "u2" })?.id).toBe("u1");
});

test("beside the ultrasound stands the camera of the same person", () => {
  const main = track("u", "b", "ultrasound");
  const pictures = [track("c1", "a", "camera"), main, track("c2", "b", "camera")];
  expect(secondPicture(pictures, main)?.id).toBe("c2");
  expect(secondPicture([main], main)).toBeNull();
});

test("pictures are those of the stage in its order, none switched off, and one's own", () => {
  const tracks = [
    track("own", "me", "camera", { own: true }),
    track("c1", "a", "camera"),
    track("c2", "b", "camera"),
    track("off", "b", "screen", { muted: true }),
    track("stopped", "a", "screen", { blocked: true }),
    track("away", "z", "camera"),
    track("voice", "a", "microphone"),
  ];
  expect(visiblePictures(tracks, ["b", "a"]).map(({ id }) => id)).toEqual(["c2", "c1", "own"]);
});

test("a satellite sees the hub doctor who has a camera, the speaking one first, else the organiser", () => {
  const pictures = [track("c1", "h1", "camera"), track("c2", "h2", "camera")];
  const people = [person("o", "organiser"), person("h0", "hub"), person("h1", "hub"), person("h2", "hub")];
  expect(hubFace(people, pictures, [])?.id).toBe("h1");
  expect(hubFace(people, pictures, [{ participant: "h2", level: -20 }])?.id).toBe("h2");
  expect(hubFace(people, [], [])?.id).toBe("h0");
  expect(hubFace(people.slice(0, 1), [], [])?.id).toBe("o");
  expect(hubFace([person("s", "satellite")], [], [])).toBeNull();
});

test("hands stand in the order in which they were raised", () => {
  const people = ["a", "b", "c", "d"].map((id) => person(id, "viewer"));
  const groups = groupPeople(people, ["b", "a"], ["d", "a", "gone"]);
  expect(groups.hands.map(({ id }) => id)).toEqual(["d", "a"]);
  expect(groups.onStage.map(({ id }) => id)).toEqual(["b"]);
  expect(groups.others.map(({ id }) => id)).toEqual(["c"]);
});

const FACTS: TrackFacts = {
  width: 1280,
  height: 720,
  framesPerSecond: 29.97,
  bitrateBps: 6_140_000,
  loss: 0.0123,
  roundTripMs: 45.4,
  delayMs: 180.2,
  frozenMs: 0,
  freezes: 0,
  codec: "H264",
};

test("figures stand in the person's units; a delay that is not known yet is said, all else left out", async () => {
  await setLanguage("en", null);
  expect(factLines(FACTS, false).map(({ value }) => value)).toEqual(["1280×720", "30/s", "6.1 Mbit/s", "1.2 %", "45 ms", "180 ms"]);
  expect(factLines({ ...FACTS, bitrateBps: 384_000, delayMs: null, freezes: 2 }, false).map(({ value }) => value)).toEqual([
    "1280×720",
    "30/s",
    "384 kbit/s",
    "1.2 %",
    "45 ms",
    "not known yet",
    "2",
  ]);
  expect(factLines({ ...FACTS, delayMs: 0.4 }, false).at(-1)?.value).toBe("under 10 ms");
  expect(factLines({ ...FACTS, delayMs: null }, true).map(({ name }) => name)).not.toContain("Delay");
  expect(factLines(undefined, false)).toEqual([]);
  await setLanguage("ru", null);
  expect(factLines(FACTS, false)[2]?.value).toBe("6,1 Мбит/с");
});

test.each([
  ["Nguyễn Thị Lan", "TL"],
  ["Иванов Пётр", "ИП"],
  ["Dr. Đặng", "DĐ"],
  ["X", "X"],
  ["***", "?"],
  ["", "?"],
])("initials of %j are %s", (name, expected) => {
  expect(initials(name)).toBe(expected);
});
