// Tests src/reading/loading/frames.ts: what is asked for when, by a server that answers when the test lets it.

import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { ApiError } from "../src/api";
import type { DecoderPool } from "../src/reading/decoding/pool";
import type { FrameAnswer, FrameAsk, PreviewTaker, StudyApi } from "../src/reading/loading/api";
import { AHEAD, FIRST_TOGETHER as FIRST } from "../src/reading/loading/batches";
import { Frames } from "../src/reading/loading/frames";
import { picturesOf } from "../src/reading/model";
import type { Picture } from "../src/reading/model";

const END = 10;
const TOTAL = 40;
const element = (...Value: unknown[]) => ({ Value });

function series(name: string, count: number): readonly Picture[] {
  return Array.from({ length: count }, (_, at) =>
    picturesOf(
      {
        "00080018": element(`${name}.${at}`),
        "00280002": element(1),
        "00280004": element("MONOCHROME2"),
        "00280010": element(512),
        "00280011": element(512),
        "00280100": element(16),
      },
      { study: "1", uid: name },
    ),
  ).flat();
}

interface Single {
  readonly picture: Picture;
  readonly ask: FrameAsk;
  /** Gives so many bytes, and ends unless told otherwise. */
  readonly gives: (count: number, ends?: boolean) => Promise<void>;
  readonly fails: (code: "network" | "notFound") => Promise<void>;
  isGivenUp: boolean;
}

interface Many {
  readonly instances: readonly string[];
  readonly taker: PreviewTaker;
  readonly ends: () => Promise<void>;
  readonly fails: (code: "network" | "notFound") => Promise<void>;
  isGivenUp: boolean;
}

function nth<T>(list: readonly T[], at: number): T {
  const one = list[at];
  if (one === undefined) throw new Error("there are fewer");
  return one;
}

const settle = (): Promise<void> => vi.advanceTimersByTimeAsync(0).then(() => undefined);

function far() {
  const singles: Single[] = [];
  const manies: Many[] = [];
  const pending = (signal: AbortSignal, own: { isGivenUp: boolean }): { done: () => Promise<void>; fails: (code: "network" | "notFound") => Promise<void>; promise: Promise<void> } => {
    let resolve = (): void => undefined;
    let reject = (_error: Error): void => undefined;
    const promise = new Promise<void>((done, failed) => {
      resolve = done;
      reject = failed;
    });
    signal.addEventListener("abort", () => {
      own.isGivenUp = true;
      reject(new DOMException("given up", "AbortError"));
    });
    return {
      promise,
      done: () => {
        resolve();
        return settle();
      },
      fails: (code) => {
        reject(new ApiError(code, ""));
        return settle();
      },
    };
  };
  const api: Pick<StudyApi, "frame" | "previews"> = {
    frame(picture, ask, signal, onAnswer, onBytes) {
      const state = { isGivenUp: false };
      const { promise, done, fails } = pending(signal, state);
      const from = ask.from ?? 0;
      const end = ask.level === undefined ? (ask.to ?? TOTAL - 1) + 1 : END;
      const answer: FrameAnswer = { status: 206, transferSyntax: "", type: "", from, end, total: TOTAL };
      let isAnswered = false;
      const gives = (count: number, ends = true): Promise<void> => {
        if (!isAnswered) onAnswer(answer);
        isAnswered = true;
        onBytes(new Uint8Array(count));
        return ends ? done() : settle();
      };
      singles.push(Object.assign(state, { picture, ask, gives, fails }));
      return promise;
    },
    previews(_study, _series, instances, _level, signal, taker) {
      const state = { isGivenUp: false };
      const { promise, done, fails } = pending(signal, state);
      manies.push(Object.assign(state, { instances, taker, ends: done, fails }));
      return promise;
    },
  };
  const decoded: number[] = [];
  const pool = {
    decode: ({ bytes, level }: { bytes: Uint8Array; level: number }) => {
      decoded.push(bytes.length);
      const side = 512 >> level;
      return Promise.resolve({ data: new Int16Array(side * side), columns: side, rows: side, samples: 1 });
    },
  };
  const came: string[] = [];
  const frames = new Frames(api as StudyApi, pool as unknown as DecoderPool, ({ instance }) => came.push(instance), 64 * 1024 * 1024);
  return { frames, singles, manies, came, decoded };
}

async function comes({ taker }: Many, instance: string): Promise<void> {
  taker.begins(instance, END, TOTAL);
  taker.bytes(new Uint8Array(END));
  taker.ends();
  await settle();
}

/** The first picture is there, small. */
async function begun(count = 300, at = 0) {
  const place = far();
  const pictures = series("5", count);
  place.frames.want([{ pictures, at }], false);
  await settle();
  await place.singles[0]?.gives(END);
  return { ...place, pictures };
}

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

test("the line is the first picture's alone until its bytes are there; then small ones come many at once, the nearest first", async () => {
  const { frames, singles, manies, pictures } = { ...far(), pictures: series("5", 300) };
  frames.want([{ pictures, at: 100 }], false);
  await settle();
  expect(singles.map(({ picture, ask }) => [picture.instance, ask.level])).toEqual([["5.100", 2]]);
  expect(manies).toEqual([]);
  await singles[0]?.gives(END);
  expect(frames.get(nth(pictures, 100))?.grade).toBe("preview");
  expect(manies.map(({ instances }) => instances.length)).toEqual([FIRST, 2 * FIRST]);
  expect(manies[0]?.instances).toEqual(["5.101", "5.99", "5.102", "5.98", "5.103", "5.97", "5.104", "5.96"]);
  // What somebody looks at becomes sharp meanwhile, by the rest of its bytes.
  expect(singles.slice(1).map(({ picture, ask }) => [picture.instance, ask.from])).toEqual([["5.100", END]]);
});

test("each picture of an answer is there as it comes, and the next answer is asked for when one comes to its end", async () => {
  const { manies, came } = await begun();
  const [first, second] = [nth(manies, 0), nth(manies, 1)];
  for (const instance of first.instances.slice(0, 3)) await comes(first, instance);
  expect(came).toEqual(["5.0", ...first.instances.slice(0, 3)]);
  for (const instance of first.instances.slice(3)) await comes(first, instance);
  await first.ends();
  // Another one beside it would only take the line from it.
  expect(manies).toHaveLength(2);
  for (const instance of second.instances.slice(0, -AHEAD)) await comes(second, instance);
  expect(manies).toHaveLength(3);
  expect(manies[2]?.instances).toHaveLength(4 * FIRST);
  expect(new Set(manies.flatMap(({ instances }) => instances)).size).toBe(7 * FIRST);
});

test("no other picture is fetched in full before all are there small", async () => {
  const { singles, manies, pictures } = await begun(5);
  await singles[1]?.gives(TOTAL - END);
  const [only] = manies;
  expect(only?.instances).toHaveLength(4);
  expect(singles).toHaveLength(2);
  for (const { instance } of pictures.slice(1)) await comes(nth(manies, 0), instance);
  await only?.ends();
  expect(singles.slice(2).map(({ picture, ask }) => [picture.instance, ask.from])).toEqual([
    ["5.1", END],
    ["5.2", END],
  ]);
});

test("what was left out of an answer is asked for alone", async () => {
  const { singles, manies } = await begun(5);
  const [only] = manies;
  for (const instance of ["5.1", "5.4"]) await comes(nth(manies, 0), instance);
  await only?.ends();
  expect(singles.slice(1).flatMap(({ picture, ask }) => (ask.level === 2 ? [picture.instance] : []))).toEqual(["5.2", "5.3"]);
});

test("who turns to a far place gets it at once: answers for the place before are given up, what came of them stays", async () => {
  const { frames, singles, manies, pictures } = await begun();
  const [first, second] = manies;
  await comes(nth(manies, 0), "5.1");
  first?.taker.begins("5.2", END, TOTAL);
  first?.taker.bytes(new Uint8Array(4));
  frames.want([{ pictures, at: 200 }], true);
  await settle();
  expect(singles.at(-1)?.picture.instance).toBe("5.200");
  // In passing nothing is given up: it may be for nothing.
  expect([first?.isGivenUp, second?.isGivenUp]).toEqual([false, false]);
  frames.want([{ pictures, at: 200 }], false);
  await settle();
  expect([first?.isGivenUp, second?.isGivenUp]).toEqual([true, true]);
  await singles.at(-1)?.gives(END);
  expect(manies.slice(2).map(({ instances }) => instances[0])).toEqual(["5.201"]);
  frames.want([{ pictures, at: 2 }], false);
  await settle();
  expect(singles.at(-1)).toMatchObject({ picture: { instance: "5.2" }, ask: { from: 4, to: END - 1 } });
});

test("who steps on within an answer does not have it given up, and is not made to wait for its turn", async () => {
  const { frames, singles, manies, pictures } = await begun();
  frames.want([{ pictures, at: 1 }], false);
  await settle();
  // It is the next to come.
  expect(singles.filter(({ picture }) => picture.instance === "5.1")).toEqual([]);
  frames.want([{ pictures, at: 6 }], false);
  await settle();
  expect(singles.at(-1)?.picture.instance).toBe("5.6");
  expect(manies.map(({ isGivenUp }) => isGivenUp)).toEqual([false, false]);
  // What was asked for twice is taken once.
  await singles.at(-1)?.gives(END);
  const before = frames.get(nth(pictures, 6))?.decoded;
  for (const instance of manies[0]?.instances ?? []) await comes(nth(manies, 0), instance);
  expect(frames.get(nth(pictures, 6))?.decoded).toBe(before);
});

test("a sharp picture that nobody looks at any more gives way, and goes on later from where it was", async () => {
  const { frames, singles, pictures } = await begun();
  const sharp = singles[1];
  await sharp?.gives(7, false);
  frames.want([{ pictures, at: 150 }], false);
  await settle();
  expect(sharp?.isGivenUp).toBe(true);
  frames.want([{ pictures, at: 0 }], false);
  await settle();
  expect(singles.at(-1)).toMatchObject({ picture: { instance: "5.0" }, ask: { from: END + 7 } });
});

test("of a study that is left nothing more is fetched", async () => {
  const { frames, singles, manies } = await begun();
  frames.want([{ pictures: series("6", 3), at: 0 }], false);
  await settle();
  expect([singles[1]?.isGivenUp, ...manies.map(({ isGivenUp }) => isGivenUp)]).toEqual([true, true, true]);
  expect(singles.at(-1)?.picture.instance).toBe("6.0");
});

test("a line that breaks is tried again, with what came kept; a server without such answers is asked singly", async () => {
  const { frames, singles, manies } = await begun();
  await singles[1]?.gives(TOTAL - END);
  const [first, second] = manies;
  await comes(nth(manies, 0), "5.1");
  await first?.fails("network");
  await second?.fails("network");
  expect(frames.trouble.peek()).toBe("network");
  expect(manies).toHaveLength(2);
  await vi.advanceTimersByTimeAsync(1001);
  expect(manies).toHaveLength(3);
  expect(manies[2]?.instances[0]).toBe("5.2");
  await comes(nth(manies, 2), "5.2");
  expect(frames.trouble.peek()).toBeNull();
  for (const each of manies.slice(2)) await each.fails("notFound");
  expect(singles.slice(2).map(({ picture }) => picture.instance)).toEqual(["5.3", "5.4", "5.5", "5.6"]);
});
