// Owns how often a page without a session asks whether studies grew: soon while they do, seldom when nothing comes, as every search is
// written into the audit.

import { useEffect } from "preact/hooks";
import type { StudyViewer } from "../../reading";

export const GROWING_MS = 5_000;
export const RESTING_MS = 60_000;

/** When to look again, after a look that found something new or nothing. */
export function nextLookMs(grew: boolean, lastMs: number): number {
  return grew ? GROWING_MS : Math.min(RESTING_MS, lastMs * 2);
}

/** Objects that are there, so that two looks can be told apart. */
function countOf(viewer: StudyViewer, study: string): number {
  const open = viewer.library.study(study).peek();
  return open.state === "ready" ? open.value.series.reduce((sum, { instances }) => sum + instances, 0) : 0;
}

export function useGrowth(viewer: StudyViewer | null, study: string): void {
  useEffect(() => {
    if (viewer === null) return;
    let timer: ReturnType<typeof setTimeout> | undefined;
    let isLeft = false;
    const soon = (afterMs: number): void => {
      timer = setTimeout(() => void look(afterMs), afterMs);
    };
    const look = async (afterMs: number): Promise<void> => {
      let grew = false;
      if (!document.hidden) {
        const before = countOf(viewer, study);
        await viewer.library.refresh(study);
        grew = countOf(viewer, study) !== before;
      }
      if (!isLeft) soon(nextLookMs(grew, afterMs));
    };
    const onShown = (): void => {
      if (document.hidden) return;
      clearTimeout(timer);
      soon(GROWING_MS);
    };
    soon(GROWING_MS);
    document.addEventListener("visibilitychange", onShown);
    return () => {
      isLeft = true;
      clearTimeout(timer);
      document.removeEventListener("visibilitychange", onShown);
    };
  }, [viewer, study]);
}
