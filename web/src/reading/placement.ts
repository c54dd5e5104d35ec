// Owns where a flat picture lies in its cell: fitted, moved, turned and mirrored by a camera. Pure.

import { STRAIGHT, ZOOM_LIMITS } from "./slots";
import { add, minus, dot, times, cross } from "./vectors";
import type { Vector } from "./vectors";
import type { Camera } from "./view";
import type { Picture } from "./model";

export type Point = readonly [x: number, y: number];

/** A flat piece of space that a cell shows: millimetres, or pixels where there are none. */
export interface Flat {
  readonly centre: Vector;
  readonly right: Vector;
  readonly down: Vector;
  readonly width: number;
  readonly height: number;
}

export interface Size {
  readonly width: number;
  readonly height: number;
}

/** x' = a x + c y + e, y' = b x + d y + f, from the flat piece (its centre is 0, 0) to the cell in CSS pixels. */
export interface Placement {
  readonly a: number;
  readonly b: number;
  readonly c: number;
  readonly d: number;
  readonly e: number;
  readonly f: number;
  /** CSS pixels for each unit. */
  readonly scale: number;
}

export function flatOf(picture: Picture): Flat {
  const [x, y] = picture.spacing;
  const { position, right, down }: { position: Vector; right: Vector; down: Vector } = picture.plane ?? { position: [0, 0, 0], right: [1, 0, 0], down: [0, 1, 0] };
  const across = times(right, ((picture.columns - 1) / 2) * x);
  const along = times(down, ((picture.rows - 1) / 2) * y);
  return { centre: add(add(position, across), along), right, down, width: picture.columns * x, height: picture.rows * y };
}

export function place(flat: Size, cell: Size, camera: Camera): Placement {
  const [zoom, panX, panY, rotation, flipped] = camera;
  const angle = (rotation * Math.PI) / 180;
  const cos = Math.cos(angle);
  const sin = Math.sin(angle);
  const across = Math.abs(cos) * flat.width + Math.abs(sin) * flat.height;
  const along = Math.abs(sin) * flat.width + Math.abs(cos) * flat.height;
  const scale = zoom * Math.min(cell.width / across, cell.height / along);
  const mirror = flipped === 1 ? -1 : 1;
  return {
    a: scale * cos * mirror,
    b: scale * sin * mirror,
    c: -scale * sin,
    d: scale * cos,
    e: cell.width / 2 + panX * flat.width * scale,
    f: cell.height / 2 + panY * flat.height * scale,
    scale,
  };
}

export const toCell = (p: Placement, [x, y]: Point): Point => [p.a * x + p.c * y + p.e, p.b * x + p.d * y + p.f];

export function fromCell(p: Placement, [x, y]: Point): Point {
  const size = p.a * p.d - p.b * p.c;
  const [u, v] = [x - p.e, y - p.f];
  return [(p.d * u - p.c * v) / size, (p.a * v - p.b * u) / size];
}

export const inSpace = (flat: Flat, [x, y]: Point): Vector => add(flat.centre, add(times(flat.right, x), times(flat.down, y)));

export function onFlat(flat: Flat, place: Vector): Point {
  const away = minus(place, flat.centre);
  return [dot(away, flat.right), dot(away, flat.down)];
}

/** Pixel (column, row) to the flat piece, and back; whole numbers are the middles of pixels. */
export const fromPixel = (picture: Picture, [column, row]: Point): Point => [
  (column - (picture.columns - 1) / 2) * picture.spacing[0],
  (row - (picture.rows - 1) / 2) * picture.spacing[1],
];
export const toPixel = (picture: Picture, [x, y]: Point): Point => [
  x / picture.spacing[0] + (picture.columns - 1) / 2,
  y / picture.spacing[1] + (picture.rows - 1) / 2,
];

/** How a parallel camera in space has to stand to show the same. */
export interface SpaceCamera {
  readonly focalPoint: Vector;
  readonly position: Vector;
  readonly viewUp: Vector;
  readonly viewPlaneNormal: Vector;
  /** Half the height of the cell, in units of space. */
  readonly parallelScale: number;
  /** From the camera to the flat piece. */
  readonly away: number;
}

export function spaceCamera(flat: Flat, cell: Size, placement: Placement): SpaceCamera {
  const middle = inSpace(flat, fromCell(placement, [cell.width / 2, cell.height / 2]));
  const { a, b, c, d, scale } = placement;
  // The matrix is a turn, perhaps mirrored, times the scale: its inverse's columns are its rows.
  const screenRight = add(times(flat.right, a / scale), times(flat.down, c / scale));
  const screenUp = times(add(times(flat.right, b / scale), times(flat.down, d / scale)), -1);
  const normal = cross(screenRight, screenUp);
  const away = Math.max(flat.width, flat.height, 1);
  return {
    focalPoint: middle,
    position: add(middle, times(normal, away)),
    viewUp: screenUp,
    viewPlaneNormal: normal,
    parallelScale: cell.height / 2 / scale,
    away,
  };
}

/** The camera zoomed by a factor so that what lies under a point of the cell stays there. */
export function zoomedAt(camera: Camera, factor: number, flat: Size, cell: Size, at: Point): Camera {
  const [zoom, , , rotation, flipped] = camera;
  const next = Math.min(ZOOM_LIMITS[1], Math.max(ZOOM_LIMITS[0], zoom * factor));
  const before = place(flat, cell, camera);
  const held = fromCell(before, at);
  const unmoved: Camera = [next, 0, 0, rotation, flipped];
  const after = place(flat, cell, unmoved);
  const [x, y] = toCell(after, held);
  return [next, (at[0] - x) / (flat.width * after.scale), (at[1] - y) / (flat.height * after.scale), rotation, flipped];
}

export function panned(camera: Camera, byX: number, byY: number, flat: Size, cell: Size): Camera {
  const [zoom, panX, panY, rotation, flipped] = camera;
  const { scale } = place(flat, cell, camera);
  return [zoom, panX + byX / (flat.width * scale), panY + byY / (flat.height * scale), rotation, flipped];
}

/** A quarter further, clockwise as it is seen. */
export function turned(camera: Camera): Camera {
  const [zoom, panX, panY, rotation, flipped] = camera;
  return [zoom, panX, panY, (rotation + 90) % 360, flipped];
}

/** Left and right as they are seen change places. */
export function mirrored(camera: Camera): Camera {
  const [zoom, panX, panY, rotation, flipped] = camera;
  return [zoom, -panX, panY, (360 - rotation) % 360, flipped === 1 ? 0 : 1];
}

export const isStraight = (camera: Camera): boolean => camera.every((each, index) => each === STRAIGHT[index]);

const LETTERS: readonly (readonly [Vector, string])[] = [
  [[1, 0, 0], "L"],
  [[-1, 0, 0], "R"],
  [[0, 1, 0], "P"],
  [[0, -1, 0], "A"],
  [[0, 0, 1], "H"],
  [[0, 0, -1], "F"],
];
const OBLIQUE = 0.35;

/** Letters of the patient's side that a direction leads to, the main one first (PS3.3 C.7.6.1.1.1). */
export function sideLetters(direction: Vector): string {
  return LETTERS.map(([axis, letter]) => [dot(axis, direction), letter] as const)
    .filter(([share]) => share > OBLIQUE)
    .sort((a, b) => b[0] - a[0])
    .slice(0, 2)
    .map(([, letter]) => letter)
    .join("");
}

/** What stands at the left and at the top of the cell. */
export function edgeLetters(flat: Flat, placement: Placement): readonly [left: string, top: string] {
  const { a, b, c, d, scale } = placement;
  const right = add(times(flat.right, a / scale), times(flat.down, c / scale));
  const down = add(times(flat.right, b / scale), times(flat.down, d / scale));
  return [sideLetters(times(right, -1)), sideLetters(times(down, -1))];
}
