// Owns the bytes of a frame becoming values: native pixels, run lengths (PS3.5 annex G), colours, and what the modality means by
// them. Pure; runs in a worker.

import type { PixelForm } from "../model";

export type PixelArray = Uint8Array | Uint16Array | Int16Array | Float32Array;
type Stored = Uint8Array | Int8Array | Uint16Array | Int16Array | Uint32Array | Int32Array | Float32Array | Float64Array;

/** Values of a table by what is stored: everything below and above takes the outermost. */
export interface Table {
  readonly first: number;
  readonly values: readonly number[];
}

export interface Meaning {
  readonly form: PixelForm;
  readonly slope: number;
  readonly intercept: number;
  readonly modalityLut: Table | null;
  /** Red, green, blue, each from 0 to 255. */
  readonly palette: readonly Table[] | null;
}

export interface Decoded {
  readonly data: PixelArray;
  readonly columns: number;
  readonly rows: number;
  /** Three of a colour picture lie side by side: red, green, blue. */
  readonly samples: 1 | 3;
}

/** What a decoder or the file itself gives: samples side by side. */
export interface Raw {
  readonly data: Stored;
  readonly columns: number;
  readonly rows: number;
  readonly samples: number;
  /** The decoder has made red, green and blue of it already. */
  readonly isRgb: boolean;
}

export class Undecodable extends Error {
  override readonly name = "Undecodable";
}

export function nativeOf(bytes: Uint8Array, form: PixelForm, columns: number, rows: number, bigEndian: boolean): Raw {
  const count = columns * rows * form.samples;
  const packed = form.samples === 3 && form.photometric === "YBR_FULL_422" && bytes.length < count;
  const data = packed ? unpacked422(bytes, columns, rows) : typed(bytes, form, count, bigEndian);
  const isPlanar = form.planar && form.samples === 3;
  return { data: isPlanar ? interleaved(data, columns * rows) : data, columns, rows, samples: form.samples, isRgb: false };
}

/** Run lengths by segments: of each sample its bytes, the most significant first. */
export function fromRunLengths(bytes: Uint8Array, form: PixelForm, columns: number, rows: number): Raw {
  if (bytes.length < 64) throw new Undecodable("shorter than its header");
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const width = Math.ceil(form.bitsAllocated / 8);
  const pixels = columns * rows;
  const segments = view.getUint32(0, true);
  if (segments !== width * form.samples || segments > 15) throw new Undecodable("segments do not fit");
  const flat = new Uint8Array(pixels * segments);
  for (let segment = 0; segment < segments; segment++) {
    const from = view.getUint32(4 + 4 * segment, true);
    const to = segment + 1 < segments ? view.getUint32(8 + 4 * segment, true) : bytes.length;
    const sample = Math.floor(segment / width);
    const place = sample * width + (width - 1 - (segment % width));
    runs(bytes.subarray(from, Math.max(from, to)), flat, place, segments, pixels);
  }
  return { data: typed(flat, form, pixels * form.samples, false), columns, rows, samples: form.samples, isRgb: false };
}

function runs(from: Uint8Array, into: Uint8Array, place: number, step: number, count: number): void {
  let at = 0;
  let done = 0;
  while (at < from.length && done < count) {
    const head = from[at++] ?? 0;
    if (head === 128) continue;
    const length = head < 128 ? head + 1 : 257 - head;
    const value = from[at] ?? 0;
    for (let index = 0; index < length && done < count; index++, done++) {
      into[done * step + place] = head < 128 ? (from[at + index] ?? 0) : value;
    }
    at += head < 128 ? length : 1;
  }
}

function typed(bytes: Uint8Array, form: PixelForm, count: number, bigEndian: boolean): Stored {
  if (form.bitsAllocated === 1) return Uint8Array.from({ length: count }, (_, at) => ((bytes[at >> 3] ?? 0) >> (at & 7)) & 1);
  const size = form.bitsAllocated / 8;
  if (bytes.length < count * size) throw new Undecodable("shorter than its pixels");
  // Of its own, so that it begins where numbers of this size may.
  const own = bytes.slice(0, count * size);
  if (bigEndian) swap(own, size);
  const { buffer } = own;
  switch (form.bitsAllocated) {
    case 8:
      return own;
    case 16:
      return new Uint16Array(buffer);
    case 32:
      return form.isFloat ? new Float32Array(buffer) : form.signed ? new Int32Array(buffer) : new Uint32Array(buffer);
    case 64:
      if (form.isFloat) return new Float64Array(buffer);
      break;
  }
  throw new Undecodable("bits that nobody stores");
}

function swap(bytes: Uint8Array, size: number): void {
  for (let at = 0; at + size <= bytes.length; at += size) bytes.subarray(at, at + size).reverse();
}

function interleaved(data: Stored, pixels: number): Stored {
  const next = data.slice();
  for (let at = 0; at < pixels; at++) {
    for (let sample = 0; sample < 3; sample++) next[at * 3 + sample] = data[sample * pixels + at] ?? 0;
  }
  return next;
}

/** Two pixels share their colour (PS3.3 C.7.6.3.1.2). */
function unpacked422(bytes: Uint8Array, columns: number, rows: number): Uint8Array {
  const next = new Uint8Array(columns * rows * 3);
  for (let pair = 0; pair * 2 < columns * rows; pair++) {
    const [first = 0, second = 0, blue = 128, red = 128] = bytes.subarray(pair * 4, pair * 4 + 4);
    next.set([first, blue, red], pair * 6);
    if (pair * 6 + 6 <= next.length) next.set([second, blue, red], pair * 6 + 3);
  }
  return next;
}

/** What is shown and measured: red, green and blue, or values in the modality's unit. */
export function meant(raw: Raw, meaning: Meaning): Decoded {
  const { columns, rows } = raw;
  if (meaning.palette && raw.samples === 1) return { data: painted(raw.data, meaning.palette, meaning.form), columns, rows, samples: 3 };
  if (raw.samples >= 3) return { data: coloured(raw, meaning.form), columns, rows, samples: 3 };
  return { data: valued(raw.data, meaning), columns, rows, samples: 1 };
}

function painted(data: Stored, palette: readonly Table[], form: PixelForm): Uint8Array {
  const next = new Uint8Array(data.length * 3);
  const read = reader(form);
  for (let at = 0; at < data.length; at++) {
    const value = read(data[at] ?? 0);
    for (let sample = 0; sample < 3; sample++) next[at * 3 + sample] = looked(palette[sample], value);
  }
  return next;
}

function coloured(raw: Raw, form: PixelForm): Uint8Array {
  const { data, samples } = raw;
  const pixels = raw.columns * raw.rows;
  const next = new Uint8Array(pixels * 3);
  const shift = Math.max(0, form.bitsStored - 8);
  const isYbr = !raw.isRgb && form.photometric.startsWith("YBR") && !/ICT|RCT/.test(form.photometric);
  for (let at = 0; at < pixels; at++) {
    const from = at * samples;
    const [x, y, z] = [(data[from] ?? 0) >> shift, (data[from + 1] ?? 0) >> shift, (data[from + 2] ?? 0) >> shift];
    const into = at * 3;
    next[into] = isYbr ? byte(x + 1.402 * (z - 128)) : x;
    next[into + 1] = isYbr ? byte(x - 0.344136 * (y - 128) - 0.714136 * (z - 128)) : y;
    next[into + 2] = isYbr ? byte(x + 1.772 * (y - 128)) : z;
  }
  return next;
}

function valued(data: Stored, meaning: Meaning): PixelArray {
  const { form, slope, intercept, modalityLut } = meaning;
  const read = reader(form);
  const next = room(roomFor(form, slope, intercept, modalityLut !== null), data.length);
  const isInt16 = next instanceof Int16Array;
  for (let at = 0; at < data.length; at++) {
    const stored = read(data[at] ?? 0);
    const value = modalityLut ? looked(modalityLut, stored) : stored * slope + intercept;
    next[at] = isInt16 ? Math.min(32_767, Math.max(-32_768, value)) : value;
  }
  return next;
}

export type Room = "Uint8Array" | "Int16Array" | "Uint16Array" | "Float32Array";

/** Intercepts so small push no value that a scanner means over the edge of sixteen bits: only what fills the ground. */
const SMALL_INTERCEPT = 8192;

/** As small as all values have room in it: a CT in hundreds of slices has to fit. */
export function roomFor(form: PixelForm, slope: number, intercept: number, hasLut: boolean): Room {
  const isWhole = !hasLut && !form.isFloat && Number.isInteger(slope) && Number.isInteger(intercept);
  if (!isWhole) return "Float32Array";
  const lowest = form.signed ? -(2 ** (form.bitsStored - 1)) : 0;
  const highest = lowest + 2 ** form.bitsStored - 1;
  const [from, to] = [lowest * slope + intercept, highest * slope + intercept];
  const [least, most] = [Math.min(from, to), Math.max(from, to)];
  if (least >= 0 && most <= 255) return "Uint8Array";
  if (least >= -32_768 && most <= 32_767) return "Int16Array";
  if (least >= 0 && most <= 65_535) return "Uint16Array";
  const isSigned16 = form.signed && form.bitsStored === 16 && slope === 1 && Math.abs(intercept) <= SMALL_INTERCEPT;
  return isSigned16 ? "Int16Array" : "Float32Array";
}

export function room(kind: Room, length: number): PixelArray {
  switch (kind) {
    case "Uint8Array":
      return new Uint8Array(length);
    case "Int16Array":
      return new Int16Array(length);
    case "Uint16Array":
      return new Uint16Array(length);
    case "Float32Array":
      return new Float32Array(length);
  }
}

/** Stored bits to their number: overlays may lie in the bits above. */
function reader(form: PixelForm): (value: number) => number {
  const bits = form.bitsStored;
  if (form.isFloat || bits >= 32) return (value) => value;
  const mask = 2 ** bits - 1;
  const sign = 2 ** (bits - 1);
  if (!form.signed) return (value) => value & mask;
  return (value) => ((value & mask) ^ sign) - sign;
}

function looked(table: Table | undefined, value: number): number {
  if (!table || table.values.length === 0) return 0;
  return table.values[Math.min(table.values.length - 1, Math.max(0, value - table.first))] ?? 0;
}

const byte = (value: number): number => (value < 0 ? 0 : value > 255 ? 255 : Math.round(value));

/** A small picture as large as the whole, smooth in between. */
export function enlarged(small: Decoded, columns: number, rows: number): Decoded {
  const { data, samples } = small;
  const make = data.constructor as new (length: number) => PixelArray;
  const next = new make(columns * rows * samples);
  const isWhole = !(data instanceof Float32Array);
  const [stepX, stepY] = [small.columns / columns, small.rows / rows];
  for (let row = 0; row < rows; row++) {
    const y = Math.min(row * stepY, small.rows - 1);
    const top = Math.floor(y);
    const down = y - top;
    const upper = top * small.columns;
    const lower = Math.min(top + 1, small.rows - 1) * small.columns;
    for (let column = 0; column < columns; column++) {
      const x = Math.min(column * stepX, small.columns - 1);
      const left = Math.floor(x);
      const across = x - left;
      const right = Math.min(left + 1, small.columns - 1);
      for (let sample = 0; sample < samples; sample++) {
        const at = (from: number): number => data[from * samples + sample] ?? 0;
        const above = at(upper + left) * (1 - across) + at(upper + right) * across;
        const below = at(lower + left) * (1 - across) + at(lower + right) * across;
        const value = above * (1 - down) + below * down;
        next[(row * columns + column) * samples + sample] = isWhole ? Math.round(value) : value;
      }
    }
  }
  return { data: next, columns, rows, samples };
}
