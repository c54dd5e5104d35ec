// Tests src/reading/decoding/pool.ts: what is put down to the line, and what to a frame, by workers that do as the test says.

import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { DecoderPool, LOAD_TIMEOUT_MS, TIMEOUT_MS } from "../src/reading/decoding/pool";
import type { Arrival, Order, Outcome } from "../src/reading/decoding/worker";

const HTJ2K = "1.2.840.10008.1.2.4.202";
const NATIVE = "1.2.840.10008.1.2.1";
const FORM = { bitsAllocated: 8, bitsStored: 8, signed: false, samples: 1, planar: false, photometric: "MONOCHROME2", isFloat: false };
const MEANING = { form: FORM, slope: 1, intercept: 0, modalityLut: null, palette: null };
const job = (transferSyntax: string) => ({ bytes: new Uint8Array(1), transferSyntax, columns: 1, rows: 1, level: 0, meaning: MEANING });

class FakeWorker {
  static all: FakeWorker[] = [];
  onmessage: ((event: { readonly data: Outcome | Arrival }) => void) | null = null;
  onerror: (() => void) | null = null;
  readonly orders: Order[] = [];
  isEnded = false;

  constructor() {
    FakeWorker.all.push(this);
  }

  postMessage(order: Order): void {
    this.orders.push(order);
  }

  terminate(): void {
    this.isEnded = true;
  }

  says(data: Outcome | Arrival): void {
    this.onmessage?.({ data });
  }

  /** Decodes what it was given last. */
  works(): void {
    const last = this.orders.at(-1);
    if (last && "job" in last) this.says({ number: last.job.number, decoded: { data: new Uint8Array(1), columns: 1, rows: 1, samples: 1 } });
  }
}

function worker(at: number): FakeWorker {
  const one = FakeWorker.all[at];
  if (!one) throw new Error("there is no such worker");
  return one;
}

/** What came of it so far. */
function told(promise: Promise<unknown>): { outcome: unknown } {
  const place: { outcome: unknown } = { outcome: "nothing yet" };
  promise.then(
    (value) => (place.outcome = value === null ? "undecodable" : "decoded"),
    (error: unknown) => (place.outcome = (error as { code?: unknown }).code),
  );
  return place;
}

const pass = (ms: number): Promise<void> => vi.advanceTimersByTimeAsync(ms).then(() => undefined);

beforeEach(() => {
  vi.useFakeTimers();
  FakeWorker.all = [];
  vi.stubGlobal("Worker", FakeWorker);
  vi.stubGlobal("fetch", () => Promise.resolve(new Response(new Uint8Array(4))));
});
afterEach(() => {
  vi.unstubAllGlobals();
  vi.useRealTimers();
});

test("a worker and a decoder that come slowly take no time from a frame", async () => {
  const pool = new DecoderPool(1);
  const frame = told(pool.decode(job(HTJ2K)));
  await pass(2 * TIMEOUT_MS);
  worker(0).says({ isThere: true, codec: null });
  await pass(2 * TIMEOUT_MS);
  expect(frame.outcome).toBe("nothing yet");
  worker(0).says({ isThere: true, codec: "htj2k" });
  await pass(TIMEOUT_MS - 1);
  worker(0).works();
  await pass(0);
  expect(frame.outcome).toBe("decoded");
});

test("a frame that takes too long in a worker that has all it needs cannot be decoded", async () => {
  const pool = new DecoderPool(1);
  const frame = told(pool.decode(job(HTJ2K)));
  await pass(0);
  worker(0).says({ isThere: true, codec: null });
  worker(0).says({ isThere: true, codec: "htj2k" });
  await pass(TIMEOUT_MS);
  expect(frame.outcome).toBe("undecodable");
  expect(worker(0).isEnded).toBe(true);
});

test("a worker whose code never comes is the line's fault, and another one is opened for the next frame", async () => {
  const pool = new DecoderPool(1);
  const [first, second] = [told(pool.decode(job(NATIVE))), told(pool.decode(job(NATIVE)))];
  await pass(LOAD_TIMEOUT_MS);
  expect(first.outcome).toBe("network");
  worker(1).says({ isThere: true, codec: null });
  worker(1).works();
  await pass(0);
  expect(second.outcome).toBe("decoded");
});

test("a decoder whose code does not come is the line's fault, whatever the worker is busy with", async () => {
  const pool = new DecoderPool(1);
  const compressed = told(pool.decode(job(HTJ2K)));
  await pass(0);
  worker(0).says({ isThere: true, codec: null });
  worker(0).says({ isThere: false, codec: "htj2k" });
  await pass(0);
  expect(compressed.outcome).toBe("network");
  const again = told(pool.decode(job(HTJ2K)));
  await pass(0);
  expect(worker(1).orders.map((order) => ("codec" in order ? order.codec : "job"))).toEqual(["htj2k", "job"]);
  worker(1).works();
  await pass(0);
  expect(again.outcome).toBe("decoded");
});

test("where no worker can be had at all, frames are left to the server in the end", async () => {
  const pool = new DecoderPool(1);
  const outcomes: unknown[] = [];
  for (let turn = 0; turn < 4; turn++) {
    const frame = told(pool.decode(job(NATIVE)));
    await pass(0);
    worker(turn).onerror?.();
    await pass(0);
    outcomes.push(frame.outcome);
  }
  expect(outcomes).toEqual(["network", "network", "network", "undecodable"]);
});

test("a decoder that does not come at all is the line's fault", async () => {
  vi.stubGlobal("fetch", () => Promise.reject(new TypeError("fetch failed")));
  const frame = told(new DecoderPool(1).decode(job(HTJ2K)));
  await pass(0);
  expect(frame.outcome).toBe("network");
});
