// Owns how many tools fit into one row, by measuring them as they are: words differ in length from language to language.

import { useSignal } from "@preact/signals";
import type { RefObject } from "preact";
import { useEffect, useLayoutEffect, useRef } from "preact/hooks";
import { language } from "../i18n";

const GAP_PX = 2;

/** How many of the first things fit into the row: all are laid out once, and those that are too many taken away before anything is seen. */
export function useFitting(things: string): readonly [RefObject<HTMLDivElement>, number] {
  const row = useRef<HTMLDivElement>(null);
  const fitting = useSignal(Infinity);
  const spoken = language.value;
  // What is measured is what was drawn, not what will be.
  const isAllThere = fitting.value === Infinity;
  useLayoutEffect(() => {
    fitting.value = Infinity;
  }, [things, spoken, fitting]);
  useLayoutEffect(() => {
    if (isAllThere && row.current) fitting.value = countFitting(row.current);
  });
  useEffect(() => {
    const element = row.current;
    if (!element) return;
    let width = element.clientWidth;
    const watcher = new ResizeObserver(() => {
      if (element.clientWidth === width) return;
      width = element.clientWidth;
      fitting.value = Infinity;
    });
    watcher.observe(element);
    // Words have another width in their own font.
    void document.fonts.ready.then(() => (fitting.value = Infinity));
    return () => watcher.disconnect();
  }, [fitting]);
  return [row, fitting.value];
}

function countFitting(row: HTMLElement): number {
  const widths = [...row.querySelectorAll<HTMLElement>(":scope > .reader-tool-place")].map((place) => place.offsetWidth + GAP_PX);
  const more = (row.querySelector<HTMLElement>(":scope > .reader-more")?.offsetWidth ?? 0) + GAP_PX;
  const room = row.clientWidth;
  if (room === 0 || widths.reduce((sum, each) => sum + each, 0) <= room) return widths.length;
  let left = room - more;
  const first = widths.findIndex((each) => (left -= each) < 0);
  return Math.max(1, first);
}
