// Owns reading a DICOMDIR (PS3.3 annex F, PS3.10 section 8): which files are of the disc. It only names files among those that
// were given; no path leads anywhere else. Pure.

import { elements, Ended, items, viewOf } from "./elements";
import { ascii, formOf, metaOf } from "./header";

export const DICOMDIR_BYTES_MAX = 64 << 20;
const RECORDS_MAX = 200_000;
const PARTS_MAX = 16;
const TRANSFER_SYNTAX = 0x00020010;
const RECORDS = 0x00041220;
const FILE_ID = 0x00041500;
/** Written by discs and seen by browsers in many ways, but never with a way out. */
// eslint-disable-next-line no-control-regex -- control characters are what it keeps out
const PART = /^[^/\\:\u0000-\u001f]{1,64}$/u;

/** The files it names, each as parts of a path from its own folder; null if it is none, or broken. */
export function readDirectory(bytes: Uint8Array): readonly (readonly string[])[] | null {
  const meta = metaOf(bytes);
  if (meta === null) return null;
  const form = formOf(ascii(meta.values.get(TRANSFER_SYNTAX)));
  const view = viewOf(bytes);
  const files: (readonly string[])[] = [];
  try {
    for (const element of elements(view, form, meta.end)) {
      if (element.tag !== RECORDS) continue;
      let count = 0;
      for (const item of items(view, form, element)) {
        if (++count > RECORDS_MAX) return null;
        for (const { tag, start, end } of elements(view, form, item.start, item.end)) {
          if (tag !== FILE_ID) continue;
          const parts = partsOf(bytes.subarray(start, end));
          if (parts !== null) files.push(parts);
        }
      }
      return files;
    }
  } catch (error) {
    if (!(error instanceof Ended)) throw error;
  }
  return null;
}

function partsOf(value: Uint8Array): readonly string[] | null {
  const parts = ascii(value)
    .split("\\")
    .map((part) => part.trim());
  const named = parts.length <= PARTS_MAX && parts.every((part) => PART.test(part) && part !== "." && part !== "..");
  return named ? parts : null;
}

/** How paths are compared: discs write capital letters and, some, a version; computers show what they like. */
export function comparable(path: string): string {
  return path.toLowerCase().replace(/(?:\.?;\d+|\.)$/u, "");
}
