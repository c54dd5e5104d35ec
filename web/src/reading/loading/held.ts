// Owns what is there of each picture: a small one, the sharp one, bytes that came so far. Keeps to a budget of memory. No I/O.

import type { Decoded } from "../decoding/form";
import type { Picture } from "../model";

/** How a frame is fetched: as a codestream of which a beginning is of use, or as it is stored. */
export type Way = "progressive" | "stored";

/** The beginning of a codestream; `total` is how long it is in all. */
export class Beginning {
  private readonly pieces: Uint8Array[] = [];
  length = 0;
  total: number | null = null;

  add(piece: Uint8Array): void {
    this.pieces.push(piece);
    this.length += piece.length;
  }

  /** Lets go of what comes after so many bytes. */
  cut(length: number): void {
    if (this.length <= length) return;
    const kept = this.bytes().slice(0, length);
    this.pieces.splice(0, this.pieces.length, kept);
    this.length = length;
  }

  clear(): void {
    this.pieces.length = 0;
    this.length = 0;
    this.total = null;
  }

  bytes(): Uint8Array {
    const all = new Uint8Array(this.length);
    let at = 0;
    for (const piece of this.pieces) {
      all.set(piece, at);
      at += piece.length;
    }
    return all;
  }

  get isWhole(): boolean {
    return this.total !== null && this.length >= this.total;
  }
}

export interface Held {
  small: Decoded | null;
  full: Decoded | null;
  beginning: Beginning | null;
  /** The codestream's beginning is all that a preview needs. */
  previewEnd: number | null;
  failed: string | null;
}

const SMALL_SIDE = 96;
/** Where a mean of neighbours is no value of its own, or values are no whole numbers, a smaller picture says nothing. */
const NO_MEANS: readonly string[] = ["PALETTE COLOR", "YBR_FULL_422", "YBR_PARTIAL_422", "YBR_PARTIAL_420"];

export function wayOf({ form, isLossy, columns, rows, modalityLut }: Picture): Way {
  const isSimple = form.bitsAllocated === 8 || form.bitsAllocated === 16;
  const pays = columns > SMALL_SIDE && rows > SMALL_SIDE;
  return isSimple && pays && !isLossy && !form.isFloat && !modalityLut && !NO_MEANS.includes(form.photometric) ? "progressive" : "stored";
}

/** Of the budget: what all small pictures may take, and what is left free so that nothing comes and goes in turns. */
const SMALL_SHARE = 0.5;
const USED_SHARE = 0.9;
/** Of a sharp picture: its small one, a sixteenth, and the codestream of that. */
const SMALL_SIZE = 0.1;
/** What is there is counted anew when so much of the budget came. */
const COUNTED_SHARE = 1 / 64;

export class Shelf {
  private readonly all = new Map<string, Held>();
  /** Instances of which the server has no codestream. */
  private readonly stored = new Set<string>();
  private newBytes = 0;

  constructor(readonly budgetBytes: number) {}

  of(picture: Picture): Held {
    let held = this.all.get(picture.id);
    if (!held) {
      held = { small: null, full: null, beginning: null, previewEnd: null, failed: null };
      this.all.set(picture.id, held);
    }
    return held;
  }

  way(picture: Picture): Way {
    return this.stored.has(picture.instance) ? "stored" : wayOf(picture);
  }

  asStored(picture: Picture): void {
    this.stored.add(picture.instance);
    this.of(picture).beginning = null;
  }

  keep(picture: Picture, decoded: Decoded): void {
    const held = this.of(picture);
    this.newBytes += decoded.data.byteLength;
    held.full = decoded;
    held.beginning = null;
  }

  keepSmall(picture: Picture, decoded: Decoded): void {
    const held = this.of(picture);
    this.newBytes += decoded.data.byteLength + (held.beginning?.length ?? 0);
    held.small = decoded;
  }

  /** How many pictures like this one are kept at most, if so many are shown: small and in full. */
  limits(like: Picture, shown: number): { readonly small: number; readonly sharp: number } {
    const one = sharpBytes(like);
    const small = Math.max(1, Math.floor((this.budgetBytes * SMALL_SHARE) / (one * SMALL_SIZE)));
    const left = this.budgetBytes * USED_SHARE - Math.min(shown, small) * one * SMALL_SIZE;
    return { small, sharp: Math.max(1, Math.floor(left / one)) };
  }

  /**
   * Keeps to the budget. First goes what nobody has before them any more, the oldest first; then, of what is shown, what is
   * furthest by `order`: what came of codestreams beyond their small pictures, sharp pictures, and small ones beyond the limit.
   * What is coming just now stays.
   */
  trim(order: Iterable<Picture>, smallLimit: number, isComing: (id: string) => boolean): void {
    if (this.newBytes <= this.budgetBytes * COUNTED_SHARE) return;
    this.newBytes = 0;
    let over = this.usedBytes - this.budgetBytes;
    if (over <= 0) return;
    const shown = [...order];
    const ids = new Set(shown.map(({ id }) => id));
    for (const [id, held] of this.all) {
      if (over <= 0) return;
      if (ids.has(id) || isComing(id)) continue;
      over -= bytesOf(held);
      this.all.delete(id);
    }
    const furthest = shown.map(({ id }) => (isComing(id) ? undefined : this.all.get(id))).reverse();
    const near = shown.length - smallLimit;
    const ways: readonly ((held: Held, at: number) => void)[] = [
      (held) => held.beginning?.cut(held.previewEnd ?? 0),
      (held) => (held.full = null),
      (held, at) => {
        if (at < near) Object.assign(held, { small: null, beginning: null, previewEnd: null });
      },
    ];
    for (const free of ways) {
      for (const [at, held] of furthest.entries()) {
        if (over <= 0) return;
        if (!held) continue;
        over -= bytesOf(held);
        free(held, at);
        over += bytesOf(held);
      }
    }
  }

  /** All that is kept of all pictures. */
  get usedBytes(): number {
    let used = 0;
    for (const held of this.all.values()) used += bytesOf(held);
    return used;
  }

  forgetFailures(): void {
    for (const held of this.all.values()) held.failed = null;
  }

  clear(): void {
    this.all.clear();
  }
}

function bytesOf({ small, full, beginning }: Held): number {
  return (small?.data.byteLength ?? 0) + (full?.data.byteLength ?? 0) + (beginning?.length ?? 0);
}

/** What a picture takes in memory when it is sharp. */
export function sharpBytes({ columns, rows, form, slope, intercept, palette }: Picture): number {
  if (palette || form.samples > 1) return columns * rows * 3;
  const isWhole = Number.isInteger(slope) && Number.isInteger(intercept) && !form.isFloat;
  return columns * rows * (!isWhole || form.bitsAllocated > 16 ? 4 : form.bitsAllocated > 8 ? 2 : 1);
}
