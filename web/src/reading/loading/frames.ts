// Owns how pictures come to this browser: a few at once, the most wanted first, no byte twice, again after the line broke.

import { signal } from "@preact/signals";
import type { ReadonlySignal } from "@preact/signals";
import { ApiError } from "../../api";
import type { ErrorCode } from "../../protocol";
import type { DecoderPool } from "../decoding/pool";
import type { Decoded } from "../decoding/form";
import { EXPLICIT_LITTLE, HTJ2K } from "./api";
import type { FrameAnswer, FrameAsk, StudyApi } from "./api";
import { Beginning, Shelf, sharpBytes } from "./held";
import { meaningOf } from "./meaning";
import { outwards, wishes } from "./plan";
import type { Grade, Plan, Wish } from "./plan";
import type { Picture } from "../model";

const AT_ONCE = 6;
const PREVIEWS_AT_ONCE = 4;
/** Few, so that a thin line has room for what somebody turns to. */
const SHARP_AT_ONCE = 2;
const PREVIEW_LEVEL = 2;
const RETRY_MS = [500, 1000, 2000, 4000, 8000] as const;
const MEBIBYTE = 1024 * 1024;
const USUAL_MEMORY_GIB = 4;
const AS_STORED = "image/*; transfer-syntax=*, application/octet-stream; transfer-syntax=*";
const DECODED = `application/octet-stream; transfer-syntax=${EXPLICIT_LITTLE}`;
const LOSSY_JPEG: readonly string[] = ["1.2.840.10008.1.2.4.50", "1.2.840.10008.1.2.4.51"];
const CODESTREAM = `image/jphc; transfer-syntax=${HTJ2K}`;

export interface Best {
  readonly grade: Grade;
  readonly decoded: Decoded;
}

interface Fetching {
  readonly wish: Wish;
  readonly stop: AbortController;
}

export class Frames {
  private readonly shelf = new Shelf(budgetBytes());
  private readonly fetching = new Map<string, Fetching>();
  private plan: Plan = { shown: [], isMoving: false, sharpLimit: 0 };
  private failures = 0;
  private pausedUntil = 0;
  private timer: ReturnType<typeof setTimeout> | undefined;
  private isClosed = false;
  private readonly troubled = signal<ErrorCode | "network" | null>(null);
  /** Why pictures do not come just now. */
  readonly trouble: ReadonlySignal<ErrorCode | "network" | null> = this.troubled;

  constructor(
    private readonly api: StudyApi,
    private readonly pool: DecoderPool,
    private readonly onCame: (picture: Picture) => void,
  ) {}

  want(shown: Plan["shown"], isMoving: boolean): void {
    const [first] = shown.flatMap(({ pictures, at }) => pictures[at] ?? []);
    const sharpLimit = first ? Math.max(1, Math.floor((this.shelf.budgetBytes * 0.9) / sharpBytes(first))) : 0;
    this.plan = { shown, isMoving, sharpLimit };
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
    for (const { stop } of this.fetching.values()) stop.abort();
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
    for (const wish of wishes(this.plan)) {
      // Of these there is no small picture: what does not stay in memory would come again and again.
      const isWhole = wish.grade === "preview" && !wish.isUrgent && this.shelf.way(wish.picture) === "stored";
      if (isWhole && ++whole > this.plan.sharpLimit) continue;
      if (this.isDone(wish)) continue;
      if (!this.hasRoom(wish)) {
        if (!wish.isUrgent) return;
        this.makeRoom();
        if (this.fetching.size >= AT_ONCE) return;
      }
      void this.fetch(wish);
    }
  }

  private isDone({ picture, grade }: Wish): boolean {
    const held = this.shelf.of(picture);
    if (held.failed !== null || held.full || this.fetching.has(picture.id)) return true;
    return grade === "preview" && held.small !== null;
  }

  private hasRoom({ grade, isUrgent }: Wish): boolean {
    if (isUrgent) return this.fetching.size < AT_ONCE;
    let same = 0;
    for (const { wish } of this.fetching.values()) same += wish.grade === grade ? 1 : 0;
    return this.fetching.size < PREVIEWS_AT_ONCE && same < (grade === "sharp" ? SHARP_AT_ONCE : PREVIEWS_AT_ONCE);
  }

  /** What came of it so far is kept, and goes on from there later. */
  private makeRoom(): void {
    for (const { wish, stop } of this.fetching.values()) {
      if (!wish.isUrgent && wish.grade === "sharp") {
        stop.abort();
        return;
      }
    }
  }

  private async fetch(wish: Wish): Promise<void> {
    const { picture } = wish;
    const stop = new AbortController();
    this.fetching.set(picture.id, { wish, stop });
    try {
      if (this.shelf.way(picture) === "progressive") await this.progressive(wish, stop.signal);
      else await this.stored(picture, stop.signal);
      this.failures = 0;
      if (this.troubled.peek() === "network") this.troubled.value = null;
      if (!this.isClosed) this.onCame(picture);
    } catch (error) {
      if (!stop.signal.aborted) this.failed(picture, error);
    } finally {
      this.fetching.delete(picture.id);
      this.shelf.trim(outwards(this.plan.shown));
      this.go();
    }
  }

  private failed(picture: Picture, error: unknown): void {
    const code = error instanceof ApiError ? error.code : "internal";
    if (code === "network" || code === "tooMany" || code === "shuttingDown") {
      this.pausedUntil = performance.now() + (RETRY_MS[Math.min(this.failures, RETRY_MS.length - 1)] ?? 0);
      this.failures += 1;
      this.troubled.value = "network";
      return;
    }
    if (code === "notAuthorised" || code === "notAllowed" || code === "tokenExpired" || code === "inviteRevoked") this.troubled.value = code;
    this.shelf.of(picture).failed = code;
    this.onCame(picture);
  }

  private async progressive({ picture, grade }: Wish, stop: AbortSignal): Promise<void> {
    const held = this.shelf.of(picture);
    const beginning = (held.beginning ??= new Beginning());
    try {
      if (grade === "preview" && beginning.length < (held.previewEnd ?? Infinity)) await this.read(picture, beginning, PREVIEW_LEVEL, stop);
      else if (grade === "sharp" && !beginning.isWhole) await this.read(picture, beginning, null, stop);
    } catch (error) {
      if (!(error instanceof ApiError && error.code === "unsupported")) throw error;
      this.shelf.asStored(picture);
      return this.stored(picture, stop);
    }
    const level = beginning.isWhole ? 0 : PREVIEW_LEVEL;
    const decoded = await this.decode(picture, beginning.bytes(), HTJ2K, level);
    if (!decoded) {
      this.shelf.asStored(picture);
      return this.stored(picture, stop);
    }
    if (level === 0) this.shelf.keep(picture, decoded);
    else held.small = decoded;
  }

  private async read(picture: Picture, beginning: Beginning, level: number | null, stop: AbortSignal): Promise<void> {
    const held = this.shelf.of(picture);
    const ask: FrameAsk = {
      accept: CODESTREAM,
      ...(level !== null && beginning.length === 0 ? { level } : {}),
      ...(beginning.length > 0 ? { from: beginning.length } : {}),
      ...(beginning.length > 0 && level !== null && held.previewEnd !== null ? { to: held.previewEnd - 1 } : {}),
    };
    const onAnswer = (answer: FrameAnswer): void => {
      // A server that gives no ranges begins anew; so does one whose codestream is another by now.
      if (answer.from !== beginning.length || (beginning.total !== null && beginning.total !== answer.total)) beginning.clear();
      if (answer.from !== beginning.length) throw new ApiError("network", "bytes that nobody asked for");
      beginning.total = answer.total;
      if (ask.level !== undefined) held.previewEnd = answer.end;
    };
    await this.api.frame(picture, ask, stop, onAnswer, (bytes) => beginning.add(bytes));
    if (ask.to === undefined && ask.level === undefined) beginning.total = beginning.length;
    // Without its length said, what came is all there is.
    beginning.total ??= beginning.length;
  }

  private async stored(picture: Picture, stop: AbortSignal): Promise<void> {
    for (const accept of isDrawnOnly(picture) ? [] : [AS_STORED, DECODED]) {
      try {
        const { bytes, answer } = await this.bytes(picture, { accept }, stop);
        if (isOfDoubtfulColour(picture, answer.transferSyntax)) break;
        const decoded = await this.decode(picture, bytes, answer.transferSyntax, 0);
        if (decoded) {
          this.shelf.keep(picture, decoded);
          return;
        }
      } catch (error) {
        if (!(error instanceof ApiError && ["unsupported", "internal", "damaged"].includes(error.code))) throw error;
      }
    }
    // Whatever the server can draw can be seen at least, though not measured.
    const { bytes } = await this.bytes(picture, { accept: "image/png", rendered: true }, stop);
    this.shelf.keep(picture, await drawn(bytes));
  }

  private async bytes(picture: Picture, ask: FrameAsk, stop: AbortSignal): Promise<{ bytes: Uint8Array; answer: FrameAnswer }> {
    const all = new Beginning();
    const answers: FrameAnswer[] = [];
    await this.api.frame(picture, ask, stop, (answer) => answers.push(answer), (bytes) => all.add(bytes));
    const [answer] = answers;
    if (!answer) throw new ApiError("network", "no answer");
    return { bytes: all.bytes(), answer };
  }

  private async decode(picture: Picture, bytes: Uint8Array, transferSyntax: string, level: number): Promise<Decoded | null> {
    const { columns, rows } = picture;
    const meaning = await meaningOf(picture, this.api);
    return this.pool.decode({ bytes, transferSyntax, columns, rows, level, meaning });
  }
}

/** Its palette is told in segments (PS3.3 C.7.9.2), which only the server reads. */
const isDrawnOnly = ({ form, palette }: Picture): boolean => form.photometric === "PALETTE COLOR" && palette === null;

/** A JPEG decoder takes three colours for luminance and chrominance; where the object says otherwise, the server knows which it is. */
function isOfDoubtfulColour({ form }: Picture, transferSyntax: string): boolean {
  return form.photometric === "RGB" && LOSSY_JPEG.includes(transferSyntax);
}

/** Half of what a tablet can spare: it has other pages, and the session's videos, too. */
function budgetBytes(): number {
  const { deviceMemory = USUAL_MEMORY_GIB } = navigator as { readonly deviceMemory?: number };
  return Math.min(768, Math.max(192, deviceMemory * 96)) * MEBIBYTE;
}

async function drawn(bytes: Uint8Array): Promise<Decoded> {
  const picture = await createImageBitmap(new Blob([bytes.slice()], { type: "image/png" }));
  const { width, height } = picture;
  const pen = new OffscreenCanvas(width, height).getContext("2d");
  if (!pen) throw new ApiError("internal", "nothing to draw on");
  pen.drawImage(picture, 0, 0);
  picture.close();
  const { data } = pen.getImageData(0, 0, width, height);
  const colours = new Uint8Array(width * height * 3);
  for (let at = 0; at < width * height; at++) colours.set(data.subarray(at * 4, at * 4 + 3), at * 3);
  return { data: colours, columns: width, rows: height, samples: 3 };
}
