// Tests src/replay: what a lane has when, what is fetched in which order, what the clock and its corrections do, what events tell.

import { signal } from "@preact/signals";
import type { Signal } from "@preact/signals";
import { expect, test, vi } from "vitest";
import { ApiError } from "../src/api";
import { sessionOf } from "../src/claims";
import { createReplayApi } from "../src/replay/api";
import type { PartRow, RecordedEvent, RecordedTrack } from "../src/replay/api";
import { Feeder } from "../src/replay/feeder";
import type { Store } from "../src/replay/feeder";
import { Lane, mergeTracks } from "../src/replay/lane";
import { PlayClock, correct } from "../src/replay/playclock";
import { Steps } from "../src/replay/steps";
import { tell } from "../src/replay/story";

const INIT = { part: 1, mediaType: 'video/mp4; codecs="avc1.42E01F"', codec: "h264", width: 640, height: 480 };

function track(change: Partial<RecordedTrack> = {}): RecordedTrack {
  return { id: 4, participant: "p", source: "ultrasound", kind: "video", live: false, beginMs: 0, endMs: 0, sizeBytes: 0, inits: [INIT], ...change };
}

/** Parts of a second each, from part 2 on; decoding can begin at every `keyEvery`th. */
function rows(count: number, { keyEvery = 2, fromMs = 0, first = 2, init = 1 } = {}): PartRow[] {
  return Array.from({ length: count }, (_, k) => [first + k, init, fromMs + k * 1000, 1000, k % keyEvery === 0 ? 1 : 0, 1000, 30] as const);
}

function laneOf(parts: readonly PartRow[], change: Partial<RecordedTrack> = {}): Lane {
  const lane = new Lane(track(change));
  lane.take(4, { parts, findings: [] });
  return lane;
}

// Lanes

test("a lane knows what it has at a moment, and when it goes on", () => {
  const lane = laneOf([...rows(3), ...rows(2, { fromMs: 10_000, first: 5 })]);
  expect(lane.at(2_500)).toMatchObject({ kind: "there", index: 2 });
  expect(lane.at(4_000)).toEqual({ kind: "nothing", nextMs: 10_000 });
  expect(lane.at(12_000)).toEqual({ kind: "nothing", nextMs: null });
  expect(lane.spans()).toEqual([
    { kind: "there", fromMs: 0, toMs: 3_000 },
    { kind: "there", fromMs: 10_000, toMs: 12_000 },
  ]);
});

test("a hole that nobody notices is no gap", () => {
  const lane = laneOf([...rows(2), ...rows(2, { fromMs: 2_100, first: 4 })]);
  expect(lane.at(2_050).kind).toBe("there");
  expect(lane.spans()).toHaveLength(1);
});

test("what depends on a damaged part is damaged too, up to where decoding can begin again", () => {
  const lane = laneOf(rows(9, { keyEvery: 3 }));
  const hurt = lane.pieces[4];
  if (hurt) lane.spoil(hurt, "damaged");
  expect(lane.at(3_500).kind).toBe("there");
  expect(lane.damageAt(4_500)).toEqual({ fromMs: 4_000, toMs: 6_000 });
  expect(lane.damageAt(5_500)).toEqual({ fromMs: 4_000, toMs: 6_000 });
  expect(lane.at(6_500).kind).toBe("there");
  expect(lane.decodableFrom(8)).toBe(6);
});

test("a part that is missing leaves damage in its place, told once", () => {
  const lane = new Lane(track());
  const parts = rows(6).filter(([number]) => number !== 4);
  const findings = [{ part: 4, trouble: "missing", text: "" }];
  expect(lane.take(4, { parts, findings })).toBe(true);
  expect(lane.damageAt(2_500)).toEqual({ fromMs: 2_000, toMs: 4_000 });
  expect(lane.take(4, { parts: [], findings })).toBe(false);
});

test("without its beginning segment nothing of it can be played", () => {
  const lane = new Lane(track());
  lane.take(4, { parts: rows(2, { init: -1 }), findings: [] });
  expect(lane.damageAt(500)).toEqual({ fromMs: 0, toMs: 2_000 });
});

test("streams of one person and source are one lane, parts are taken once", () => {
  const [lane, ...others] = mergeTracks([], [track(), track({ id: 9, inits: [INIT] })]);
  expect(others).toEqual([]);
  lane?.take(4, { parts: rows(2), findings: [] });
  lane?.take(9, { parts: rows(2, { fromMs: 5_000 }), findings: [] });
  lane?.take(4, { parts: rows(2), findings: [] });
  expect(lane?.pieces.map(({ track: of, startMs }) => [of, startMs])).toEqual([
    [4, 0],
    [4, 1_000],
    [9, 5_000],
    [9, 6_000],
  ]);
});

// Clock

test("the clock keeps its place over pauses and changes of speed", () => {
  const clock = new PlayClock(1_000);
  expect(clock.at(50)).toBe(1_000);
  clock.run(true, 100);
  expect(clock.at(600)).toBe(1_500);
  clock.setRate(2, 600);
  expect(clock.at(1_100)).toBe(2_500);
  clock.run(false, 1_100);
  expect(clock.at(9_999)).toBe(2_500);
});

test.each([
  [0.005, 1, false, { kind: "rate", rate: 1 }],
  [0.015, 1, false, { kind: "rate", rate: 1 }],
  [0.015, 1, true, { kind: "rate", rate: 0.95 }],
  [-0.03, 1, false, { kind: "rate", rate: 1.05 }],
  [0.2, 1, false, { kind: "rate", rate: 0.9 }],
  [0.2, 0.5, false, { kind: "rate", rate: 0.45 }],
  [0.9, 4, false, { kind: "rate", rate: 3.6 }],
  [0.4, 1, false, { kind: "seek" }],
  [-2, 4, true, { kind: "seek" }],
] as const)("%d s off at speed %d (being corrected: %s) gives %j", (offS, rate, correcting, expected) => {
  expect(correct(offS, rate, correcting)).toEqual(expected);
});

// Feeding

interface Fed {
  readonly feeder: Feeder;
  readonly log: string[];
  readonly asked: number[];
  readonly refused: ApiError[];
  readonly broken: () => number;
  readonly offline: Signal<boolean>;
}

function feed(lane: Lane, load: (part: number) => Promise<ArrayBuffer> | null = () => null, store: Partial<Store> = {}): Fed {
  const log: string[] = [];
  const asked: number[] = [];
  const refused: ApiError[] = [];
  const offline = signal(false);
  let broken = 0;
  const bytes = (part: number): ArrayBuffer => new Uint8Array([part]).buffer;
  const feeder = new Feeder({
    lane,
    store: {
      append: (_, data) => {
        log.push(`+${new Uint8Array(data)[0] ?? ""}`);
        return Promise.resolve();
      },
      remove: (from, to) => {
        log.push(`-${from}..${to}`);
        return Promise.resolve();
      },
      clear: () => {
        log.push("clear");
        return Promise.resolve();
      },
      ...store,
    },
    load: (_, part, signal) => {
      asked.push(part);
      return load(part) ?? (signal.aborted ? Promise.reject(new DOMException("", "AbortError")) : Promise.resolve(bytes(part)));
    },
    plays: (mediaType) => mediaType.startsWith("video/"),
    onChange: () => undefined,
    onRefused: (error) => refused.push(error),
    onBroken: () => (broken += 1),
    offline,
    wait: () => new Promise((resolve) => setTimeout(resolve, 1)),
  });
  return { feeder, log, asked, refused, broken: () => broken, offline };
}

const settled = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, 5));

test("feeding begins where decoding can, with the beginning segment, and stops some seconds ahead", async () => {
  const { feeder, log } = feed(laneOf(rows(60, { keyEvery: 4 })));
  feeder.follow(6_500, 3_000);
  await settled();
  expect(log).toEqual(["clear", "+1", "+6", "+7", "+8", "+9", "+10", "+11"]);
  feeder.follow(7_500, 3_000);
  await settled();
  expect(log.slice(8)).toEqual(["+12"]);
});

test("a seek within what is there fetches nothing; a long one begins anew", async () => {
  const { feeder, log, asked } = feed(laneOf(rows(100)));
  feeder.follow(0, 5_000);
  await settled();
  const before = asked.length;
  feeder.follow(3_000, 2_000);
  await settled();
  expect(asked).toHaveLength(before);
  feeder.follow(50_500, 1_000);
  await settled();
  expect(log.slice(log.lastIndexOf("clear"))).toEqual(["clear", "+1", "+52", "+53"]);
  // The beginning segment was kept.
  expect(asked.filter((part) => part === 1)).toHaveLength(1);
});

test("what lies far behind is dropped, in steps", async () => {
  const { feeder, log } = feed(laneOf(rows(100)));
  for (let headMs = 0; headMs <= 60_000; headMs += 1_000) {
    feeder.follow(headMs, 2_000);
    await settled();
  }
  expect(log.filter((line) => line.startsWith("-"))).toEqual(["-0..10", "-0..20", "-0..30"]);
});

test("a damaged part is stepped over with all that depends on it", async () => {
  const lane = laneOf(rows(9, { keyEvery: 3 }));
  const { feeder, log } = feed(lane, (part) => (part === 6 ? Promise.reject(new ApiError("damaged", "altered")) : null));
  feeder.follow(0);
  await settled();
  expect(log).toEqual(["clear", "+1", "+2", "+3", "+4", "+5", "+8", "+9", "+10"]);
  expect(lane.damageAt(4_500)).toEqual({ fromMs: 4_000, toMs: 6_000 });
});

test("a damaged beginning segment spoils all that needs it, and nothing else", async () => {
  const lane = new Lane(track({ inits: [INIT, { ...INIT, part: 20 }] }));
  lane.take(4, { parts: [...rows(3), ...rows(3, { first: 21, init: 20, fromMs: 3_000 })], findings: [] });
  const { feeder, log } = feed(lane, (part) => (part === 1 ? Promise.reject(new ApiError("damaged", "altered")) : null));
  feeder.follow(0);
  await settled();
  feeder.follow(0);
  await settled();
  expect(lane.damageAt(0)).toEqual({ fromMs: 0, toMs: 3_000 });
  expect(log.filter((line) => line.startsWith("+"))).toEqual(["+20", "+21", "+22", "+23"]);
});

test("a media type that the browser cannot play is told, not tried", async () => {
  const lane = new Lane(track({ inits: [{ ...INIT, mediaType: "audio/strange" }] }));
  lane.take(4, { parts: rows(3), findings: [] });
  const { feeder, log } = feed(lane);
  feeder.follow(0);
  await settled();
  expect(log).toEqual(["clear"]);
  expect(lane.at(500)).toMatchObject({ kind: "bad", bad: "unsupported" });
  expect(lane.damageAt(500)).toBeNull();
});

test("while only the line is down it keeps trying; a refused link ends it", async () => {
  const lane = laneOf(rows(3));
  let failures = 2;
  const trying = feed(lane, (part) => (part === 2 && failures-- > 0 ? Promise.reject(new ApiError("network", "")) : null));
  const told: boolean[] = [];
  trying.offline.subscribe((offline) => told.push(offline));
  trying.feeder.follow(0);
  await vi.waitFor(() => expect(trying.log).toEqual(["clear", "+1", "+2", "+3", "+4"]));
  expect(told).toEqual([false, true, false]);
  const ended = feed(laneOf(rows(3)), () => Promise.reject(new ApiError("tokenExpired", "")));
  ended.feeder.follow(0);
  await settled();
  expect(ended.refused.map(({ code }) => code)).toEqual(["tokenExpired"]);
});

test("a full browser makes it fetch less, without hurry and without end", async () => {
  const lane = laneOf(rows(100));
  let room = 6;
  const { feeder, asked, broken } = feed(lane, undefined, {
    append: () => (room-- > 0 ? Promise.resolve() : Promise.reject(new DOMException("full", "QuotaExceededError"))),
  });
  feeder.follow(0, 20_000);
  await settled();
  feeder.dispose();
  expect(broken()).toBe(0);
  expect(Math.max(...asked)).toBeLessThan(15);
});

test("what was asked for before a seek is not taken in after it", async () => {
  const lane = laneOf(rows(100));
  const waiting = new Map<number, (data: ArrayBuffer) => void>();
  const { feeder, log } = feed(lane, (part) => (part === 1 || part > 50 ? null : new Promise((resolve) => waiting.set(part, resolve))));
  feeder.follow(0, 1_000);
  await settled();
  feeder.follow(60_000, 0);
  await settled();
  for (const [part, resolve] of waiting) resolve(new Uint8Array([part]).buffer);
  await settled();
  expect(log.filter((line) => line.startsWith("+"))).not.toContain("+2");
  expect(log.at(-1)).toBe("+62");
});

// Steps

test("steps go from picture to picture, and ask again only beyond what is known", async () => {
  const lane = laneOf(rows(20));
  const ask = vi.fn((_: number, from: number, to: number) =>
    Promise.resolve({ frames: Array.from({ length: (to - from + 1) * 2 }, (_, k) => (from - 2) * 1_000_000 + k * 500_000), endUs: (to - 1) * 1_000_000 }),
  );
  const steps = new Steps(ask);
  expect(await steps.next(lane, 5_000, 1)).toBe(5_508);
  expect(await steps.next(lane, 5_508, 1)).toBe(6_008);
  expect(await steps.next(lane, 6_008, -1)).toBe(5_508);
  expect(ask).toHaveBeenCalledTimes(1);
  expect(ask).toHaveBeenCalledWith(4, 4, 10);
});

test("there is no picture before the first", async () => {
  const steps = new Steps(() => Promise.resolve({ frames: [0, 500_000], endUs: 1_000_000 }));
  expect(await steps.next(laneOf(rows(1)), 10, -1)).toBeNull();
});

// Story

const event = (type: string, atMs: number, more: object = {}): RecordedEvent => ({ type, atMs, ...more });

test("events tell who is who, chapters, marks, pauses and what was written", () => {
  const story = tell(
    [
      event("participantJoined", 0, { participant: "a", name: "Hà", role: "hub", point: "" }),
      event("participantJoined", 0, { participant: "b", name: "Lan", role: "satellite", point: "Sơn La" }),
      event("stageChanged", 0, { stage: ["a"] }),
      event("stageChanged", 300, { stage: ["a", "b"] }),
      event("markAdded", 2_000, { mark: "m", name: "Hà", text: "polyp" }),
      event("markAdded", 2_500, { mark: "n", name: "Hà", text: "slip" }),
      event("markRemoved", 2_600, { mark: "n" }),
      event("fromTheFuture", 2_700, { stage: 7 }),
      event("recordingPaused", 3_000, { by: "a" }),
      event("recordingResumed", 5_000, { by: "a" }),
      event("chatSent", 6_000, { participant: "b", name: "Lan", text: "rõ" }),
      event("stageChanged", 7_000, { stage: ["b"] }),
      event("recordingPaused", 9_000, { by: "x" }),
    ],
    10_000,
  );
  expect(story.chapters).toEqual([
    { atMs: 300, names: ["Hà", "Lan"] },
    { atMs: 7_000, names: ["Lan"] },
  ]);
  expect(story.marks.map(({ text }) => text)).toEqual(["polyp"]);
  expect(story.paused).toEqual([
    { fromMs: 3_000, toMs: 5_000 },
    { fromMs: 9_000, toMs: 10_000 },
  ]);
  expect(story.entries.map(({ kind }) => kind)).toEqual(["floor", "paused", "resumed", "chat", "floor", "paused"]);
});

test("who agreed later gets a name then, and what is no text does no harm", () => {
  const story = tell(
    [
      event("participantJoined", 0, { participant: "a", name: "", role: "satellite", point: "" }),
      event("participantRenamed", 900, { participant: "a", name: "Lan" }),
      event("chatSent", 1_000, { participant: "a", name: 5, text: { no: "text" } }),
    ],
    2_000,
  );
  expect(story.people.get("a")).toMatchObject({ name: "Lan", role: "satellite" });
  expect(story.entries).toMatchObject([{ kind: "chat", name: "Lan", text: "" }]);
});

// HTTP

test("the token goes into the header only, and refusals keep their code", async () => {
  const request = vi.fn<typeof fetch>(() =>
    Promise.resolve(new Response(JSON.stringify({ error: { code: "damaged", text: "altered" } }), { status: 422 })),
  );
  const api = createReplayApi("a.b.c", request);
  await expect(api.part("r", 1, 2, new AbortController().signal)).rejects.toMatchObject({ code: "damaged" });
  const [url, options] = request.mock.calls[0] ?? [];
  expect(url).toBe("/api/recordings/r/tracks/1/parts/2");
  expect(options?.headers).toMatchObject({ Authorization: "Bearer a.b.c" });
  request.mockRejectedValueOnce(new TypeError("offline"));
  await expect(api.open("r")).rejects.toMatchObject({ code: "network" });
});

test("a part may come slowly, but when nothing comes any more it is given up", async () => {
  vi.useFakeTimers();
  let feedBody: ReadableStreamDefaultController<Uint8Array> | undefined;
  const request: typeof fetch = (_, options) => {
    const body = new ReadableStream<Uint8Array>({
      start(controller) {
        feedBody = controller;
        options?.signal?.addEventListener("abort", () => controller.error(new DOMException("", "AbortError")));
      },
    });
    return Promise.resolve(new Response(body));
  };
  const api = createReplayApi("a.b.c", request);
  const slow = api.part("r", 1, 2, new AbortController().signal);
  for (let second = 0; second < 90; second += 20) {
    await vi.advanceTimersByTimeAsync(20_000);
    feedBody?.enqueue(new Uint8Array(2));
  }
  feedBody?.close();
  expect((await slow).byteLength).toBe(10);
  const stalled = api.part("r", 1, 3, new AbortController().signal);
  const outcome = expect(stalled).rejects.toMatchObject({ code: "network" });
  feedBody?.enqueue(new Uint8Array(2));
  await vi.advanceTimersByTimeAsync(31_000);
  await outcome;
  vi.useRealTimers();
});

test("an invite's link asks for its session, the staff's for all", async () => {
  const token = `x.${btoa(JSON.stringify({ ses: "abc" })).replace(/=+$/, "")}.y`;
  expect(sessionOf(token)).toBe("abc");
  expect(sessionOf("nonsense")).toBeNull();
  const request = vi.fn<typeof fetch>(() => Promise.resolve(new Response(JSON.stringify({ recordings: [] }))));
  await createReplayApi(token, request).recordings();
  expect(request.mock.calls[0]?.[0]).toBe("/api/recordings?session=abc");
});

test("who led the reading and that a study was shown are told, also of who had no name then", () => {
  const story = tell(
    [
      event("participantJoined", 0, { participant: "a", name: "Hà", role: "hub", point: "" }),
      event("leadChanged", 1_000, { participant: "a", name: "" }),
      event("studyShown", 2_000, { participant: "a", name: "Hà", study: "x7" }),
      event("studyShown", 3_000, { participant: "", name: "", study: "" }),
      event("leadChanged", 3_000, { participant: "", name: "" }),
    ],
    4_000,
  );
  expect(story.entries).toMatchObject([{ kind: "leads", name: "Hà" }, { kind: "studyShown", name: "Hà" }, { kind: "studyClosed" }]);
});
