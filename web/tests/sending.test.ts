// Tests one sending (src/studies/sending.ts, pace.ts, transfer.ts) against a server that is played: what goes together, what is tried again,
// what is not sent twice.

import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { ApiError } from "../src/api";
import { examine } from "../src/studies/findings";
import type { FoundStudy } from "../src/studies/findings";
import { LEAST_BYTES, MOST_BYTES, Pace } from "../src/studies/pace";
import { LARGE_BYTES, Sending } from "../src/studies/sending";
import { createSendRoom } from "../src/studies/room";
import { fileSource, TooManyFiles } from "../src/studies/sources";
import type { Source } from "../src/studies/sources";
import { createTransfer, outcomeOf } from "../src/studies/transfer";
import type { Outcome, Refused, Taken, Transfer } from "../src/studies/transfer";
import { dicomdir, dicomFile, fileOf } from "./making";

/** The computer's own clock, which is not played. */
const realNowMs = performance.now.bind(performance);
const realSetTimeout = setTimeout;
const QUIET = { quality: null, roundTripMs: null } as const;

interface Made {
  readonly instance: string;
  readonly study?: string;
  readonly pixels?: number;
}

async function found(objects: readonly Made[]): Promise<readonly FoundStudy[]> {
  const sources = objects.map((one) => fileSource(fileOf(dicomFile(one), `f/${one.instance}`)));
  return (await examine(sources, { signal: new AbortController().signal, onProgress: () => undefined })).studies;
}

class Played implements Transfer {
  readonly there = new Set<string>();
  readonly requests: string[][] = [];
  readonly announced: [string, number][] = [];
  readonly pieces: number[] = [];
  /** What the next requests fail of. */
  readonly failures: (Error | undefined)[] = [];
  readonly reasons = new Map<string, Refused["why"]>();
  refuseAll: Refused["why"] | null = null;
  private readonly uploads = new Map<string, { size: number; offset: number }>();

  known(): Promise<readonly string[]> {
    return this.answer([...this.there]);
  }
  announce(study: string, expected: number): Promise<void> {
    this.announced.push([study, expected]);
    return this.answer(undefined);
  }
  async store(objects: readonly { readonly sopInstance: string }[], signal: AbortSignal): Promise<Outcome> {
    const uids = objects.map(({ sopInstance }) => sopInstance);
    this.requests.push(uids);
    await this.answer(undefined);
    if (signal.aborted) throw new ApiError("network", "stopped");
    const refused = uids.flatMap((uid) => {
      const why = this.refuseAll ?? this.reasons.get(uid);
      return why === undefined ? [] : [{ sopInstance: uid, why }];
    });
    const kept = uids.filter((uid) => this.refuseAll === null && !this.reasons.has(uid));
    for (const uid of kept) this.there.add(uid);
    return { kept, refused };
  }
  async begin(key: string, sizeBytes: number): Promise<{ id: string; offset: number }> {
    await this.answer(undefined);
    const upload = this.uploads.get(key) ?? { size: sizeBytes, offset: 0 };
    this.uploads.set(key, upload);
    return { id: key, offset: upload.offset };
  }
  async piece(id: string, offset: number, content: Uint8Array): Promise<Taken> {
    await this.answer(undefined);
    const upload = this.uploads.get(id);
    if (upload === undefined) throw new ApiError("notFound", "no such upload");
    this.pieces.push(content.length);
    if (offset === upload.offset) upload.offset += content.length;
    return { offset: upload.offset, outcome: upload.offset === upload.size ? "kept" : null };
  }
  forgetUploads(): void {
    this.uploads.clear();
  }
  private answer<T>(value: T): Promise<T> {
    const failure = this.failures.shift();
    return failure === undefined ? Promise.resolve(value) : Promise.reject(failure);
  }
}

const network = (): ApiError => new ApiError("network", "broken line");

/** The one study of these, its pictures opened as told. */
async function opened(objects: readonly Made[], open: (content: Blob, instance: string) => Promise<Blob>): Promise<FoundStudy> {
  const [study] = await found(objects);
  if (study === undefined) throw new Error("nothing found");
  const pictures = study.pictures.map((picture) => ({
    ...picture,
    source: { ...picture.source, open: async () => open(await picture.source.open(), picture.header.sopInstance) },
  }));
  return { ...study, pictures };
}

/** A slow disc, as when a person stops while it is read. */
async function slow(content: Blob): Promise<Blob> {
  await new Promise((resolve) => setTimeout(resolve, 500));
  return content;
}

async function finished(sending: Sending): Promise<void> {
  const run = sending.run();
  await until(() => sending.isOver(), 1000);
  await run;
}

/** Reading and hashing take real time, whatever the clock says. */
async function until(isSo: () => boolean, stepMs: number): Promise<void> {
  for (let round = 0; round < 2000 && !isSo(); round++) {
    await vi.advanceTimersByTimeAsync(stepMs);
    await new Promise((resolve) => realSetTimeout(resolve, 0));
  }
}

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

describe("a sending", () => {
  test("sends everything once, in few requests, and says beforehand how much will come", async () => {
    const played = new Played();
    const studies = await found([...Array.from({ length: 300 }, (_, index) => ({ instance: `1.${index}` })), { instance: "2.1", study: "7.7" }]);
    const sending = new Sending(studies, { transfer: played, line: () => QUIET });
    await finished(sending);
    expect(sending.state.value).toBe("done");
    expect(played.requests.flat().sort()).toEqual([...new Set(played.requests.flat())].sort());
    expect(played.there.size).toBe(301);
    expect(played.requests.length).toBeLessThan(10);
    expect(played.announced).toEqual([["1.2.3", 300], ["7.7", 1]]);
    expect(sending.tally.progress.value).toMatchObject({ total: 301, arrived: 301, before: 0 });
    expect(sending.tally.progress.value.arrivedBytes).toBe(sending.tally.progress.value.bytes);
  });

  test("leaves out what is there, and counts it into what will have come", async () => {
    const played = new Played();
    for (const uid of ["1.1", "1.2", "8.8"]) played.there.add(uid);
    const sending = new Sending(await found([{ instance: "1.1" }, { instance: "1.2" }, { instance: "1.3" }]), { transfer: played, line: () => QUIET });
    await finished(sending);
    expect(played.requests).toEqual([["1.3"]]);
    expect(played.announced).toEqual([["1.2.3", 4]]);
    expect(sending.tally.progress.value).toMatchObject({ total: 3, arrived: 3, before: 2 });
  });

  test("goes on by itself after a broken line, and says so meanwhile", async () => {
    const played = new Played();
    const sending = new Sending(await found([{ instance: "1.1" }, { instance: "1.2" }]), { transfer: played, line: () => QUIET });
    played.failures.push(network(), undefined, undefined, network(), network(), network());
    const seen = new Set<string | null>();
    sending.waiting.subscribe((waiting) => seen.add(waiting));
    await finished(sending);
    expect(sending.state.value).toBe("done");
    expect(seen).toEqual(new Set([null, "line"]));
    expect(played.there).toEqual(new Set(["1.1", "1.2"]));
    expect(sending.tally.progress.value.arrived).toBe(2);
  });

  test("sends a large object in pieces, and goes on in the middle of it", async () => {
    const played = new Played();
    const sending = new Sending(await found([{ instance: "1.1", pixels: LARGE_BYTES * 2 }]), { transfer: played, line: () => QUIET });
    played.failures.push(undefined, undefined, undefined, undefined, undefined, network(), network());
    await finished(sending);
    expect(sending.state.value).toBe("done");
    const [study] = sending.found;
    expect(played.pieces.reduce((sum, size) => sum + size, 0)).toBe(study?.sizeBytes);
    expect(played.pieces.length).toBeGreaterThan(1);
  });

  test("begins a large object anew where the server has forgotten it", async () => {
    const played = new Played();
    const sending = new Sending(await found([{ instance: "1.1", pixels: LARGE_BYTES * 2 }]), { transfer: played, line: () => QUIET });
    const piece = played.piece.bind(played);
    let count = 0;
    played.piece = (id, offset, content) => {
      if (++count === 3) played.forgetUploads();
      return piece(id, offset, content);
    };
    await finished(sending);
    expect(sending.state.value).toBe("done");
  });

  test("names what is not kept, and does not try all of a study that is another session's", async () => {
    const played = new Played();
    const objects = Array.from({ length: 20 }, (_, index) => ({ instance: `1.${index}`, pixels: 200_000 }));
    const studies = await found([{ instance: "5.1", study: "5.5" }, { instance: "6.1", study: "6.6" }, ...objects]);
    played.reasons.set("5.1", "other").set("6.1", "unreadable");
    for (const { instance } of objects) played.reasons.set(instance, "foreign");
    const sending = new Sending(studies, { transfer: played, line: () => QUIET });
    await finished(sending);
    expect(sending.state.value).toBe("done");
    const whys = new Map(sending.tally.notKept.value.map(({ path, why }) => [path, why]));
    expect(whys.get("f/5.1")).toBe("other");
    expect(whys.get("f/6.1")).toBe("unreadable");
    expect(whys.get("f/1.19")).toBe("foreign");
    expect(whys.size).toBe(22);
    expect(played.requests.flat().length).toBeLessThan(12);
  });

  test("waits for room on the server's disk and loses nothing meanwhile", async () => {
    const played = new Played();
    played.reasons.set("1.1", "again");
    const sending = new Sending(await found([{ instance: "1.1" }, { instance: "1.2" }]), { transfer: played, line: () => QUIET });
    const run = sending.run();
    await vi.advanceTimersByTimeAsync(5000);
    expect(sending.waiting.value).toBe("room");
    expect(played.there).toEqual(new Set(["1.2"]));
    played.reasons.clear();
    await vi.advanceTimersByTimeAsync(60_000);
    await run;
    expect(played.there).toEqual(new Set(["1.1", "1.2"]));
    expect(sending.tally.progress.value.arrived).toBe(2);
  });

  test("gives an object up that the server can make nothing of, and sends the others", async () => {
    const played = new Played();
    const store = played.store.bind(played);
    played.store = async (objects, signal) => {
      if (objects.some(({ sopInstance }) => sopInstance === "1.3")) {
        played.requests.push([]);
        throw new ApiError("malformed", "nothing to be made of it");
      }
      return store(objects, signal);
    };
    const sending = new Sending(await found(["1.1", "1.2", "1.3", "1.4"].map((instance) => ({ instance }))), { transfer: played, line: () => QUIET });
    await finished(sending);
    expect(sending.state.value).toBe("done");
    expect(played.there).toEqual(new Set(["1.1", "1.2", "1.4"]));
    expect(sending.tally.notKept.value).toEqual([{ path: "f/1.3", why: "unreadable" }]);
  });

  test("ends with the reason where the session is over", async () => {
    const played = new Played();
    played.failures.push(undefined, undefined, new ApiError("sessionEnded", "over"));
    const sending = new Sending(await found([{ instance: "1.1" }]), { transfer: played, line: () => QUIET });
    await finished(sending);
    expect(sending.state.value).toBe("failed");
    expect(sending.fault.value).toBe("sessionEnded");
  });

  test("stands still while it is paused, and goes on", async () => {
    const played = new Played();
    const objects = Array.from({ length: 30 }, (_, index) => ({ instance: `1.${index}`, pixels: 200_000 }));
    const sending = new Sending(await found(objects), { transfer: played, line: () => QUIET });
    const store = played.store.bind(played);
    played.store = async (batch, signal) => {
      await new Promise((resolve) => setTimeout(resolve, 500));
      return store(batch, signal);
    };
    const run = sending.run();
    await vi.advanceTimersByTimeAsync(1200);
    expect(sending.state.value).toBe("sending");
    sending.pause();
    await vi.advanceTimersByTimeAsync(1000);
    const before = played.there.size;
    await vi.advanceTimersByTimeAsync(60_000);
    expect(played.there.size).toBe(before);
    expect(before).toBeLessThan(30);
    sending.goOn();
    await vi.advanceTimersByTimeAsync(60_000);
    await run;
    expect(sending.state.value).toBe("done");
    expect(sending.tally.progress.value.arrived).toBe(30);
  });

  test("that is stopped sends nothing more", async () => {
    const played = new Played();
    played.failures.push(network());
    const sending = new Sending(await found([{ instance: "1.1" }]), { transfer: played, line: () => QUIET });
    const run = sending.run();
    await vi.advanceTimersByTimeAsync(100);
    sending.stop();
    await run;
    await vi.advanceTimersByTimeAsync(60_000);
    expect(sending.state.value).toBe("stopped");
    expect(played.requests).toEqual([]);
  });

  test.each([
    ["a batch", undefined],
    ["a large object", LARGE_BYTES * 2],
  ])("that is stopped or paused while %s is read sends nothing of it until it goes on", async (_, pixels) => {
    for (const how of ["stop", "pause"] as const) {
      const played = new Played();
      const begin = vi.spyOn(played, "begin");
      const study = await opened([{ instance: "1.1", ...(pixels === undefined ? {} : { pixels }) }], slow);
      const sending = new Sending([study], { transfer: played, line: () => QUIET });
      const run = sending.run();
      await vi.advanceTimersByTimeAsync(100);
      sending[how]();
      await vi.advanceTimersByTimeAsync(60_000);
      expect([played.requests, played.pieces, begin.mock.calls]).toEqual([[], [], []]);
      sending.goOn();
      await until(() => sending.isOver(), 1000);
      await run;
      expect(sending.state.value).toBe(how === "stop" ? "stopped" : "done");
      expect(played.there.size + played.pieces.length > 0).toBe(how === "pause");
    }
  });

  test("that is stopped or paused while a piece is read does not send it", async () => {
    for (const how of ["stop", "pause"] as const) {
      const played = new Played();
      let reading = 0;
      const study = await opened([{ instance: "1.1", pixels: LARGE_BYTES * 4 }], (content) => {
        const slice = content.slice.bind(content);
        content.slice = (from, to) => {
          const part = slice(from, to);
          // After three samples for the key come the pieces.
          if (++reading > 3) part.arrayBuffer = async () => (await slow(slice(from, to))).arrayBuffer();
          return part;
        };
        return Promise.resolve(content);
      });
      const sending = new Sending([study], { transfer: played, line: () => QUIET });
      const run = sending.run();
      await until(() => played.pieces.length === 2, 100);
      const before = played.pieces.length;
      sending[how]();
      await vi.advanceTimersByTimeAsync(60_000);
      expect([before, played.pieces.length]).toEqual([2, 2]);
      sending.goOn();
      await until(() => sending.isOver(), 1000);
      await run;
      expect(sending.state.value).toBe(how === "stop" ? "stopped" : "done");
    }
  });

  test("that is stopped while it asks asks and announces nothing more, and stays stopped", async () => {
    for (const there of [[], ["1.1", "2.1"]]) {
      const played = new Played();
      for (const uid of there) played.there.add(uid);
      let asked = 0;
      const known = played.known.bind(played);
      played.known = async () => {
        asked += 1;
        await new Promise((resolve) => setTimeout(resolve, 500));
        return known();
      };
      const sending = new Sending(await found([{ instance: "1.1" }, { instance: "2.1", study: "7.7" }]), { transfer: played, line: () => QUIET });
      const run = sending.run();
      await vi.advanceTimersByTimeAsync(100);
      sending.stop();
      await vi.advanceTimersByTimeAsync(60_000);
      await run;
      expect([asked, played.announced, played.requests]).toEqual([1, [], []]);
      expect(sending.state.value).toBe("stopped");
    }
  });

  test("that is stopped while it asks for the last study is not done", async () => {
    const played = new Played();
    played.there.add("1.1");
    const sending = new Sending(await found([{ instance: "1.1" }]), { transfer: played, line: () => QUIET });
    const known = played.known.bind(played);
    played.known = () => {
      sending.stop();
      return known();
    };
    await finished(sending);
    expect(sending.state.value).toBe("stopped");
  });

  test("goes on past a large object that cannot be read to its end", async () => {
    const played = new Played();
    const study = await opened([{ instance: "1.1", pixels: LARGE_BYTES * 2 }, { instance: "1.2" }], (content, instance) => {
      if (instance !== "1.1") return Promise.resolve(content);
      const slice = content.slice.bind(content);
      let reading = 0;
      content.slice = (from, to) => {
        const part = slice(from, to);
        if (++reading > 4) part.arrayBuffer = () => Promise.reject(new DOMException("bad sector", "NotReadableError"));
        return part;
      };
      return Promise.resolve(content);
    });
    const sending = new Sending([study], { transfer: played, line: () => QUIET });
    await finished(sending);
    expect(sending.state.value).toBe("done");
    expect(played.pieces.length).toBe(1);
    expect(played.there).toEqual(new Set(["1.2"]));
    expect(sending.tally.notKept.value).toEqual([{ path: "f/1.1", why: "unreadable" }]);
  });

  test("asks ever more seldom while the server has no room", async () => {
    const played = new Played();
    played.reasons.set("1.1", "again");
    const sending = new Sending(await found([{ instance: "1.1" }]), { transfer: played, line: () => QUIET });
    const run = sending.run();
    await vi.advanceTimersByTimeAsync(60_000);
    expect(played.requests.length).toBeLessThan(8);
    expect(sending.waiting.value).toBe("room");
    sending.stop();
    await run;
  });

  test("is over quickly also where a study of very many objects is another session's", async () => {
    const [study] = await found([{ instance: "1.1" }]);
    const [picture] = study?.pictures ?? [];
    if (study === undefined || picture === undefined) throw new Error("nothing found");
    const pictures = Array.from({ length: 30_000 }, (_, number) => ({ ...picture, header: { ...picture.header, sopInstance: `1.${number}` } }));
    const played = new Played();
    played.refuseAll = "foreign";
    const sending = new Sending([{ ...study, pictures }], { transfer: played, line: () => QUIET });
    const beganMs = realNowMs();
    await finished(sending);
    expect(sending.state.value).toBe("done");
    expect(sending.tally.notKept.value.length).toBe(30_000);
    expect(played.requests.length).toBe(1);
    expect(realNowMs() - beganMs).toBeLessThan(2000);
  });

  test("does not say that a file cannot be read where the fault is the server's or the page's", async () => {
    const played = new Played();
    played.reasons.set("1.2", "failed");
    const study = await opened([{ instance: "1.1" }, { instance: "1.2" }, { instance: "1.3" }], (content, instance) =>
      instance === "1.1" ? Promise.reject(new TypeError("a mistake of ours")) : Promise.resolve(content),
    );
    const sending = new Sending([study], { transfer: played, line: () => QUIET });
    await finished(sending);
    expect(played.there).toEqual(new Set(["1.3"]));
    expect(sending.tally.notKept.value).toEqual([
      { path: "f/1.1", why: "failed" },
      { path: "f/1.2", why: "failed" },
    ]);
  });

  test("gives an object up that the server fails on again and again, and says whose fault it is", async () => {
    for (const [code, why] of [["internal", "failed"], ["malformed", "unreadable"]] as const) {
      const played = new Played();
      played.failures.push(undefined, undefined, ...Array.from({ length: 4 }, () => new ApiError(code, "no")));
      const sending = new Sending(await found([{ instance: "1.1" }]), { transfer: played, line: () => QUIET });
      await finished(sending);
      expect(sending.tally.notKept.value).toEqual([{ path: "f/1.1", why }]);
    }
  });

  test("that was read in vain names the file, as when the disc was taken out", async () => {
    const played = new Played();
    const [study] = await found([{ instance: "1.1" }, { instance: "1.2" }]);
    if (study === undefined) throw new Error("nothing found");
    const pictures = study.pictures.map((picture) =>
      picture.header.sopInstance === "1.1" ? { ...picture, source: { ...picture.source, open: () => Promise.reject(new DOMException("gone", "NotReadableError")) } } : picture,
    );
    const sending = new Sending([{ ...study, pictures }], { transfer: played, line: () => QUIET });
    played.failures.push(undefined, undefined, network());
    await finished(sending);
    expect(played.there).toEqual(new Set(["1.2"]));
    expect(sending.tally.notKept.value).toEqual([{ path: "f/1.1", why: "unreadable" }]);
  });
});

describe("the pace", () => {
  test("is about two seconds of the line, within bounds", () => {
    const pace = new Pace();
    for (let count = 0; count < 30; count++) pace.sent(pace.sizeBytes(), (pace.sizeBytes() / 100_000) * 1000, 1);
    expect(pace.sizeBytes() / 200_000).toBeCloseTo(1, 1);
    for (let count = 0; count < 30; count++) pace.sent(1_000_000, 1, 1);
    expect(pace.sizeBytes()).toBe(MOST_BYTES);
    for (let count = 0; count < 30; count++) pace.broke();
    expect(pace.sizeBytes()).toBe(LEAST_BYTES);
  });

  test("is one lane on a thin line, and never many", () => {
    const thin = new Pace();
    for (let count = 0; count < 30; count++) thin.sent(LEAST_BYTES, 2000, 1);
    expect(thin.lanes(QUIET)).toBe(1);
    const wide = new Pace();
    for (let count = 0; count < 30; count++) wide.sent(MOST_BYTES, 200, 1);
    expect(wide.lanes(QUIET)).toBe(3);
  });

  test("leaves the line to people who speak over it", () => {
    const pace = new Pace();
    for (let count = 0; count < 30; count++) pace.sent(MOST_BYTES, 200, 1);
    const good = { quality: 3, roundTripMs: 40 } as const;
    expect([pace.lanes(good), pace.restMs(good, 1000)]).toEqual([3, 0]);
    const queued = { quality: 3, roundTripMs: 400 } as const;
    expect([pace.lanes(queued), pace.restMs(queued, 1000)]).toEqual([1, 500]);
    const bad = { quality: 1, roundTripMs: 40 } as const;
    expect([pace.lanes(bad), pace.restMs(bad, 1000)]).toEqual([1, 2000]);
  });
});

describe("answers of the server", () => {
  const item = (uid: string, reason?: number) => ({ "00081155": { Value: [uid] }, ...(reason === undefined ? {} : { "00081197": { Value: [reason] } }) });

  test("are told apart by their reasons", () => {
    const answer = {
      "00081199": { Value: [item("1"), item("2")] },
      "00081198": { Value: [item("3", 0x0111), item("4", 0x0124), item("5", 0xa700), item("6", 0xc000), item("8", 0x0110)] },
    };
    expect(outcomeOf(answer, ["1", "2", "3", "4", "5", "6", "7", "8"])).toEqual({
      kept: ["1", "2"],
      refused: [
        { sopInstance: "3", why: "other" },
        { sopInstance: "4", why: "foreign" },
        { sopInstance: "5", why: "again" },
        { sopInstance: "6", why: "unreadable" },
        { sopInstance: "7", why: "unreadable" },
        { sopInstance: "8", why: "failed" },
      ],
    });
  });

  test("without UIDs are no room for all of them, or nothing that helps", () => {
    expect(outcomeOf({ "0008119A": { Value: [{ "00081197": { Value: [0xa700] } }] } }, ["1"]).refused).toEqual([{ sopInstance: "1", why: "again" }]);
    expect(outcomeOf({ "0008119A": { Value: "nonsense" as unknown as [] } }, ["1"]).refused).toEqual([{ sopInstance: "1", why: "unreadable" }]);
  });

  test("to a piece say where to go on, also when it came twice", async () => {
    const asked: RequestInit[] = [];
    const answers = [
      new Response('{"error":{"code":"conflict","text":"x"}}', { status: 409, headers: { "Upload-Offset": "77" } }),
      new Response('{"offset":80,"outcome":{"kept":false,"code":"notAllowed"}}', { headers: { "Upload-Offset": "80" } }),
      new Response("<html>", { status: 502 }),
    ];
    const transfer = createTransfer("token", (_, init) => {
      asked.push(init ?? {});
      return Promise.resolve(answers.shift() ?? Response.error());
    });
    const { signal } = new AbortController();
    expect(await transfer.piece("u", 0, new Uint8Array([1, 2, 3]), signal)).toEqual({ offset: 77, outcome: null });
    expect(await transfer.piece("u", 77, new Uint8Array([1, 2, 3]), signal)).toEqual({ offset: 80, outcome: "foreign" });
    await expect(transfer.piece("u", 80, new Uint8Array([1]), signal)).rejects.toMatchObject({ code: "internal" });
    expect(asked[0]?.headers).toMatchObject({ "Upload-Offset": "0", "Upload-Checksum": "sha256 A5BYxvLAy0ksUzsKTRTvd8wPeKvMztUofYShogEc+4E=" });
  });

  test("leave nothing behind, however a request ends", async () => {
    const before = vi.getTimerCount();
    const { signal } = new AbortController();
    const added = vi.spyOn(signal, "addEventListener");
    const removed = vi.spyOn(signal, "removeEventListener");
    const answers = [
      () => Promise.resolve(new Response('{"offset":3}', { headers: { "Upload-Offset": "3" } })),
      () => Promise.resolve(new Response("{}", { status: 500 })),
      () => Promise.reject(new TypeError("the line broke")),
    ];
    const transfer = createTransfer("token", () => answers.shift()?.() ?? Promise.resolve(Response.error()));
    await transfer.piece("u", 0, new Uint8Array([1]), signal);
    await expect(transfer.piece("u", 0, new Uint8Array([1]), signal)).rejects.toThrow();
    await expect(transfer.store([{ sopInstance: "1", content: new Blob(["x"]) }], signal)).rejects.toMatchObject({ code: "network" });
    expect(vi.getTimerCount()).toBe(before);
    expect(added.mock.calls.length).toBe(3);
    expect(removed.mock.calls.map(([, listener]) => listener)).toEqual(added.mock.calls.map(([, listener]) => listener));
  });

  test("that do not come end after three minutes, or at once when it is stopped", async () => {
    const request: typeof fetch = (_, init) => new Promise((_answer, reject) => init?.signal?.addEventListener("abort", () => reject(new DOMException("ended", "AbortError"))));
    const transfer = createTransfer("token", request);
    const stop = new AbortController();
    const ends: string[] = [];
    const store = (name: string, signal: AbortSignal) => transfer.store([], signal).catch(() => ends.push(name));
    const both = [store("late", new AbortController().signal), store("stopped", stop.signal)];
    await vi.advanceTimersByTimeAsync(1000);
    expect(ends).toEqual([]);
    stop.abort();
    await vi.advanceTimersByTimeAsync(1000);
    expect(ends).toEqual(["stopped"]);
    await vi.advanceTimersByTimeAsync(180_000);
    await Promise.all(both);
    expect(ends).toEqual(["stopped", "late"]);
  });
});

describe("what was dropped", () => {
  test("is not shown once it was taken back, or another thing was dropped", async () => {
    const room = createSendRoom(new Played(), "s");
    let give: (sources: readonly Source[]) => void = () => undefined;
    const first = room.take(new Promise((resolve) => (give = resolve)));
    const second = room.take([fileSource(fileOf(dicomFile({ instance: "2.1", study: "7.7" }), "second"))]);
    await second;
    give([fileSource(fileOf(dicomFile({ instance: "1.1" }), "first"))]);
    await first;
    expect(room.findings.value?.studies.map(({ uid }) => uid)).toEqual(["7.7"]);
    room.clear();
    const third = room.take([fileSource(fileOf(dicomFile({ instance: "1.1" }), "third"))]);
    room.clear();
    await third;
    // At the very end of looking, when only the list of the disc is still read.
    const list = fileSource(fileOf(dicomdir(["IM1"]), "cd/DICOMDIR"));
    const open = (): Promise<Blob> => {
      room.clear();
      return list.open();
    };
    await room.take([{ ...list, open }, fileSource(fileOf(dicomFile({ instance: "1.1" }), "cd/IM1"))]);
    expect([room.findings.value, room.fault.value, room.looking.value]).toEqual([null, null, null]);
  });

  test.each([
    ["unreadable", new DOMException("gone", "NotReadableError")],
    ["internal", new TypeError("a mistake of ours")],
    ["tooMany", new TooManyFiles()],
  ])("is told to be %s only if it is", async (fault, error) => {
    const room = createSendRoom(new Played(), "s");
    await room.take(Promise.reject(error));
    expect(room.fault.value).toBe(fault);
  });
});
