// Owns what is fetched next: small pictures first, sharp ones where the reader stands, then the rest from there outwards. Pure.

import type { Picture } from "../model";

export type Grade = "preview" | "sharp";

/** A series that a cell shows, and where its reader stands in it. */
export interface Shown {
  readonly pictures: readonly Picture[];
  readonly at: number;
}

export interface Wish {
  readonly picture: Picture;
  readonly grade: Grade;
  /** Somebody looks at it now. */
  readonly isUrgent: boolean;
}

export interface Plan {
  readonly shown: readonly Shown[];
  /** The reader scrolls: sharp pictures of places that are left at once are for nothing. */
  readonly isMoving: boolean;
  /** So many pictures are kept at most small, the nearest, and so many in full. */
  readonly smallLimit: number;
  readonly sharpLimit: number;
}

/** All that is wanted, the most wanted first. */
export function* wishes(plan: Plan): Generator<Wish> {
  const current = plan.shown.flatMap(({ pictures, at }) => pictures[at] ?? []);
  for (const picture of current) yield { picture, grade: "preview", isUrgent: true };
  if (!plan.isMoving) for (const picture of current) yield { picture, grade: "sharp", isUrgent: true };
  for (const picture of nearest(plan.shown, plan.smallLimit)) yield { picture, grade: "preview", isUrgent: false };
  for (const picture of nearest(plan.shown, plan.sharpLimit)) yield { picture, grade: "sharp", isUrgent: false };
}

function* nearest(shown: readonly Shown[], limit: number): Generator<Picture> {
  let left = limit;
  for (const picture of outwards(shown)) {
    if (left-- <= 0) return;
    yield picture;
  }
}

/** All pictures once, by how far they lie from where somebody stands. */
export function* outwards(shown: readonly Shown[]): Generator<Picture> {
  const seen = new Set<string>();
  const longest = Math.max(0, ...shown.map(({ pictures }) => pictures.length));
  for (let away = 0; away < longest; away++) {
    for (const { pictures, at } of shown) {
      for (const index of away === 0 ? [at] : [at + away, at - away]) {
        const picture = pictures[index];
        if (!picture || seen.has(picture.id)) continue;
        seen.add(picture.id);
        yield picture;
      }
    }
  }
}
