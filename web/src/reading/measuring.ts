// Owns a measurement while it is made: points set by drag or tap, in pixels of the picture, until it is one.

import { useSignal } from "@preact/signals";
import type { ReadonlySignal, Signal } from "@preact/signals";
import { useMemo } from "preact/hooks";
import type { Picture } from "./model";
import { flatOf, fromPixel, inSpace, onFlat, place, toPixel } from "./placement";
import type { Point, Size } from "./placement";
import { cameraIn } from "./slots";
import type { StudyViewer, ToolName } from "./viewer";
import type { Mark } from "./view";

export type MarkTool = "length" | "angle" | "ellipse" | "rectangle";

export interface Draft {
  readonly tool: MarkTool;
  readonly picture: Picture;
  readonly points: readonly Point[];
}

export interface Measuring {
  readonly draft: ReadonlySignal<Draft | null>;
  begin(kind: ToolName, at: Point): void;
  drag(at: Point): void;
  hover(at: Point): void;
  end(kind: ToolName, at: Point): void;
}

const TOOLS: readonly string[] = ["length", "angle", "ellipse", "rectangle"] satisfies readonly MarkTool[];
const ANGLE_POINTS = 3;
/** A tap that was no drag: so near, in pixels of the page, both ends are one. */
const TAP_PX = 5;

export const isMarkTool = (tool: string): tool is MarkTool => TOOLS.includes(tool);

/** Points of a mark are millimetres of the patient where the picture lies in one, else pixels. */
export function pointOf(picture: Picture, pixel: Point): readonly [number, number, number] {
  if (!picture.plane) return [pixel[0], pixel[1], 0];
  const [x, y, z] = inSpace(flatOf(picture), fromPixel(picture, pixel));
  return [x, y, z];
}

export function pixelOf(picture: Picture, point: readonly [number, number, number]): Point {
  return picture.plane ? toPixel(picture, onFlat(flatOf(picture), point)) : [point[0], point[1]];
}

export const belongsTo = (mark: Mark, picture: Picture): boolean => mark.instance === picture.instance && mark.frame === picture.frame;

export function useMeasuring(viewer: StudyViewer, cell: number, picture: ReadonlySignal<Picture | null>, size: ReadonlySignal<Size>): Measuring {
  const draft = useSignal<Draft | null>(null);
  return useMemo(() => create(viewer, cell, picture, size, draft), [viewer, cell, picture, size, draft]);
}

function create(viewer: StudyViewer, cell: number, picture: ReadonlySignal<Picture | null>, size: ReadonlySignal<Size>, draft: Signal<Draft | null>): Measuring {
  const isTap = (shown: Picture, a: Point, b: Point): boolean => {
    const { scale } = place(flatOf(shown), size.peek(), cameraIn(viewer.slots.peek(), cell));
    return Math.hypot((a[0] - b[0]) * shown.spacing[0], (a[1] - b[1]) * shown.spacing[1]) * scale < TAP_PX;
  };
  const moveLast = (at: Point): void => {
    const now = draft.peek();
    if (now) draft.value = { ...now, points: [...now.points.slice(0, -1), at] };
  };
  const finish = ({ tool, picture: shown, points }: Draft): void => {
    draft.value = null;
    viewer.addMark({ tool, series: shown.series, instance: shown.instance, frame: shown.frame, points: points.map((each) => pointOf(shown, each)) });
  };
  return {
    draft,
    begin(kind, at) {
      const shown = picture.peek();
      if (!shown || !isMarkTool(kind)) {
        draft.value = null;
        return;
      }
      const now = draft.peek();
      if (now?.tool === kind && now.picture.id === shown.id) moveLast(at);
      else draft.value = { tool: kind, picture: shown, points: [at, at] };
    },
    drag: moveLast,
    hover(at) {
      const now = draft.peek();
      if (now && now.picture.id === picture.peek()?.id) moveLast(at);
    },
    end(kind, at) {
      const now = draft.peek();
      if (now?.tool !== kind) return;
      moveLast(at);
      const made = draft.peek() ?? now;
      const [before, last] = made.points.slice(-2);
      // A tap sets a point and waits for the next; a drag sets both.
      if (!before || !last || isTap(now.picture, before, last)) return;
      if (kind === "angle" && made.points.length < ANGLE_POINTS) draft.value = { ...made, points: [...made.points, last] };
      else finish(made);
    },
  };
}
