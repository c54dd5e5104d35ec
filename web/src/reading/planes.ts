// Owns the three planes through a volume: where they lie in the body, and the lines in which they cross. Pure.

import type { VolumeShape } from "./order";
import { clip } from "./order";
import { inSpace } from "./placement";
import type { Flat, Point } from "./placement";
import { add, dot, times } from "./vectors";
import type { Vector } from "./vectors";
import type { Plane } from "./view";

interface Axes {
  readonly right: Vector;
  readonly down: Vector;
  /** Rising towards the head, the left and the back. */
  readonly normal: Vector;
}

/** As they are looked at: axial from the feet, coronal from the front, sagittal from the left side of the body. */
export const AXES: Readonly<Record<Plane, Axes>> = {
  axial: { right: [1, 0, 0], down: [0, 1, 0], normal: [0, 0, 1] },
  sagittal: { right: [0, 1, 0], down: [0, 0, -1], normal: [1, 0, 0] },
  coronal: { right: [1, 0, 0], down: [0, 0, -1], normal: [0, 1, 0] },
};

export interface Bounds {
  readonly least: Vector;
  readonly most: Vector;
}

export function boundsOf({ origin, right, down, through, size, spacing }: VolumeShape): Bounds {
  const corners = [0, 1, 2, 3, 4, 5, 6, 7].map((corner) => {
    const along = (bit: number, axis: 0 | 1 | 2): number => ((corner >> bit) & 1 ? size[axis] - 0.5 : -0.5) * spacing[axis];
    return add(origin, add(times(right, along(0, 0)), add(times(down, along(1, 1)), times(through, along(2, 2)))));
  });
  const pick = (choose: (...values: number[]) => number): Vector => [
    choose(...corners.map(([x]) => x)),
    choose(...corners.map(([, y]) => y)),
    choose(...corners.map(([, , z]) => z)),
  ];
  return { least: pick(Math.min), most: pick(Math.max) };
}

export const middle = ({ least, most }: Bounds): Vector => times(add(least, most), 0.5);

/** Millimetres along a plane's normal from which to which it can go. */
export function reach({ least, most }: Bounds, plane: Plane): readonly [number, number] {
  const { normal } = AXES[plane];
  return [dot(least, normal), dot(most, normal)];
}

/** The distance of one picture to the next along a plane's normal, where the volume is made of such. */
export function stepOf({ right, down, through, spacing }: VolumeShape, plane: Plane): number {
  const { normal } = AXES[plane];
  const shares = [right, down, through].map((axis) => Math.abs(dot(axis, normal)));
  const main = shares.indexOf(Math.max(...shares));
  return spacing[main] ?? 1;
}

export function planeFlat(bounds: Bounds, plane: Plane, at: number): Flat {
  const { right, down, normal } = AXES[plane];
  const centre = middle(bounds);
  const size = add(bounds.most, times(bounds.least, -1));
  return {
    centre: add(centre, times(normal, at - dot(centre, normal))),
    right,
    down,
    width: Math.abs(dot(size, right)),
    height: Math.abs(dot(size, down)),
  };
}

/** Where another plane cuts a flat one, on it. */
export function crossLine(flat: Flat, other: Plane, at: number): readonly [Point, Point] | null {
  const { normal } = AXES[other];
  const [a, b] = [dot(flat.right, normal), dot(flat.down, normal)];
  const corner = inSpace(flat, [-flat.width / 2, -flat.height / 2]);
  const line = clip(a, b, at - dot(corner, normal), flat.width, flat.height);
  if (!line) return null;
  const moved = ([x, y]: Point): Point => [x - flat.width / 2, y - flat.height / 2];
  return [moved(line[0]), moved(line[1])];
}
