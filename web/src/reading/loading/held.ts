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

export class Shelf {
  private readonly all = new Map<string, Held>();
  /** Instances of which the server has no codestream. */
  private readonly stored = new Set<string>();
  sharpBytes = 0;

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
    this.sharpBytes += decoded.data.byteLength - (held.full?.data.byteLength ?? 0);
    held.full = decoded;
    held.beginning = null;
  }

  /** Lets sharp pictures go, those first that come last in `order`, until the budget is kept. */
  trim(order: Iterable<Picture>): void {
    if (this.sharpBytes <= this.budgetBytes) return;
    let left = this.budgetBytes;
    const staying = new Set<string>();
    for (const picture of order) {
      left -= sharpBytes(picture);
      if (left < 0) break;
      staying.add(picture.id);
    }
    for (const [id, held] of this.all) {
      if (this.sharpBytes <= this.budgetBytes) return;
      if (!held.full || staying.has(id)) continue;
      this.sharpBytes -= held.full.data.byteLength;
      held.full = null;
    }
  }

  forgetFailures(): void {
    for (const held of this.all.values()) held.failed = null;
  }

  clear(): void {
    this.all.clear();
    this.sharpBytes = 0;
  }
}

/** What a picture takes in memory when it is sharp. */
export function sharpBytes({ columns, rows, form, slope, intercept, palette }: Picture): number {
  if (palette || form.samples > 1) return columns * rows * 3;
  const isWhole = Number.isInteger(slope) && Number.isInteger(intercept) && !form.isFloat;
  return columns * rows * (!isWhole || form.bitsAllocated > 16 ? 4 : form.bitsAllocated > 8 ? 2 : 1);
}
