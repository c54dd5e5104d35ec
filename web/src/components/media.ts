// Owns following what a style sheet also asks: how large the window is.

import { signal } from "@preact/signals";
import type { ReadonlySignal } from "@preact/signals";

/** A telephone held upright, as in the style sheets. */
export const NARROW = "(max-width: 40rem)";

export interface WatchedMedia {
  readonly matches: ReadonlySignal<boolean>;
  end(): void;
}

export function watchMedia(query: string): WatchedMedia {
  const list = window.matchMedia(query);
  const matches = signal(list.matches);
  const follow = (): void => {
    matches.value = list.matches;
  };
  list.addEventListener("change", follow);
  return { matches, end: () => list.removeEventListener("change", follow) };
}
