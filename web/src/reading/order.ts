// Owns in which order pictures are looked through, and whether they fill a volume. Pure.

import type { Picture } from "./model";
import { cross, dot, length, minus } from "./vectors";
import type { Vector } from "./vectors";

const PARALLEL = 0.999;
const SAME_PLACE_MM = 1e-3;
/** Planes may lie so much off their even distance, in shares of it. */
const UNEVEN = 0.1;
const LEAST_PLANES = 3;
const VOXELS_LIMIT = 400 * 1024 * 1024;

export type NoVolume = "fewPictures" | "colour" | "noPlace" | "uneven" | "tooLarge";

export interface VolumeShape {
  /** From the first plane on, along right × down. */
  readonly pictures: readonly Picture[];
  readonly origin: Vector;
  readonly right: Vector;
  readonly down: Vector;
  readonly through: Vector;
  readonly size: readonly [columns: number, rows: number, planes: number];
  readonly spacing: readonly [number, number, number];
}

/** Along the body where all lie side by side in it, counted as the machine counted; else by number and frame. */
export function ordered(pictures: readonly Picture[]): readonly Picture[] {
  const counted = [...pictures].sort((a, b) => a.instanceNumber - b.instanceNumber || compare(a.instance, b.instance) || a.frame - b.frame);
  const along = sideBySide(counted);
  if (along === null) return counted;
  const rising = [...along].sort((a, b) => a.at - b.at).map(({ picture }) => picture);
  const first = rising[0];
  const last = rising[rising.length - 1];
  const isDown = first && last && counted.indexOf(first) > counted.indexOf(last);
  return isDown ? rising.reverse() : rising;
}

export function volumeOf(pictures: readonly Picture[]): VolumeShape | NoVolume {
  const [first] = pictures;
  if (!first || pictures.length < LEAST_PLANES) return "fewPictures";
  if (first.form.samples !== 1 || first.palette) return "colour";
  const along = sideBySide(pictures);
  if (along === null || !first.isMillimetre) return "noPlace";
  const rising = [...along].sort((a, b) => a.at - b.at);
  const from = rising[0];
  const to = rising[rising.length - 1];
  const plane = from?.picture.plane;
  if (!from || !to || !plane) return "noPlace";
  const step = (to.at - from.at) / (rising.length - 1);
  if (rising.some(({ at }, index) => Math.abs(at - from.at - index * step) > UNEVEN * step)) return "uneven";
  if (pictures.length * first.columns * first.rows > VOXELS_LIMIT) return "tooLarge";
  return {
    pictures: rising.map(({ picture }) => picture),
    origin: plane.position,
    right: plane.right,
    down: plane.down,
    through: cross(plane.right, plane.down),
    size: [first.columns, first.rows, rising.length],
    spacing: [first.spacing[0], first.spacing[1], step],
  };
}

/** The picture of a series that lies nearest to a place in the body; null where that cannot be told. */
export function nearest(pictures: readonly Picture[], place: Vector): number | null {
  let found: number | null = null;
  let least = Infinity;
  pictures.forEach(({ plane }, index) => {
    if (!plane) return;
    const away = Math.abs(dot(minus(place, plane.position), plane.normal));
    if (away < least) {
      least = away;
      found = index;
    }
  });
  return found;
}

interface Placed {
  readonly picture: Picture;
  readonly at: number;
}

/** Where each lies along the common normal; null unless all are parallel, of one size, and no two in one place. */
function sideBySide(pictures: readonly Picture[]): readonly Placed[] | null {
  const [first] = pictures;
  if (!first?.plane || pictures.length < 2) return null;
  const { normal, right } = first.plane;
  const along: Placed[] = [];
  for (const picture of pictures) {
    const { plane, columns, rows } = picture;
    if (!plane || columns !== first.columns || rows !== first.rows) return null;
    if (dot(plane.normal, normal) < PARALLEL || dot(plane.right, right) < PARALLEL) return null;
    along.push({ picture, at: dot(minus(plane.position, first.plane.position), normal) });
  }
  const sorted = along.map(({ at }) => at).sort((a, b) => a - b);
  const distinct = sorted.every((at, index) => index === 0 || at - (sorted[index - 1] ?? 0) > SAME_PLACE_MM);
  return distinct ? along : null;
}

/** Where the plane of one picture crosses another picture, in that one's pixels; null if it does not. */
export function crossing(of: Picture, on: Picture): readonly [readonly [number, number], readonly [number, number]] | null {
  if (!of.plane || !on.plane || of.frameOfReference === "" || of.frameOfReference !== on.frameOfReference) return null;
  if (length(cross(of.plane.normal, on.plane.normal)) < 0.05) return null;
  return cut(of.plane.position, of.plane.normal, on);
}

/** The line in which a plane in space cuts a picture, in its pixels. */
export function cut(point: Vector, normal: Vector, on: Picture): readonly [readonly [number, number], readonly [number, number]] | null {
  if (!on.plane) return null;
  const a = dot(normal, on.plane.right) * on.spacing[0];
  const b = dot(normal, on.plane.down) * on.spacing[1];
  const c = dot(normal, minus(point, on.plane.position));
  return clip(a, b, c, on.columns - 1, on.rows - 1);
}

/** The part of a x + b y = c that lies in the rectangle from 0, 0. */
export function clip(a: number, b: number, c: number, width: number, height: number): readonly [readonly [number, number], readonly [number, number]] | null {
  const found: (readonly [number, number])[] = [];
  const take = (x: number, y: number): void => {
    const inside = x >= -1e-6 && x <= width + 1e-6 && y >= -1e-6 && y <= height + 1e-6;
    if (inside && !found.some(([fx, fy]) => Math.hypot(fx - x, fy - y) < 1e-6)) found.push([x, y]);
  };
  if (Math.abs(b) > 1e-9) {
    take(0, c / b);
    take(width, (c - a * width) / b);
  }
  if (Math.abs(a) > 1e-9) {
    take(c / a, 0);
    take((c - b * height) / a, height);
  }
  const [from, to] = found;
  return from && to ? [from, to] : null;
}

const compare = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0);
