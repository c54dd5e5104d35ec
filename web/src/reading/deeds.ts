// Owns what can be done to the active cell besides dragging: one table that buttons, lists and keys share.

import { mirrored, turned } from "./placement";
import { STRAIGHT, cameraIn, windowIn } from "./slots";
import type { StudyViewer } from "./viewer";
import { autoOf, levelsOf } from "./stack";
import { PRESETS } from "./windows";
import type { Preset } from "./windows";

export type WindowChoice = Preset | "auto" | "default";

export function turn(viewer: StudyViewer): void {
  const cell = viewer.active.peek();
  viewer.hand({ [`camera.${cell}`]: turned(cameraIn(viewer.slots.peek(), cell)) });
}

export function mirror(viewer: StudyViewer): void {
  const cell = viewer.active.peek();
  viewer.hand({ [`camera.${cell}`]: mirrored(cameraIn(viewer.slots.peek(), cell)) });
}

export function invert(viewer: StudyViewer): void {
  const cell = viewer.active.peek();
  const picture = viewer.pictureIn(cell);
  const [centre, width] = levelsOf(viewer, cell, picture);
  const inverted = windowIn(viewer.slots.peek(), cell)?.[2] === 1;
  viewer.hand({ [`window.${cell}`]: [centre, width, inverted ? 0 : 1] });
}

export function chooseWindow(viewer: StudyViewer, choice: WindowChoice): void {
  const cell = viewer.active.peek();
  const inverted = windowIn(viewer.slots.peek(), cell)?.[2] ?? 0;
  const levels = choice === "auto" ? autoHere(viewer, cell) : choice === "default" ? null : PRESETS[choice];
  // All planes of one volume are looked at through one window.
  const cells = viewer.layout.peek() === "mpr" ? [0, 1, 2] : [cell];
  viewer.hand(Object.fromEntries(cells.map((each) => [`window.${each}`, levels ? [...levels, inverted] : null])));
}

function autoHere(viewer: StudyViewer, cell: number): readonly [number, number] | null {
  const picture = viewer.pictureIn(cell);
  const best = picture ? viewer.frames.get(picture) : null;
  return best ? autoOf(best.decoded.data) : null;
}

export function reset(viewer: StudyViewer): void {
  const cell = viewer.active.peek();
  const cells = viewer.layout.peek() === "mpr" ? [0, 1, 2] : [cell];
  viewer.hand(Object.fromEntries(cells.flatMap((each) => [[`window.${each}`, null], [`camera.${each}`, [...STRAIGHT]]])));
}

/** Whether the active cell shows grey values of a CT, for which presets are. */
export function hasHounsfield(viewer: StudyViewer): boolean {
  return viewer.pictureIn(viewer.active.value)?.unit === "HU";
}

export function toggleCine(viewer: StudyViewer): void {
  const cell = viewer.active.peek();
  const series = viewer.cells.peek()[cell]?.series;
  if (series?.state !== "ready" || series.value.pictures.length < 2) return;
  viewer.cine(cell, viewer.isRunning(cell) ? 0 : (series.value.framesPerSecond ?? STACK_RATE));
}

/** A stack that is no loop is gone through at this rate. */
export const STACK_RATE = 10;
