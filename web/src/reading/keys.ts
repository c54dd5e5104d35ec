// Owns the reader's keys: they count while the reader has the focus, so that the page around it keeps its own.

import type { ToolName } from "./viewer";

/** By the key's place on the keyboard, so that they are the same on a Cyrillic one. */
export const TOOL_KEYS: Readonly<Record<ToolName, string>> = {
  scroll: "S",
  window: "W",
  zoom: "Z",
  pan: "P",
  length: "L",
  angle: "A",
  ellipse: "E",
  rectangle: "R",
  pointer: "O",
};

export interface KeyDeed {
  readonly key: string;
  readonly run: () => void;
}

/** The key of an event as `TOOL_KEYS` and deeds name it. */
export function keyOf(event: KeyboardEvent): string {
  const letter = /^Key([A-Z])$/.exec(event.code)?.[1];
  if (letter !== undefined) return letter;
  const digit = /^(?:Digit|Numpad)([0-9])$/.exec(event.code)?.[1];
  return digit ?? (event.key === " " ? "Space" : event.key);
}
