// Owns the page's side of decoding: some workers, each with one frame at a time, and the decoders that they need.

import charls from "@cornerstonejs/codec-charls/decodewasm?url";
import turbo from "@cornerstonejs/codec-libjpeg-turbo-8bit/decodewasm?url";
import openjpeg from "@cornerstonejs/codec-openjpeg/decodewasm?url";
import openjph from "@cornerstonejs/codec-openjph/wasm?url";
import { ApiError } from "../../api";
import { codecOf } from "./codecnames";
import type { CodecName } from "./codecnames";
import type { Decoded } from "./form";
import { ANSWERED_MS, allPieces, patiently } from "../loading/patience";
import type { Arrival, Job, Order, Outcome } from "./worker";

const WORKERS_LIMIT = 4;
/** A frame that takes longer is hostile, or the worker is gone. */
export const TIMEOUT_MS = 30_000;
/** For the code of a worker and of its decoder: nobody can see how much of it has come. */
export const LOAD_TIMEOUT_MS = 120_000;
/** So many workers whose code did not come are put down to the line; then there are none here, and the server has to decode. */
const UNPROVEN_MAX = 3;
const ADDRESSES: Readonly<Record<CodecName, string>> = { jpeg: turbo, jpegls: charls, jpeg2000: openjpeg, htj2k: openjph };

interface Waiting {
  readonly job: Job;
  readonly done: (decoded: Decoded | null) => void;
  readonly failed: (error: ApiError) => void;
}

interface Hand {
  readonly worker: Worker;
  /** Its code has come. */
  isThere: boolean;
  busy: Waiting | null;
  timer: ReturnType<typeof setTimeout> | undefined;
  /** Decoders that it was given, and whether their code has come. */
  readonly has: Map<CodecName, boolean>;
}

export class DecoderPool {
  private readonly hands: Hand[] = [];
  private readonly waiting: Waiting[] = [];
  private readonly codecs = new Map<CodecName, Promise<ArrayBuffer>>();
  private number = 0;
  private unproven = 0;
  private isClosed = false;

  constructor(private readonly limit = Math.max(1, Math.min(WORKERS_LIMIT, navigator.hardwareConcurrency - 1))) {}

  /** A worker and a decoder come while the study is asked for, so that its first picture does not wait for them. */
  prepare(codec: CodecName): void {
    this.wasm(codec).catch(() => undefined);
    if (this.hands.length === 0) this.start();
  }

  /** Null where it cannot be decoded. Throws ApiError (`network`) where the decoder or its worker did not come. */
  async decode(job: Omit<Job, "number">): Promise<Decoded | null> {
    const codec = codecOf(job.transferSyntax);
    const wasm = codec ? await this.wasm(codec) : null;
    if (this.isClosed) return null;
    return new Promise((done, failed) => {
      this.waiting.push({ job: { ...job, number: ++this.number }, done, failed });
      const free = this.hands.find(({ busy }) => busy === null) ?? (this.hands.length < this.limit ? this.start() : null);
      // All that are there may be asked for this decoder by and by.
      if (codec && wasm) for (const hand of this.hands) this.give(hand, codec, wasm);
      if (free) this.next(free);
    });
  }

  close(): void {
    this.isClosed = true;
    for (const { worker, busy, timer } of this.hands) {
      clearTimeout(timer);
      worker.terminate();
      busy?.done(null);
    }
    for (const { done } of this.waiting) done(null);
    this.hands.length = 0;
    this.waiting.length = 0;
  }

  private wasm(codec: CodecName): Promise<ArrayBuffer> {
    let loading = this.codecs.get(codec);
    if (!loading) {
      loading = load(ADDRESSES[codec]);
      this.codecs.set(codec, loading);
      loading.catch(() => this.codecs.delete(codec));
    }
    return loading;
  }

  private start(): Hand {
    const hand: Hand = { worker: open(), isThere: false, busy: null, timer: undefined, has: new Map() };
    this.listen(hand);
    this.hands.push(hand);
    for (const [codec, loading] of this.codecs) void loading.then((wasm) => this.give(hand, codec, wasm), () => undefined);
    return hand;
  }

  private listen(hand: Hand): void {
    hand.worker.onmessage = ({ data }: MessageEvent<Outcome | Arrival>) => {
      if ("isThere" in data) this.arrived(hand, data);
      else if (hand.busy?.job.number === data.number) this.finish(hand, data.decoded);
    };
    hand.worker.onerror = () => this.lose(hand);
  }

  private give(hand: Hand, codec: CodecName, wasm: ArrayBuffer): void {
    if (hand.has.has(codec)) return;
    hand.has.set(codec, false);
    hand.worker.postMessage({ codec, wasm } satisfies Order);
  }

  private next(hand: Hand): void {
    const waiting = this.waiting.shift();
    if (!waiting) return;
    hand.busy = waiting;
    this.watch(hand);
    hand.worker.postMessage({ job: waiting.job } satisfies Order);
  }

  private arrived(hand: Hand, { codec, isThere }: Arrival): void {
    if (!isThere) {
      // It would not ask for it again.
      this.lose(hand, false);
      return;
    }
    if (codec) hand.has.set(codec, true);
    else hand.isThere = true;
    if (hand.busy) this.watch(hand);
  }

  /** A frame's own time begins when all is there to decode it. */
  private watch(hand: Hand): void {
    clearTimeout(hand.timer);
    hand.timer = setTimeout(() => this.lose(hand), this.isEquipped(hand) ? TIMEOUT_MS : LOAD_TIMEOUT_MS);
  }

  private isEquipped({ isThere, has, busy }: Hand): boolean {
    const codec = busy ? codecOf(busy.job.transferSyntax) : null;
    return isThere && (codec === null || has.get(codec) === true);
  }

  private finish(hand: Hand, decoded: Decoded | null): void {
    clearTimeout(hand.timer);
    this.unproven = 0;
    const { busy } = hand;
    hand.busy = null;
    busy?.done(decoded);
    this.next(hand);
  }

  /** Another one is opened only for work, so that one that cannot come does not turn in circles. */
  private lose(hand: Hand, isFrames = this.isEquipped(hand)): void {
    if (this.isClosed) return;
    clearTimeout(hand.timer);
    hand.worker.terminate();
    this.hands.splice(this.hands.indexOf(hand), 1);
    if (isFrames || ++this.unproven > UNPROVEN_MAX) hand.busy?.done(null);
    else hand.busy?.failed(new ApiError("network", "a decoder did not come"));
    if (this.waiting.length > 0) this.next(this.start());
  }
}

function open(): Worker {
  return new Worker(new URL("./worker.ts", import.meta.url), { type: "module" });
}

async function load(address: string): Promise<ArrayBuffer> {
  return patiently(undefined, ANSWERED_MS, async (signal, came) => {
    const response = await fetch(address, { credentials: "omit", signal });
    if (!response.ok) throw new ApiError("network", "a decoder did not come");
    return (await allPieces(response, came)).arrayBuffer();
  });
}
