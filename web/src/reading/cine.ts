// Owns the running of a loop: at its own rate, by the clock, and never past a picture that has not come.

import { useComputed, useSignalEffect } from "@preact/signals";
import { cineIn } from "./slots";
import type { Series } from "./model";
import type { StudyViewer } from "./viewer";

export function useCine(viewer: StudyViewer, cell: number, series: Series): void {
  const wanted = useComputed(() => cineIn(viewer.slots.value, cell));
  useSignalEffect(() => {
    const rate = wanted.value;
    if (rate <= 0 || series.pictures.length < 2) return;
    let request = 0;
    let index = viewer.indexNow(cell, series);
    let dueAt = performance.now() + 1000 / rate;
    const step = (now: number): void => {
      request = requestAnimationFrame(step);
      if (now < dueAt) return;
      const next = (index + 1) % series.pictures.length;
      const picture = series.pictures[next];
      if (!picture || !viewer.frames.get(picture)) {
        if (!picture || viewer.frames.failure(picture) === null) return;
      }
      index = next;
      // After a hitch it goes on from there; it never runs after the clock.
      dueAt = Math.max(dueAt + 1000 / rate, now);
      viewer.step(cell, index);
    };
    request = requestAnimationFrame(step);
    return () => {
      cancelAnimationFrame(request);
      viewer.step(cell, null);
    };
  });
}
