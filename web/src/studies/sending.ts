// Owns one sending, from asking what is there to the last object: what goes in one request, what is tried again and when, how far it is.
// It goes on by itself after a broken line. Knows no DOM.

import { signal } from "@preact/signals";
import type { ReadonlySignal } from "@preact/signals";
import { ApiError } from "../api";
import type { ErrorCode } from "../protocol";
import type { FoundStudy, Picture } from "./findings";
import { Pace } from "./pace";
import type { LiveLine } from "./pace";
import { Tally } from "./tally";
import type { NotKept } from "./tally";
import type { Transfer } from "./transfer";
import { ZipError } from "./zip";

export type SendingState = "asking" | "sending" | "paused" | "done" | "stopped" | "failed";
/** What it waits for while it tries again. */
export type Waiting = "line" | "server" | "room";

export interface Surroundings {
  readonly transfer: Transfer;
  readonly line: () => LiveLine;
  readonly nowMs?: () => number;
}

interface Item {
  readonly picture: Picture;
  /** How often the server could make nothing of a request that it was in. */
  attempts: number;
  /** Of a large one, while it is under way. */
  content: Blob | null;
  /** Kept or refused. */
  over: boolean;
}

/** Larger objects go piece by piece. */
export const LARGE_BYTES = 2 << 20;
const BATCH_OBJECTS_MAX = 200;
const ATTEMPTS_MAX = 4;
const BACKOFF_FIRST_MS = 1000;
const BACKOFF_MAX_MS = 30_000;
const KEY_SAMPLE_BYTES = 64 << 10;
/** The line or the server is in trouble, which passes. */
const PASSING: Readonly<Partial<Record<ErrorCode | "network", Waiting>>> = {
  network: "line",
  joinTimeout: "line",
  damaged: "line",
  tooMany: "server",
  shuttingDown: "server",
  sessionFull: "server",
  storageFailed: "room",
};
/** Perhaps the fault of one object among others. */
const DOUBTFUL: ReadonlySet<string> = new Set(["internal", "malformed", "notFound", "tooLarge", "wrongType", "conflict"]);

export class Sending {
  private readonly states = signal<SendingState>("asking");
  private readonly waitings = signal<Waiting | null>(null);
  private readonly faults = signal<ErrorCode | "network" | null>(null);

  readonly state: ReadonlySignal<SendingState> = this.states;
  readonly waiting: ReadonlySignal<Waiting | null> = this.waitings;
  readonly fault: ReadonlySignal<ErrorCode | "network" | null> = this.faults;
  readonly tally: Tally;

  private readonly transfer: Transfer;
  private readonly line: () => LiveLine;
  private readonly nowMs: () => number;
  private readonly pace = new Pace();
  private queue: Item[] = [];
  private readonly sleepers = new Set<() => void>();
  private onTheWay = new AbortController();
  private failures = 0;

  constructor(
    readonly found: readonly FoundStudy[],
    { transfer, line, nowMs = () => performance.now() }: Surroundings,
  ) {
    this.transfer = transfer;
    this.line = line;
    this.nowMs = nowMs;
    this.tally = new Tally(found);
  }

  /** Until everything has come over, or it was stopped, or nothing more can. */
  async run(): Promise<void> {
    try {
      for (const study of this.found) await this.ask(study);
      if (this.states.peek() === "asking") this.states.value = "sending";
      await this.work();
      if (!this.isOver()) this.states.value = "done";
    } catch (error) {
      if (this.isOver()) return;
      this.faults.value = error instanceof ApiError ? error.code : "internal";
      this.end("failed");
    }
  }

  pause(): void {
    if (this.states.peek() !== "sending") return;
    this.states.value = "paused";
    this.breakOff();
  }

  goOn(): void {
    if (this.states.peek() !== "paused") return;
    this.onTheWay = new AbortController();
    this.states.value = "sending";
    this.tally.rested();
    this.wake();
  }

  stop(): void {
    if (!this.isOver()) this.end("stopped");
  }

  /** What was waited for may be there again, as when the computer says that it is on line. */
  wake(): void {
    for (const wake of [...this.sleepers]) wake();
  }

  isOver(): boolean {
    return ["done", "stopped", "failed"].includes(this.states.peek());
  }

  private end(how: "stopped" | "failed"): void {
    this.states.value = how;
    this.waitings.value = null;
    this.breakOff();
    this.wake();
  }

  /** Until it goes on: what would begin meanwhile is broken off as well. */
  private breakOff(): void {
    this.onTheWay.abort();
  }

  // ---- what is there already

  private async ask({ uid, pictures }: FoundStudy): Promise<void> {
    const known = new Set(await this.insist(() => this.transfer.known(uid)));
    const there = pictures.filter(({ header }) => known.has(header.sopInstance));
    this.tally.there(uid, there);
    const missing = pictures.filter(({ header }) => !known.has(header.sopInstance));
    if (missing.length === 0) return;
    await this.insist(() => this.transfer.announce(uid, known.size + missing.length));
    for (const picture of missing) this.queue.push({ picture, attempts: 0, content: null, over: false });
  }

  private async insist<T>(action: () => Promise<T>): Promise<T> {
    for (;;) {
      await this.unpaused();
      try {
        const result = await action();
        this.gotThrough();
        return result;
      } catch (error) {
        await this.backOff(error);
      }
    }
  }

  // ---- lanes

  private async work(): Promise<void> {
    const running = new Set<Promise<void>>();
    while (this.queue.length > 0 || running.size > 0) {
      await this.unpaused();
      while (this.queue.length > 0 && running.size < this.lanes()) {
        const task: Promise<void> = this.send(this.next(), running.size + 1).finally(() => running.delete(task));
        // The first to fail ends all of them.
        task.catch(() => undefined);
        running.add(task);
      }
      await Promise.race(running);
    }
  }

  /** While something is in trouble, one tries for all. */
  private lanes(): number {
    return this.waitings.peek() === null ? this.pace.lanes(this.line()) : 1;
  }

  private next(): readonly Item[] {
    const first = this.queue.shift();
    if (first === undefined) return [];
    const batch = [first];
    let bytes = sizeOf(first);
    const limitBytes = this.pace.sizeBytes();
    while (isSmall(first) && first.attempts === 0 && batch.length < BATCH_OBJECTS_MAX) {
      const [candidate] = this.queue;
      if (candidate === undefined || !isSmall(candidate) || candidate.attempts > 0 || bytes + sizeOf(candidate) > limitBytes) break;
      batch.push(candidate);
      this.queue.shift();
      bytes += sizeOf(candidate);
    }
    return batch;
  }

  private async send(batch: readonly Item[], atOnce: number): Promise<void> {
    try {
      const [only] = batch;
      if (only !== undefined && !isSmall(only)) await this.sendInPieces(only);
      else await this.sendTogether(batch, atOnce);
    } catch (error) {
      this.queue.unshift(...batch.filter(({ over }) => !over));
      if (this.states.peek() === "paused") return;
      if (this.isOver()) throw error;
      this.doubt(batch, error);
      await this.backOff(error);
    }
  }

  private async sendTogether(batch: readonly Item[], atOnce: number): Promise<void> {
    const objects: { readonly sopInstance: string; readonly content: Blob }[] = [];
    for (const item of batch) {
      const { picture } = item;
      try {
        // Read before it is sent: else nobody could tell a disc that was taken out from a line that broke.
        const content = new Blob([await (await picture.source.open()).arrayBuffer()]);
        objects.push({ sopInstance: picture.header.sopInstance, content });
      } catch (error) {
        this.refuse(item, whyUnread(error));
      }
    }
    if (objects.length === 0) return;
    const bytes = objects.reduce((sum, { content }) => sum + content.size, 0);
    await this.unpaused();
    const startMs = this.nowMs();
    const { kept, refused } = await this.transfer.store(objects, this.onTheWay.signal);
    const tookMs = this.nowMs() - startMs;
    const byUid = new Map(batch.map((item) => [item.picture.header.sopInstance, item]));
    for (const uid of kept) this.keep(byUid.get(uid));
    const again: Item[] = [];
    for (const { sopInstance, why } of refused) {
      const item = byUid.get(sopInstance);
      if (item === undefined) continue;
      if (why === "again") again.push(item);
      else this.refuse(item, why);
    }
    // While the server has room for none of it, the waits grow.
    if (again.length < objects.length) {
      this.gotThrough();
      this.pace.sent(bytes, tookMs, atOnce);
    }
    this.queue.unshift(...again);
    if (again.length > 0) await this.backOff(new ApiError("storageFailed", "no room"));
    else await this.sleep(this.pace.restMs(this.line(), tookMs));
  }

  private async sendInPieces(item: Item): Promise<void> {
    const { picture } = item;
    let content: Blob;
    let key: string;
    try {
      content = item.content ??= await picture.source.open();
      key = await keyOf(picture, content);
    } catch (error) {
      this.refuse(item, whyUnread(error));
      return;
    }
    await this.unpaused();
    const { id, offset: begun } = await this.transfer.begin(key, content.size);
    let offset = begun;
    for (;;) {
      this.tally.part(picture, offset, this.nowMs());
      let piece: Uint8Array<ArrayBuffer>;
      try {
        piece = new Uint8Array(await readPart(content, offset, this.pace.sizeBytes()));
      } catch (error) {
        this.refuse(item, whyUnread(error));
        return;
      }
      await this.unpaused();
      const startMs = this.nowMs();
      const taken = await this.transfer.piece(id, offset, piece, this.onTheWay.signal);
      this.gotThrough();
      item.attempts = 0;
      const tookMs = this.nowMs() - startMs;
      if (taken.outcome === null) this.pace.sent(piece.length, tookMs, 1);
      if (taken.outcome === "kept") {
        this.keep(item);
        return;
      }
      if (taken.outcome !== null) {
        this.refuse(item, taken.outcome === "again" ? "failed" : taken.outcome);
        return;
      }
      offset = taken.offset;
      await this.sleep(this.pace.restMs(this.line(), tookMs));
      await this.unpaused();
    }
  }

  // ---- what became of it

  private keep(item: Item | undefined): void {
    if (item === undefined || item.over) return;
    item.over = true;
    item.content = null;
    this.tally.kept(item.picture, this.nowMs());
  }

  private refuse(item: Item, why: NotKept["why"]): void {
    if (item.over) return;
    const { study } = item.picture.header;
    const gone = [item];
    if (why === "foreign") {
      // The others of this study would be refused one after the other.
      for (const other of this.queue) if (other !== item && other.picture.header.study === study) gone.push(other);
      this.queue = this.queue.filter(({ picture }) => picture.header.study !== study);
    }
    for (const each of gone) {
      each.over = true;
      each.content = null;
    }
    this.tally.refused(study, gone.map(({ picture }) => picture), why);
  }

  // ---- trouble

  private gotThrough(): void {
    this.failures = 0;
    if (this.waitings.peek() !== null) this.waitings.value = null;
  }

  /** Objects in a request that the server could make nothing of are sent alone, and at last not any more. */
  private doubt(batch: readonly Item[], error: unknown): void {
    if (!(error instanceof ApiError) || !DOUBTFUL.has(error.code)) return;
    for (const item of batch) {
      item.attempts += 1;
      if (item.attempts < ATTEMPTS_MAX || item.over) continue;
      this.queue.splice(this.queue.indexOf(item), 1);
      this.refuse(item, error.code === "internal" ? "failed" : "unreadable");
    }
  }

  /** Waits before it is tried again. Throws what cannot be mended by waiting. */
  private async backOff(error: unknown): Promise<void> {
    if (this.isOver() || !(error instanceof ApiError)) throw error;
    const why = PASSING[error.code] ?? (DOUBTFUL.has(error.code) ? "server" : undefined);
    if (why === undefined) throw error;
    this.pace.broke();
    this.waitings.value = why;
    const waitMs = Math.min(BACKOFF_MAX_MS, BACKOFF_FIRST_MS * 2 ** this.failures);
    this.failures += 1;
    await this.sleep(waitMs);
    await this.unpaused();
  }

  private async unpaused(): Promise<void> {
    while (this.states.peek() === "paused") await this.sleep(null);
    if (this.isOver()) throw new ApiError("internal", "it was stopped");
  }

  /** null: until somebody wakes it. */
  private sleep(ms: number | null): Promise<void> {
    if (ms === 0) return Promise.resolve();
    return new Promise((resolve) => {
      const wake = (): void => {
        clearTimeout(timer);
        this.sleepers.delete(wake);
        resolve();
      };
      const timer = ms === null ? undefined : setTimeout(wake, ms);
      this.sleepers.add(wake);
    });
  }
}

function sizeOf({ picture }: Item): number {
  return picture.source.sizeBytes;
}

function isSmall(item: Item): boolean {
  return sizeOf(item) <= LARGE_BYTES;
}

async function readPart(content: Blob, offset: number, sizeBytes: number): Promise<ArrayBuffer> {
  return content.slice(offset, offset + sizeBytes).arrayBuffer();
}

/** A file or a damaged archive is told as such, a fault of this page is not. */
function whyUnread(error: unknown): "unreadable" | "failed" {
  return error instanceof DOMException || error instanceof ZipError ? "unreadable" : "failed";
}

/** Tells this object from any other, without reading all of it. */
async function keyOf({ header }: Picture, content: Blob): Promise<string> {
  const places = [0, Math.max(0, Math.floor(content.size / 2)), Math.max(0, content.size - KEY_SAMPLE_BYTES)];
  const samples = await Promise.all(places.map((place) => readPart(content, place, KEY_SAMPLE_BYTES)));
  const named = new Blob([`${header.study} ${header.sopInstance} ${content.size} `, ...samples]);
  const digest = await crypto.subtle.digest("SHA-256", await named.arrayBuffer());
  return Array.from(new Uint8Array(digest), (byte) => byte.toString(16).padStart(2, "0")).join("");
}
