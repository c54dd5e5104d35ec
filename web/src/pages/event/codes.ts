// Owns drawing the codes of many points: a few at a time, because one takes some ten milliseconds and the page must answer meanwhile.

import { useSignal } from "@preact/signals";
import type { ReadonlySignal } from "@preact/signals";
import { useEffect } from "preact/hooks";
import type { EventPoint } from "./model";
import { qrCode } from "./qr";
import type { Code } from "./qr";

/** At a stretch: a press is answered within a tenth of a second. */
const SLICE_MS = 40;

export interface Drawing {
  readonly done: number;
  readonly of: number;
  /** By id of the point; null until all are drawn. */
  readonly codes: ReadonlyMap<string, Code> | null;
}

/** Of points that have a link; null: not known yet. */
export function useCodes(points: readonly EventPoint[] | null): ReadonlySignal<Drawing> {
  const drawing = useSignal<Drawing>({ done: 0, of: 0, codes: null });
  useEffect(() => {
    if (points === null) return;
    let gone = false;
    const draw = async (): Promise<void> => {
      const codes = new Map<string, Code>();
      let until = performance.now() + SLICE_MS;
      for (const { id, link } of points) {
        if (performance.now() >= until) {
          drawing.value = { done: codes.size, of: points.length, codes: null };
          await new Promise((resolve) => setTimeout(resolve));
          if (gone) return;
          until = performance.now() + SLICE_MS;
        }
        codes.set(id, qrCode(link ?? ""));
      }
      drawing.value = { done: codes.size, of: points.length, codes };
    };
    void draw();
    return () => {
      gone = true;
    };
  }, [points, drawing]);
  return drawing;
}
