// Owns what a slot of the common view may hold: nonsense that comes over the line is passed over here. Pure.

import type { Camera, CellContent, LayoutName, Mark, Plane, Pointer, View, Window } from "./view";

export const CELLS: Readonly<Record<LayoutName, number>> = { "1x1": 1, "1x2": 2, "2x2": 4, mpr: 3 };
export const PLANES: readonly Plane[] = ["axial", "sagittal", "coronal"];
export const STRAIGHT: Camera = [1, 0, 0, 0, 0];
export const ZOOM_LIMITS = [0.1, 40] as const;
const CELLS_LIMIT = 4;
const PAN_LIMIT = 50;
const VALUE_LIMIT = 1e7;
const RATE_LIMIT = 120;
const POINTS_LIMIT = 64;
const TEXT_LIMIT = 400;
const NAME = /^(study|layout|pointer|link)$|^(cell|at|window|camera|cine)\.([0-3])$|^mark\.([0-9A-Za-z-]{1,40})$/;

/** A slot's value as it may be kept; null takes it away; undefined where name or value are nonsense. */
export function cleaned(name: string, value: unknown): unknown {
  const found = NAME.exec(name);
  if (!found) return undefined;
  if (value === null) return null;
  const [, single, counted, , mark] = found;
  if (mark !== undefined) return asMark(value);
  switch (single ?? counted) {
    case "study":
      return asUid(value);
    case "layout":
      return typeof value === "string" && value in CELLS ? value : undefined;
    case "pointer":
      return asPointer(value);
    case "link":
      return asAnchors(value);
    case "cell":
      return asContent(value);
    case "at":
      return isNumber(value, VALUE_LIMIT) ? value : undefined;
    case "window":
      return asWindow(value);
    case "camera":
      return asCamera(value);
    case "cine":
      return isNumber(value, RATE_LIMIT) && value >= 0 ? value : undefined;
    default:
      return undefined;
  }
}

/** The view with changes in it; a study that changes empties all other slots first. */
export function changed(view: View, changes: View): View {
  const study = cleaned("study", changes.study ?? undefined);
  const next: Record<string, unknown> = typeof study === "string" && study !== view.study ? {} : { ...view };
  for (const [name, value] of Object.entries(changes)) {
    const kept = cleaned(name, value);
    if (kept === null) Reflect.deleteProperty(next, name);
    else if (kept !== undefined) next[name] = kept;
  }
  return next;
}

export const studyIn = (view: View): string | null => (typeof view.study === "string" ? view.study : null);
export const layoutIn = (view: View): LayoutName => (view.layout as LayoutName | undefined) ?? "1x1";
export const contentIn = (view: View, cell: number): CellContent | null => (view[`cell.${cell}`] as CellContent | undefined) ?? null;
export const atIn = (view: View, cell: number): number | null => (view[`at.${cell}`] as number | undefined) ?? null;
export const windowIn = (view: View, cell: number): Window | null => (view[`window.${cell}`] as Window | undefined) ?? null;
export const cameraIn = (view: View, cell: number): Camera => (view[`camera.${cell}`] as Camera | undefined) ?? STRAIGHT;
export const cineIn = (view: View, cell: number): number => (view[`cine.${cell}`] as number | undefined) ?? 0;
export const pointerIn = (view: View): Pointer | null => (view.pointer as Pointer | undefined) ?? null;

/** Where each cell stood when they were linked; null: they are not. */
export const linkIn = (view: View): readonly (number | null)[] | null => (view.link as readonly (number | null)[] | undefined) ?? null;

export interface NamedMark extends Mark {
  readonly id: string;
}

export function marksIn(view: View): readonly NamedMark[] {
  return Object.entries(view).flatMap(([name, value]) => (name.startsWith("mark.") ? [{ ...(value as Mark), id: name.slice(5) }] : []));
}

function asContent(value: unknown): CellContent | undefined {
  if (!isRecord(value)) return undefined;
  const series = asUid(value.series);
  if (series === undefined) return undefined;
  const study = asUid(value.study);
  const plane = PLANES.find((each) => each === value.plane);
  return { series, ...(plane ? { plane } : {}), ...(study === undefined ? {} : { study }) };
}

function asWindow(value: unknown): Window | undefined {
  if (!Array.isArray(value)) return undefined;
  const [centre, width, inverted] = value as unknown[];
  if (!isNumber(centre, VALUE_LIMIT) || !isNumber(width, VALUE_LIMIT) || width <= 0) return undefined;
  return [centre, width, inverted === 1 ? 1 : 0];
}

function asCamera(value: unknown): Camera | undefined {
  if (!Array.isArray(value)) return undefined;
  const [zoom, panX, panY, rotation, flipped] = value as unknown[];
  if (!isNumber(zoom, ZOOM_LIMITS[1]) || zoom < ZOOM_LIMITS[0] || !isNumber(panX, PAN_LIMIT) || !isNumber(panY, PAN_LIMIT)) return undefined;
  if (!isNumber(rotation, VALUE_LIMIT)) return undefined;
  return [zoom, panX, panY, ((rotation % 360) + 360) % 360, flipped === 1 ? 1 : 0];
}

function asPointer(value: unknown): Pointer | undefined {
  if (!Array.isArray(value)) return undefined;
  const [cell, x, y] = value as unknown[];
  const isCell = Number.isInteger(cell) && (cell as number) >= 0 && (cell as number) < CELLS_LIMIT;
  return isCell && isNumber(x, VALUE_LIMIT) && isNumber(y, VALUE_LIMIT) ? [cell as number, x, y] : undefined;
}

function asAnchors(value: unknown): readonly (number | null)[] | undefined {
  if (!Array.isArray(value) || value.length > CELLS_LIMIT) return undefined;
  return value.every((each) => each === null || (isNumber(each, VALUE_LIMIT) && each >= 0)) ? (value as readonly (number | null)[]) : undefined;
}

function asMark(value: unknown): Mark | undefined {
  if (!isRecord(value)) return undefined;
  const { tool, frame, points, text, by } = value;
  const series = asUid(value.series);
  const instance = asUid(value.instance);
  if (typeof tool !== "string" || !/^[a-z]{1,20}$/.test(tool) || series === undefined || instance === undefined) return undefined;
  if (!Array.isArray(points) || points.length > POINTS_LIMIT || !points.every(isPoint)) return undefined;
  return {
    tool,
    series,
    instance,
    frame: isNumber(frame, VALUE_LIMIT) ? frame : 1,
    points,
    text: typeof text === "string" ? text.slice(0, TEXT_LIMIT) : "",
    by: typeof by === "string" ? by.slice(0, TEXT_LIMIT) : "",
  };
}

function isPoint(value: unknown): value is readonly [number, number, number] {
  return Array.isArray(value) && value.length === 3 && value.every((each) => isNumber(each, VALUE_LIMIT));
}

function asUid(value: unknown): string | undefined {
  return typeof value === "string" && /^[0-9.]{1,64}$/.test(value) ? value : undefined;
}

function isNumber(value: unknown, limit: number): value is number {
  return typeof value === "number" && Number.isFinite(value) && Math.abs(value) <= limit;
}

function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
