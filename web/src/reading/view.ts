// Owns what readers of a study share: the slots of the common view, and what a viewer owes to those who join it to a session.
// A slot is replaced whole and holds little; the server keeps the newest of each for who comes late, and knows no meaning of it.

import type { ReadonlySignal } from "@preact/signals";

/** `mpr`: axial, sagittal and coronal plane of one series. */
export type LayoutName = "1x1" | "1x2" | "2x2" | "mpr";
export type Plane = "axial" | "sagittal" | "coronal";

/** What lies in a cell; `plane` in `mpr` only; `study` only where the series is of another one, to compare with. */
export interface CellContent {
  readonly series: string;
  readonly study?: string;
  readonly plane?: Plane;
}

/** Zoom 1 fits the picture into the cell; pan in shares of the picture's width and height; rotation in degrees clockwise. */
export type Camera = readonly [zoom: number, panX: number, panY: number, rotation: number, flippedH: 0 | 1];
/** Centre and width in the units of the pixels (HU of a CT), as DICOM PS3.3 C.11.2 has them; inverted or not. */
export type Window = readonly [centre: number, width: number, inverted: 0 | 1];
/** In pixels of the picture (column, row) that the cell shows. */
export type Pointer = readonly [cell: number, x: number, y: number];

/** A measurement or note. `points` are in millimetres of the patient (frame of reference), or pixels where there is none. */
export interface Mark {
  readonly tool: string;
  readonly series: string;
  readonly instance: string;
  readonly frame: number;
  readonly points: readonly (readonly [number, number, number])[];
  readonly text: string;
  readonly by: string;
}

/**
 * Slots of the view, by name:
 * `study` StudyInstanceUID · `layout` LayoutName · `cell.N` CellContent · `at.N` index of the picture in its series
 * (in `mpr` millimetres along the plane's normal) · `window.N` Window · `camera.N` Camera · `cine.N` frames per second, 0 stands ·
 * `link` for each cell the index at which it was linked with the others, or null · `pointer` Pointer or null · `mark.ID` Mark or null. N counts cells from 0. A slot that is null is gone.
 */
export type View = Readonly<Record<string, unknown>>;

/** How much of what the common view needs has come to this browser: pictures in preview, pictures in full quality. */
export interface Sharpness {
  readonly preview: number;
  readonly sharp: number;
  readonly total: number;
}

export interface Viewer {
  /** Shows what the leader shows: slots that changed, or all of them. Unknown slots and nonsense in them are passed over. */
  apply(changes: View): void;
  /** All slots as they are here. */
  view(): View;
  /** Called with the slots that this person's hand changed, never with what `apply` brought; at most twenty times a second. */
  onChange: ((changes: View) => void) | null;
  readonly sharpness: ReadonlySignal<Sharpness>;
  dispose(): void;
}
