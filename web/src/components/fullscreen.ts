// Owns whether the page fills the screen, of which the browser has the last word.

import { signal } from "@preact/signals";
import { useEffect } from "preact/hooks";

/** Follows the browser, which may leave full screen by itself. */
export const fullScreen = signal(false);

export function toggleFullScreen(): void {
  // Refused where the browser has none (old tablets): the page is then as it was.
  const done = document.fullscreenElement ? document.exitFullscreen() : document.documentElement.requestFullscreen();
  done.catch(() => undefined);
}

export function useFullScreen(): void {
  useEffect(() => {
    const follow = () => (fullScreen.value = document.fullscreenElement !== null);
    follow();
    document.addEventListener("fullscreenchange", follow);
    return () => document.removeEventListener("fullscreenchange", follow);
  }, []);
}
