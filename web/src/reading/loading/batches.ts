// Owns which small pictures are asked for in one answer, and what of it is still to come. Pure.

import type { Picture } from "../model";
import { Beginning } from "./held";

/** The first answer is short, so that what lies around where somebody begins to read is there soon. */
export const FIRST_TOGETHER = 8;
/** Each is twice the one before, up to so many: the delay of a line counts for little then. */
export const MOST_TOGETHER = 60;
/** When so many of an answer are still to come, the next is asked for. */
export const AHEAD = 12;
export const BATCHES_AT_ONCE = 2;
/** What comes as one of the next so many is not asked for once more by somebody who waits for it. */
const SOON = 2;
/** An answer of which none of the next lies within so many of the nearest that are missing is given up for one that does. */
const NEAR = 30;
const NEXT = 4;

/** Pictures of one series, each the first frame of its instance, in the order in which they come. */
export class Batch {
  readonly stop = new AbortController();
  /** What comes just now. */
  current: { readonly picture: Picture; readonly bytes: Beginning; readonly end: number } | null = null;
  private due: readonly Picture[];
  /** Those that are due, by their ids: asked about whenever a picture comes. */
  private readonly ids: Set<string>;

  constructor(readonly pictures: readonly Picture[]) {
    this.due = pictures;
    this.ids = new Set(pictures.map(({ id }) => id));
  }

  has(picture: Picture): boolean {
    return this.current?.picture.id === picture.id || this.ids.has(picture.id);
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
    for (const { id } of [...before, picture]) this.ids.delete(id);
    this.current = { picture, bytes, end };
    return before;
  }

  /** Those that have not come. */
  get left(): readonly Picture[] {
    return this.due;
  }

  /** All of it has come but for what comes just now. */
  private get isAtItsEnd(): boolean {
    return this.due.length === 0;
  }

  private isNextAmong(near: ReadonlySet<string>): boolean {
    return this.due.slice(0, NEXT).some(({ id }) => near.has(id));
  }

  /** Which of these answers, in the order in which they were asked for, bring nothing soon to who misses these, the nearest first. */
  static useless(batches: Iterable<Batch>, missing: Iterable<Picture>): readonly Batch[] {
    const useless: Batch[] = [];
    let left = [...missing];
    for (const batch of batches) {
      const near = new Set(left.slice(0, NEAR).map(({ id }) => id));
      if (batch.isAtItsEnd || batch.isNextAmong(near)) left = left.filter((picture) => !batch.has(picture));
      else useless.push(batch);
    }
    return useless;
  }
}
