// Owns which pictures are asked for now: a few at once, the most wanted first, small ones many in one answer, what nobody waits for
// any more given up; and again after the line broke.

import { signal } from "@preact/signals";
import type { ReadonlySignal } from "@preact/signals";
import { ApiError } from "../../api";
import type { ErrorCode } from "../../protocol";
import type { DecoderPool } from "../decoding/pool";
import type { Decoded } from "../decoding/form";
import type { PreviewTaker, StudyApi } from "./api";
import { AHEAD, BATCHES_AT_ONCE, Batch, FIRST_TOGETHER, MOST_TOGETHER } from "./batches";
import { Fetcher, PREVIEW_LEVEL } from "./fetcher";
import { Shelf } from "./held";
import { outwards, wishes } from "./plan";
import type { Grade, Plan, Wish } from "./plan";
import type { Picture } from "../model";

const AT_ONCE = 6;
const PREVIEWS_AT_ONCE = 4;
/** Few, so that a thin line has room for what somebody turns to. */
const SHARP_AT_ONCE = 2;
const RETRY_MS = [500, 1000, 2000, 4000, 8000] as const;
const MEBIBYTE = 1024 * 1024;
const USUAL_MEMORY_GIB = 4;

export interface Best {
  readonly grade: Grade;
  readonly decoded: Decoded;
}

interface Fetching {
  readonly picture: Picture;
  readonly grade: Grade;
  readonly stop: AbortController;
  /** All of it has come, and is decoded. */
  hasCome: boolean;
}

export class Frames {
  private readonly shelf: Shelf;
  private readonly fetcher: Fetcher;
  private readonly fetching = new Map<string, Fetching>();
  private readonly batches = new Set<Batch>();
  /** Came in an answer with others, and are decoded. */
  private readonly opening = new Set<string>();
  /** Left out of an answer with others: asked for alone, they are told why. */
  private readonly alone = new Set<string>();
  private comesTogether = true;
  private together = FIRST_TOGETHER;
  private plan: Plan = { shown: [], isMoving: false, smallLimit: 0, sharpLimit: 0 };
  private failures = 0;
  private pausedUntil = 0;
  private timer: ReturnType<typeof setTimeout> | undefined;
  private isClosed = false;
  private readonly troubled = signal<ErrorCode | "network" | null>(null);
  /** Why pictures do not come just now. */
  readonly trouble: ReadonlySignal<ErrorCode | "network" | null> = this.troubled;

  constructor(
    private readonly api: StudyApi,
    pool: DecoderPool,
    private readonly onCame: (picture: Picture) => void,
    budgetBytes = usualBudgetBytes(),
  ) {
    this.shelf = new Shelf(budgetBytes);
    this.fetcher = new Fetcher(api, pool, this.shelf);
  }

  want(shown: Plan["shown"], isMoving: boolean): void {
    const [first] = shown.flatMap(({ pictures, at }) => pictures[at] ?? []);
    const count = shown.reduce((sum, { pictures }) => sum + pictures.length, 0);
    const limits = first ? this.shelf.limits(first, count) : { small: 0, sharp: 0 };
    const before = this.plan.shown;
    this.plan = { shown, isMoving, smallLimit: limits.small, sharpLimit: limits.sharp };
    const isOther = shown.length !== before.length || shown.some(({ pictures }, cell) => pictures !== before[cell]?.pictures);
    if (isOther) this.leave();
    if (!isMoving) this.turn();
    this.go();
  }

  /** The best that is there. */
  get(picture: Picture): Best | null {
    const { full, small } = this.shelf.of(picture);
    return full ? { grade: "sharp", decoded: full } : small ? { grade: "preview", decoded: small } : null;
  }

  /** Why a picture cannot be shown; null while it may still come. */
  failure(picture: Picture): string | null {
    return this.shelf.of(picture).failed;
  }

  again(): void {
    this.shelf.forgetFailures();
    this.pausedUntil = 0;
    this.go();
  }

  close(): void {
    this.isClosed = true;
    clearTimeout(this.timer);
    for (const { stop } of [...this.fetching.values(), ...this.batches]) stop.abort();
    this.shelf.clear();
  }

  private go(): void {
    if (this.isClosed) return;
    const waitMs = this.pausedUntil - performance.now();
    clearTimeout(this.timer);
    if (waitMs > 0) {
      this.timer = setTimeout(() => this.go(), waitMs);
      return;
    }
    let whole = 0;
    const gathered: Picture[] = [];
    /** Series of which nearer pictures wait for their turn. */
    const waiting = new Set<string>();
    const shown = new Set(this.plan.shown.map(({ pictures }) => pictures[0]?.series));
    for (const wish of wishes(this.plan)) {
      // Of these there is no small picture: what does not stay in memory would come again and again.
      const isWhole = wish.grade === "preview" && !wish.isUrgent && this.shelf.way(wish.picture) === "stored";
      if (isWhole && ++whole > this.plan.sharpLimit) continue;
      if (this.isDone(wish)) continue;
      // The line is theirs who see nothing yet.
      if (!wish.isUrgent && this.isAwaited()) break;
      if (this.goesTogether(wish)) {
        if (!this.gather(gathered, wish.picture)) waiting.add(wish.picture.series);
        if (waiting.size === shown.size) break;
        continue;
      }
      if (wish.grade === "sharp" && !wish.isUrgent && (gathered.length > 0 || this.batches.size > 0)) break;
      if (!wish.isUrgent && waiting.has(wish.picture.series)) continue;
      if (wish.isUrgent) this.makeRoom();
      if (!this.hasRoom(wish)) break;
      void this.fetch(wish);
    }
    const [first] = gathered;
    if (gathered.length === 1 && first) void this.fetch({ picture: first, grade: "preview", isUrgent: false });
    else if (first) this.begin(new Batch(gathered));
  }

  /** Whether there is nothing to do for it just now. */
  private isDone({ picture, grade, isUrgent }: Wish): boolean {
    const { failed, full, small } = this.shelf.of(picture);
    if (failed !== null || full || this.fetching.has(picture.id) || this.opening.has(picture.id)) return true;
    if (grade === "preview" && small !== null) return true;
    for (const batch of this.batches) if (isUrgent ? batch.isSoon(picture) : batch.has(picture)) return true;
    return false;
  }

  /** Somebody has no picture before them, and it is on its way. */
  private isAwaited(): boolean {
    return this.plan.shown.some(({ pictures, at }) => {
      const picture = pictures[at];
      if (!picture) return false;
      const { failed, full, small } = this.shelf.of(picture);
      return failed === null && !full && !small && this.fetching.get(picture.id)?.hasCome === false;
    });
  }

  private hasRoom({ grade, isUrgent }: Wish): boolean {
    if (isUrgent) return this.fetching.size < AT_ONCE;
    let same = 0;
    for (const each of this.fetching.values()) same += each.grade === grade ? 1 : 0;
    return this.fetching.size < PREVIEWS_AT_ONCE && same < (grade === "sharp" ? SHARP_AT_ONCE : PREVIEWS_AT_ONCE);
  }

  /** What came so far of sharp pictures that nobody looks at is kept, and goes on from there later. */
  private makeRoom(): void {
    const seen = new Set(this.plan.shown.map(({ pictures, at }) => pictures[at]?.id));
    for (const { picture, grade, stop, hasCome } of this.fetching.values()) {
      if (grade === "sharp" && !hasCome && !seen.has(picture.id) && this.shelf.way(picture) === "progressive") stop.abort();
    }
  }

  /** What is no longer shown is for nothing. */
  private leave(): void {
    const shown = new Set(this.plan.shown.flatMap(({ pictures }) => pictures.map(({ id }) => id)));
    for (const { picture, stop } of this.fetching.values()) if (!shown.has(picture.id)) stop.abort();
    for (const batch of this.batches) if (!batch.pictures.some(({ id }) => shown.has(id))) batch.stop.abort();
  }

  /** Who stands somewhere else waits for what is there. */
  private turn(): void {
    if (this.batches.size === 0) return;
    const missing = [...outwards(this.plan.shown)].filter((picture) => {
      const { small, full, failed } = this.shelf.of(picture);
      return !small && !full && failed === null;
    });
    for (const batch of Batch.useless(this.batches, missing)) batch.stop.abort();
  }

  // ---- one picture

  private async fetch({ picture, grade }: Wish): Promise<void> {
    const stop = new AbortController();
    const own: Fetching = { picture, grade, stop, hasCome: false };
    this.fetching.set(picture.id, own);
    try {
      await this.fetcher.fetch(picture, grade, stop.signal, () => {
        own.hasCome = true;
        queueMicrotask(() => this.go());
      });
      this.came(picture);
    } catch (error) {
      if (!stop.signal.aborted) this.failed(picture, error);
    } finally {
      this.fetching.delete(picture.id);
      this.trim();
      this.go();
    }
  }

  private came(picture: Picture): void {
    this.failures = 0;
    if (this.troubled.peek() === "network") this.troubled.value = null;
    if (!this.isClosed) this.onCame(picture);
  }

  private failed(picture: Picture, error: unknown): void {
    const code = error instanceof ApiError ? error.code : "internal";
    if (this.isOfLine(code)) return;
    if (code === "notAuthorised" || code === "notAllowed" || code === "tokenExpired" || code === "inviteRevoked") this.troubled.value = code;
    this.shelf.of(picture).failed = code;
    this.onCame(picture);
  }

  /** Nothing is asked for a while then. */
  private isOfLine(code: string): boolean {
    if (code !== "network" && code !== "tooMany" && code !== "shuttingDown") return false;
    this.pausedUntil = performance.now() + (RETRY_MS[Math.min(this.failures, RETRY_MS.length - 1)] ?? 0);
    this.failures += 1;
    this.troubled.value = "network";
    return true;
  }

  private trim(): void {
    this.shelf.trim(outwards(this.plan.shown), this.plan.smallLimit, (id) => this.fetching.has(id) || this.opening.has(id));
  }

  // ---- many small ones in one answer

  private goesTogether({ picture, grade, isUrgent }: Wish): boolean {
    if (!this.comesTogether || isUrgent || grade === "sharp" || picture.frame !== 1 || this.alone.has(picture.id)) return false;
    return this.shelf.way(picture) === "progressive" && (this.shelf.of(picture).beginning?.length ?? 0) === 0;
  }

  private gather(gathered: Picture[], picture: Picture): boolean {
    const [first = picture] = gathered;
    const fits = first.series === picture.series && first.study === picture.study;
    if (!fits || gathered.length >= this.together || !this.mayBegin()) return false;
    gathered.push(picture);
    return true;
  }

  /** Two side by side would only take the line from each other; one after the other would let it lie idle in between. */
  private mayBegin(): boolean {
    return this.batches.size < BATCHES_AT_ONCE && [...this.batches].every(({ left }) => left.length <= AHEAD);
  }

  private begin(batch: Batch): void {
    this.together = Math.min(MOST_TOGETHER, this.together * 2);
    this.batches.add(batch);
    void this.fetchTogether(batch);
    this.go();
  }

  private async fetchTogether(batch: Batch): Promise<void> {
    const [first] = batch.pictures;
    if (!first) return;
    const instances = batch.pictures.map(({ instance }) => instance);
    try {
      await this.api.previews(first.study, first.series, instances, PREVIEW_LEVEL, batch.stop.signal, this.taker(batch));
      for (const { id } of batch.left) this.alone.add(id);
    } catch (error) {
      const code = error instanceof ApiError ? error.code : "internal";
      // What is refused to all of them may not be to each.
      if (!batch.stop.signal.aborted && !this.isOfLine(code)) this.comesTogether = false;
    } finally {
      this.batches.delete(batch);
      this.keepBeginning(batch);
      this.trim();
      this.go();
    }
  }

  private taker(batch: Batch): PreviewTaker {
    return {
      begins: (instance, end, total) => {
        for (const { id } of batch.begins(instance, end, total)) this.alone.add(id);
      },
      bytes: (piece) => batch.current?.bytes.add(piece.slice()),
      ends: () => {
        const picture = batch.current?.picture;
        const isNew = this.keepBeginning(batch);
        batch.current = null;
        if (picture && isNew) void this.open(picture);
      },
    };
  }

  /** What came of the one that was coming; false if it is there already. */
  private keepBeginning({ current }: Batch): boolean {
    if (!current || this.isClosed || current.bytes.length === 0) return false;
    const { picture, bytes, end } = current;
    const held = this.shelf.of(picture);
    if (held.full || held.small || this.fetching.has(picture.id) || (held.beginning?.length ?? 0) >= bytes.length) return false;
    held.beginning = bytes;
    held.previewEnd = end;
    return true;
  }

  private async open(picture: Picture): Promise<void> {
    const { beginning } = this.shelf.of(picture);
    if (!beginning) return;
    this.opening.add(picture.id);
    try {
      if (await this.fetcher.see(picture, beginning)) this.came(picture);
    } catch (error) {
      this.failed(picture, error);
    } finally {
      this.opening.delete(picture.id);
      this.go();
    }
  }
}

/** Half of what a tablet can spare: it has other pages, and the session's videos, too. */
function usualBudgetBytes(): number {
  const { deviceMemory = USUAL_MEMORY_GIB } = navigator as { readonly deviceMemory?: number };
  return Math.min(768, Math.max(192, deviceMemory * 96)) * MEBIBYTE;
}
