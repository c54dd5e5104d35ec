// Owns when graphics are there: the large part that draws with them comes by itself, and until then, or without it, a plain canvas draws.

import { signal } from "@preact/signals";
import type { ReadonlySignal } from "@preact/signals";
import type * as cornerstone from "./cornerstone";

export type Graphics = typeof cornerstone;

/** `loading` until it is known; null where there are none. */
const found = signal<Graphics | "loading" | null>("loading");
export const graphics: ReadonlySignal<Graphics | "loading" | null> = found;
let isAsked = false;

export function askGraphics(): void {
  if (isAsked) return;
  isAsked = true;
  if (!hasWebGl()) {
    found.value = null;
    return;
  }
  import("./cornerstone").then(
    (module) => (found.value = module),
    () => {
      // The line broke: asked again by the next cell.
      isAsked = false;
    },
  );
}

function hasWebGl(): boolean {
  try {
    const gl = document.createElement("canvas").getContext("webgl2");
    gl?.getExtension("WEBGL_lose_context")?.loseContext();
    return gl !== null;
  } catch {
    return false;
  }
}
