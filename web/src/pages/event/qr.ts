// Owns QR codes as one outline for SVG (ISO/IEC 18004, encoded by uqr): dark modules as rectangles by rows. Pure.

import { encode } from "uqr";

/** Light modules around it, without which readers do not find it (ISO/IEC 18004, 5.3.8). */
const QUIET_MODULES = 4;

export interface Code {
  /** Width and height of the drawing, in modules. */
  readonly size: number;
  readonly path: string;
}

/** With a seventh of it to spare: paper is folded and copied. Raises RangeError for what is too long for a code. */
export function qrCode(text: string): Code {
  const { size, data } = encode(text, { ecc: "M", border: QUIET_MODULES });
  const runs: string[] = [];
  data.forEach((row, y) => {
    for (let x = 0; x < size; x++) {
      if (row[x] !== true) continue;
      const begin = x;
      while (row[x + 1] === true) x++;
      const width = x + 1 - begin;
      runs.push(`M${begin} ${y}h${width}v1h-${width}z`);
    }
  });
  return { size, path: runs.join("") };
}
