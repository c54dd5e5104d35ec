// Tests src/replay/player.ts: what changes bring, in whatever order their answers come, and what a step that fails leaves.

import { afterEach, expect, test, vi } from "vitest";
import { ApiError } from "../src/api";
import type { Recorded, RecordedEvent, RecordedTrack, RecordingDetail, ReplayApi } from "../src/replay/api";
import { Replay } from "../src/replay/player";

let opened: Replay | null = null;

afterEach(() => {
  opened?.dispose();
  opened = null;
});

const RECORDED: Recorded = {
  id: "r",
  session: "s",
  title: "Echo",
  kind: "consultation",
  state: "ended",
  startedAt: 0,
  beginMs: 0,
  endMs: 60_000,
  sizeBytes: 0,
  hold: false,
  retainUntil: null,
  clipOf: null,
};

const CAMERA: RecordedTrack = {
  id: 1,
  participant: "p",
  source: "camera",
  kind: "video",
  live: false,
  beginMs: 0,
  endMs: 2_000,
  sizeBytes: 0,
  inits: [{ part: 1, mediaType: "video/webm", codec: "vp8", width: 320, height: 240 }],
};

const written = (text: string): RecordedEvent => ({ type: "chatSent", atMs: 1_000, name: "Hà", text });
/** Of a later server: without a time it tells nothing, but it counts. */
const UNTIMED = { type: "fromTheFuture" } as unknown as RecordedEvent;

function unexpected(): never {
  throw new Error("not asked for in this test");
}

async function open(api: Partial<ReplayApi>, events: readonly RecordedEvent[] = [], tracks: readonly RecordedTrack[] = []): Promise<Replay> {
  opened = new Replay(
    {
      recordings: unexpected,
      open: () => Promise.resolve({ recording: RECORDED, tracks, events }),
      changes: unexpected,
      parts: () => Promise.resolve({ parts: [[2, 1, 0, 2_000, 1, 1_000, 60]], findings: [] }),
      part: unexpected,
      frames: unexpected,
      addMark: unexpected,
      removeMark: unexpected,
      cut: unexpected,
      exported: unexpected,
      ...api,
    },
    "r",
  );
  await opened.open();
  return opened;
}

const texts = (replay: Replay): readonly string[] => replay.story.value.entries.map((entry) => (entry.kind === "chat" ? entry.text : entry.kind));

/** A server with a list of events that grows; each answer is held back until it is let go. */
function growing(log: RecordedEvent[]) {
  const held: (() => void)[] = [];
  const changes = (_: string, known: number): Promise<RecordingDetail> =>
    new Promise((resolve) => {
      const answer = { recording: RECORDED, tracks: [], events: log.slice(known) };
      held.push(() => resolve(answer));
    });
  return { changes, held };
}

test.each([
  ["in their order", [0, 1]],
  ["the newer one first", [1, 0]],
])("questions that overlap bring each event once, when they are answered %s", async (_, order) => {
  const log = [written("a")];
  const { changes, held } = growing(log);
  const replay = await open({ changes }, [...log]);
  log.push(written("b"));
  const first = replay.refresh();
  log.push(written("c"));
  const second = replay.refresh();
  for (const which of order) held[which]?.();
  await Promise.all([first, second]);
  expect(texts(replay)).toEqual(["a", "b", "c"]);
});

test("what has no time tells nothing, but is not asked for again", async () => {
  const changes = vi.fn((_: string, __: number) => Promise.resolve({ recording: RECORDED, tracks: [], events: [UNTIMED, written("b")] }));
  const replay = await open({ changes }, [UNTIMED, written("a")]);
  await replay.refresh();
  expect(texts(replay)).toEqual(["a", "b"]);
  await replay.refresh();
  expect(changes.mock.calls.map(([, known]) => known)).toEqual([2, 4]);
});

test("an answer that was overtaken does not let an ended recording run again", async () => {
  const answers: ((recording: Recorded) => void)[] = [];
  const changes = () => new Promise<RecordingDetail>((resolve) => answers.push((recording) => resolve({ recording, tracks: [], events: [] })));
  const replay = await open({ changes });
  const first = replay.refresh();
  const second = replay.refresh();
  answers[1]?.(RECORDED);
  answers[0]?.({ ...RECORDED, state: "running" });
  await Promise.all([first, second]);
  expect(replay.running.value).toBe(false);
});

test("a step that the server does not answer says so, and leaves nothing behind", async () => {
  const replay = await open({ frames: () => Promise.reject(new ApiError("network", "")) }, [], [CAMERA]);
  replay.main.value = replay.lanes.value[0]?.id ?? null;
  await expect(replay.step(1)).rejects.toMatchObject({ code: "network" });
  expect(replay.offline.value).toBe(false);
});
