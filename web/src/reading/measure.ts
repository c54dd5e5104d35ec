// Owns what a measurement comes to: length, angle, and the values under an ellipse or a rectangle. Pure.

import type { Picture } from "./model";
import type { Point } from "./placement";

export interface Values {
  readonly mean: number;
  readonly deviation: number;
  readonly least: number;
  readonly most: number;
  readonly pixels: number;
}

export interface Pixels {
  readonly data: ArrayLike<number>;
  readonly columns: number;
  readonly rows: number;
}

/** Between two pixels: millimetres if the picture has them, else pixels. */
export function distance(picture: Pick<Picture, "spacing" | "isMillimetre">, [ax, ay]: Point, [bx, by]: Point): number {
  const [x, y] = picture.isMillimetre ? picture.spacing : [1, 1];
  return Math.hypot((bx - ax) * x, (by - ay) * y);
}

/** At the second of three points, in degrees; a pixel that is not square is taken as it is. */
export function angle(picture: Pick<Picture, "spacing">, a: Point, corner: Point, b: Point): number {
  const [x, y] = picture.spacing;
  const first = Math.atan2((a[1] - corner[1]) * y, (a[0] - corner[0]) * x);
  const second = Math.atan2((b[1] - corner[1]) * y, (b[0] - corner[0]) * x);
  const between = Math.abs(first - second);
  return ((between > Math.PI ? 2 * Math.PI - between : between) * 180) / Math.PI;
}

export function area(picture: Pick<Picture, "spacing" | "isMillimetre">, tool: "ellipse" | "rectangle", a: Point, b: Point): number {
  const [x, y] = picture.isMillimetre ? picture.spacing : [1, 1];
  const box = Math.abs((b[0] - a[0]) * x * (b[1] - a[1]) * y);
  return tool === "ellipse" ? (box * Math.PI) / 4 : box;
}

/** Of the pixels whose middles lie within the box from corner to corner, or within the ellipse in it. */
export function valuesIn(pixels: Pixels, tool: "ellipse" | "rectangle", a: Point, b: Point): Values | null {
  const [left, right] = [Math.min(a[0], b[0]), Math.max(a[0], b[0])];
  const [top, bottom] = [Math.min(a[1], b[1]), Math.max(a[1], b[1])];
  const [cx, cy] = [(left + right) / 2, (top + bottom) / 2];
  const [rx, ry] = [Math.max((right - left) / 2, 1e-9), Math.max((bottom - top) / 2, 1e-9)];
  let count = 0;
  let mean = 0;
  let squares = 0;
  let least = Infinity;
  let most = -Infinity;
  const lastRow = Math.min(pixels.rows - 1, Math.floor(bottom));
  const lastColumn = Math.min(pixels.columns - 1, Math.floor(right));
  for (let row = Math.max(0, Math.ceil(top)); row <= lastRow; row++) {
    for (let column = Math.max(0, Math.ceil(left)); column <= lastColumn; column++) {
      if (tool === "ellipse" && ((column - cx) / rx) ** 2 + ((row - cy) / ry) ** 2 > 1) continue;
      const value = pixels.data[row * pixels.columns + column] ?? 0;
      count += 1;
      // Welford's way: sums of squares lose their last figures.
      const away = value - mean;
      mean += away / count;
      squares += away * (value - mean);
      least = Math.min(least, value);
      most = Math.max(most, value);
    }
  }
  if (count === 0) return null;
  return { mean, deviation: count > 1 ? Math.sqrt(squares / (count - 1)) : 0, least, most, pixels: count };
}
