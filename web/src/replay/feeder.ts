// Owns what of one lane lies in its buffer: fetches the pieces around the play head, in order, drops what is far behind, and
// begins anew after a long seek. Bounded in bytes and requests. Knows no clock and no element.

import type { Signal } from "@preact/signals";
import { ApiError } from "../api";
import { BufferBroken } from "./buffer";
import type { Lane, Piece } from "./lane";

export const AHEAD_MS = 20_000;
/** So that going back by a key press fetches nothing. */
export const BEHIND_MS = 30_000;
/** A browser keeps at least 12 MB of sound and 150 MB of pictures a buffer; with both sides of the head this stays below. */
const MOST_BYTES = 48 << 20;
/** Asked for at once; the next ones come while the first is taken in. */
const AT_ONCE = 3;
const INITS_KEPT = 8;
const FIRST_RETRY_MS = 500;
const LAST_RETRY_MS = 5_000;

/** What the feeder needs of a MediaBuffer. */
export interface Store {
  append(mediaType: string, data: ArrayBuffer): Promise<void>;
  remove(from: number, to: number): Promise<void>;
  clear(): Promise<void>;
}

export interface FeederOptions {
  readonly lane: Lane;
  readonly store: Store;
  readonly load: (track: number, part: number, signal: AbortSignal) => Promise<ArrayBuffer>;
  readonly plays: (mediaType: string) => boolean;
  /** A piece turned out to be bad, or good again. */
  readonly onChange: () => void;
  /** The link is refused: fetching stops. */
  readonly onRefused: (error: ApiError) => void;
  /** The buffer is of no use any more. */
  readonly onBroken: () => void;
  /** Set while the line is down: it keeps trying. */
  readonly offline: Signal<boolean>;
  readonly wait?: (ms: number, signal: AbortSignal) => Promise<void>;
}

interface Pending {
  readonly piece: Piece;
  readonly data: Promise<ArrayBuffer>;
}

export class Feeder {
  /** The first and last piece of the unbroken run that was taken in. */
  private first: Piece | null = null;
  private last: Piece | null = null;
  private headMs = 0;
  private aheadMs = AHEAD_MS;
  private mostAheadMs = Infinity;
  private pending: Pending[] = [];
  private run = new AbortController();
  private readonly life = new AbortController();
  private initFailed: unknown = null;
  private pumping = false;
  private heldBytes = 0;
  private initAppended = "";
  private readonly inits = new Map<string, Promise<ArrayBuffer>>();
  private taken = new Set<Piece>();
  private disposed = false;

  constructor(private readonly options: FeederOptions) {}

  /** Whether this piece was taken in. */
  has(piece: Piece): boolean {
    return this.taken.has(piece);
  }

  /** Says where the play head is; `aheadMs` grows with the speed. */
  follow(headMs: number, aheadMs: number = AHEAD_MS): void {
    if (this.disposed) return;
    this.headMs = headMs;
    this.aheadMs = Math.min(aheadMs, this.mostAheadMs);
    const start = this.startFor(headMs);
    if (start !== null && !this.continues(start)) this.begin(start);
    else this.evict();
    if (!this.pumping) void this.pump();
  }

  dispose(): void {
    this.disposed = true;
    this.run.abort();
    this.life.abort();
    this.pending = [];
    this.inits.clear();
  }

  /** The piece with which decoding has to begin for this time; of a time with nothing, the next one if it is near. */
  private startFor(atMs: number): Piece | null {
    const { lane } = this.options;
    const moment = lane.at(atMs);
    if (moment.kind === "there") {
      const from = lane.decodableFrom(moment.index);
      return from === null ? null : (lane.pieces[from] ?? null);
    }
    const nextMs = moment.kind === "nothing" ? moment.nextMs : moment.stretch.toMs;
    if (nextMs === null || nextMs > atMs + this.aheadMs) return null;
    const next = lane.at(nextMs);
    return next.kind === "there" ? next.piece : null;
  }

  /** Whether it lies in the run, or is what the run goes on with. */
  private continues(start: Piece): boolean {
    if (this.first === null) return false;
    if (start.startMs < this.first.startMs) return false;
    if (this.last === null) return start === this.first || this.pending.some(({ piece }) => piece === start);
    if (start.startMs <= this.last.startMs) return true;
    return this.pending.some(({ piece }) => piece === start) || this.after(this.last) === start;
  }

  private begin(start: Piece): void {
    this.run.abort();
    this.run = new AbortController();
    this.pending = [];
    this.first = start;
    this.last = null;
    this.heldBytes = 0;
    this.initAppended = "";
    this.taken = new Set();
    this.options.store.clear().catch((error: unknown) => this.failed(error));
  }

  private async pump(): Promise<void> {
    this.pumping = true;
    try {
      for (;;) {
        this.ask();
        const [next] = this.pending;
        if (next === undefined) return;
        await this.take(next, this.run.signal);
      }
    } finally {
      this.pumping = false;
    }
  }

  private ask(): void {
    while (this.pending.length < AT_ONCE && !this.disposed) {
      const piece = this.wanted();
      if (piece === null) return;
      const data = this.load(piece.track, piece.part, this.run.signal);
      // It is looked at when its turn comes; until then a refusal is nobody's surprise.
      data.catch(() => undefined);
      this.pending.push({ piece, data });
    }
  }

  private wanted(): Piece | null {
    const newest = this.pending.at(-1)?.piece ?? this.last;
    const piece = newest ? this.after(newest) : this.first;
    if (piece === null || piece.startMs > this.headMs + this.aheadMs) return null;
    const coming = this.pending.reduce((sum, { piece: one }) => sum + one.sizeBytes, 0);
    // What is needed to show the present moment is fetched however large it is.
    if (this.heldBytes + coming > MOST_BYTES && piece.startMs > this.headMs + 1_000) return null;
    return piece;
  }

  /** What follows in the lane and can be decoded: behind damage that is a piece where decoding can begin. */
  private after(piece: Piece): Piece | null {
    const { lane } = this.options;
    return lane.next(lane.pieces.lastIndexOf(piece));
  }

  private async take({ piece, data }: Pending, signal: AbortSignal): Promise<void> {
    const { lane, store } = this.options;
    const init = lane.init(piece);
    const still = (): boolean => !signal.aborted && !this.disposed;
    try {
      if (init === null || !this.options.plays(init.mediaType)) {
        lane.spoilInit(piece.track, piece.init, init === null ? "damaged" : "unsupported");
        this.given(piece);
        return;
      }
      const key = `${piece.track}/${init.part}`;
      if (key !== this.initAppended) {
        const head = await this.init(key, piece.track, init.part);
        if (!still()) return;
        await store.append(init.mediaType, head);
        if (!still()) return;
        this.initAppended = key;
      }
      const body = await data;
      if (!still()) return;
      await store.append(init.mediaType, body);
      if (!still()) return;
      this.options.offline.value = false;
      this.taken.add(piece);
      this.heldBytes += piece.sizeBytes;
      this.last = piece;
      this.pending.shift();
    } catch (error) {
      if (!still()) return;
      if (error instanceof DOMException && error.name === "QuotaExceededError") await this.makeRoom(signal);
      else this.failed(error, piece);
    }
  }

  /** The browser gives less than it says: half of what lies ahead has to do from now on. */
  private async makeRoom(signal: AbortSignal): Promise<void> {
    this.mostAheadMs = Math.max(2_000, Math.min(this.aheadMs, this.mostAheadMs) / 2);
    this.evict(2_000);
    await (this.options.wait ?? pause)(FIRST_RETRY_MS, signal).catch(() => undefined);
  }

  private failed(error: unknown, piece: Piece | null = null): void {
    const { lane } = this.options;
    if (error instanceof ApiError && piece !== null && (error.code === "damaged" || error.code === "notFound")) {
      if (this.initFailed === error) lane.spoilInit(piece.track, piece.init, "damaged");
      else lane.spoil(piece, "damaged");
      this.given(piece);
    } else if (error instanceof ApiError) {
      this.pending = [];
      this.options.onRefused(error);
      this.dispose();
    } else if (!(error instanceof DOMException && error.name === "AbortError")) {
      if (piece !== null && error instanceof BufferBroken) lane.spoil(piece, "damaged");
      this.pending = [];
      this.dispose();
      this.options.onBroken();
    }
  }

  /** Goes on behind a piece that cannot be had. */
  private given(piece: Piece): void {
    this.pending = this.pending.filter((one) => one.piece !== piece && this.options.lane.shows(one.piece));
    if (this.last === null) this.first = this.after(piece);
    else this.last = piece;
    this.options.onChange();
  }

  private evict(behindMs: number = BEHIND_MS): void {
    const { lane, store } = this.options;
    if (this.first === null || this.last === null) return;
    const keep = lane.at(this.headMs - behindMs);
    if (keep.kind !== "there") return;
    const piece = lane.pieces[lane.decodableFrom(keep.index) ?? -1];
    // In steps of some seconds: each removal costs.
    if (piece === undefined || piece.startMs < this.first.startMs + Math.min(behindMs, 10_000)) return;
    for (const one of this.taken) {
      if (one.startMs >= piece.startMs) continue;
      this.taken.delete(one);
      this.heldBytes -= one.sizeBytes;
    }
    this.first = piece;
    store.remove(0, piece.startMs / 1000).catch((error: unknown) => this.failed(error));
  }

  private init(key: string, track: number, part: number): Promise<ArrayBuffer> {
    let known = this.inits.get(key);
    if (!known) {
      known = this.load(track, part, this.life.signal);
      this.inits.set(key, known);
      known.catch((error: unknown) => {
        this.initFailed = error;
        this.inits.delete(key);
      });
      const [oldest] = this.inits.keys();
      if (this.inits.size > INITS_KEPT && oldest !== undefined) this.inits.delete(oldest);
    }
    return known;
  }

  /** Again and again while only the line is down. */
  private async load(track: number, part: number, signal: AbortSignal): Promise<ArrayBuffer> {
    const { wait = pause } = this.options;
    for (let delayMs = FIRST_RETRY_MS; ; delayMs = Math.min(LAST_RETRY_MS, delayMs * 2)) {
      try {
        return await this.options.load(track, part, signal);
      } catch (error) {
        signal.throwIfAborted();
        if (!(error instanceof ApiError) || !passing(error)) throw error;
        this.options.offline.value = true;
        await wait(delayMs, signal);
      }
    }
  }
}

const PASSING: ReadonlySet<string> = new Set(["network", "tooMany", "shuttingDown", "internal", "storageFailed"]);

function passing({ code }: ApiError): boolean {
  return PASSING.has(code);
}

function pause(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(resolve, ms);
    signal.addEventListener("abort", () => {
      clearTimeout(timer);
      reject(new DOMException("aborted", "AbortError"));
    });
  });
}
