// Owns which small pictures are asked for in one answer, and what of it is still to come. Pure.

import type { Picture } from "../model";
import { Beginning } from "./held";

/** The first answer is short, so that what lies around where somebody begins to read is there soon. */
export const FIRST_TOGETHER = 8;
/** Some seconds of a thin line, so that its delay counts for little. */
export const TOGETHER = 30;
/** While one is on its way, the next is asked for. */
export const BATCHES_AT_ONCE = 2;
/** What comes as one of the next so many is not asked for once more by somebody who waits for it. */
const SOON = 2;
/** An answer of which nothing soon lies within so many of the nearest is left for one that does. */
const NEAR = 2 * TOGETHER;
const NEXT = 4;

/** Pictures of one series, each the first frame of its instance, in the order in which they come. */
export class Batch {
  readonly stop = new AbortController();
  /** What comes just now. */
  current: { readonly picture: Picture; readonly bytes: Beginning; readonly end: number } | null = null;
  private due: readonly Picture[];

  constructor(readonly pictures: readonly Picture[]) {
    this.due = pictures;
  }

  has(picture: Picture): boolean {
    return this.current?.picture.id === picture.id || this.due.some(({ id }) => id === picture.id);
  }

  isSoon(picture: Picture): boolean {
    return this.current?.picture.id === picture.id || this.due.slice(0, SOON).some(({ id }) => id === picture.id);
  }

  /** One comes; returns those before it, which were left out. */
  begins(instance: string, end: number, total: number): readonly Picture[] {
    const at = this.due.findIndex((each) => each.instance === instance);
    const picture = this.due[at];
    if (!picture) {
      // Not asked for, or once more: it comes to nobody.
      this.current = null;
      return [];
    }
    const bytes = new Beginning();
    bytes.total = total;
    const before = this.due.slice(0, at);
    this.due = this.due.slice(at + 1);
    this.current = { picture, bytes, end };
    return before;
  }

  /** Those that never came. */
  get left(): readonly Picture[] {
    return this.due;
  }

  /** Whether somebody who stands among these, the nearest, waits for what comes next. */
  isOfUse(near: ReadonlySet<string>): boolean {
    return this.due.slice(0, NEXT).some(({ id }) => near.has(id)) || (this.due.length === 0 && this.current !== null);
  }
}

/** The nearest of those that are missing. */
export function nearest(order: Iterable<Picture>, isMissing: (picture: Picture) => boolean): ReadonlySet<string> {
  const found = new Set<string>();
  for (const picture of order) {
    if (isMissing(picture)) found.add(picture.id);
    if (found.size >= NEAR) break;
  }
  return found;
}
