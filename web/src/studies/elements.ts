// Owns walking through the elements of a dataset (PS3.5 section 7) that was read as bytes, tolerant of what is broken: it ends where
// nothing more can be understood. Pure. Knows no meaning of any element.

export interface Form {
  readonly explicit: boolean;
  readonly littleEndian: boolean;
}

export interface Element {
  /** Group and number: 0x00100010 is PatientName. */
  readonly tag: number;
  readonly start: number;
  /** After its value; of a sequence without a length, after its delimiter. */
  readonly end: number;
  /** It has no length of its own. */
  readonly open: boolean;
}

/** More than what the bytes hold is needed to go on. */
export class Ended extends Error {
  override readonly name = "Ended";
}

const UNDEFINED_LENGTH = 0xffffffff;
const DEPTH_MAX = 16;
const ITEM = 0xfffee000;
const ITEM_END = 0xfffee00d;
const SEQUENCE_END = 0xfffee0dd;
const LONG_VRS = new Set(["OB", "OD", "OF", "OL", "OV", "OW", "SQ", "SV", "UC", "UN", "UR", "UT", "UV"]);

export function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

/** The elements from `start` to `end` one by one. Raises Ended where an element begins within and ends beyond. */
export function* elements(view: DataView, form: Form, start = 0, end = view.byteLength): Generator<Element> {
  let at = start;
  while (at + 8 <= end) {
    const element = elementAt(view, form, at, end, 0);
    yield element;
    at = element.end;
  }
  if (at < end) throw new Ended();
}

/** The items of a sequence: where the elements of each begin and end. Raises Ended. */
export function* items(view: DataView, form: Form, sequence: Element): Generator<{ readonly start: number; readonly end: number }> {
  let at = sequence.start;
  while (at + 8 <= sequence.end) {
    const tag = tagAt(view, form, at);
    const length = view.getUint32(at + 4, form.littleEndian);
    if (tag === SEQUENCE_END) return;
    if (tag !== ITEM) throw new Ended();
    const end = length === UNDEFINED_LENGTH ? endOfItem(view, form, at + 8, sequence.end, 1) : at + 8 + length;
    if (end > sequence.end) throw new Ended();
    yield { start: at + 8, end: length === UNDEFINED_LENGTH ? end - 8 : end };
    at = end;
  }
}

function tagAt(view: DataView, form: Form, at: number): number {
  return view.getUint16(at, form.littleEndian) * 0x10000 + view.getUint16(at + 2, form.littleEndian);
}

function elementAt(view: DataView, form: Form, at: number, end: number, depth: number): Element {
  const tag = tagAt(view, form, at);
  const { start, length, vr } = lengthOf(view, form, at, end);
  if (length !== UNDEFINED_LENGTH) {
    if (start + length > end) throw new Ended();
    return { tag, start, end: start + length, open: false };
  }
  // Items of a value of unknown kind are in implicit form, whatever is around it (PS3.5 6.2.2).
  const inner = vr === "UN" ? { explicit: false, littleEndian: true } : form;
  return { tag, start, end: endOfSequence(view, inner, start, end, depth + 1), open: true };
}

function lengthOf(view: DataView, form: Form, at: number, end: number): { start: number; length: number; vr: string } {
  const vr = form.explicit ? String.fromCharCode(view.getUint8(at + 4), view.getUint8(at + 5)) : "";
  if (!form.explicit) return { start: at + 8, length: view.getUint32(at + 4, form.littleEndian), vr };
  if (!LONG_VRS.has(vr)) return { start: at + 8, length: view.getUint16(at + 6, form.littleEndian), vr };
  if (at + 12 > end) throw new Ended();
  return { start: at + 12, length: view.getUint32(at + 8, form.littleEndian), vr };
}

function endOfSequence(view: DataView, form: Form, start: number, end: number, depth: number): number {
  let at = start;
  while (at + 8 <= end) {
    const tag = tagAt(view, form, at);
    const length = view.getUint32(at + 4, form.littleEndian);
    if (tag === SEQUENCE_END) return at + 8;
    if (tag !== ITEM) throw new Ended();
    at = length === UNDEFINED_LENGTH ? endOfItem(view, form, at + 8, end, depth) : at + 8 + length;
  }
  throw new Ended();
}

function endOfItem(view: DataView, form: Form, start: number, end: number, depth: number): number {
  if (depth > DEPTH_MAX) throw new Ended();
  let at = start;
  while (at + 8 <= end) {
    if (tagAt(view, form, at) === ITEM_END) return at + 8;
    at = elementAt(view, form, at, end, depth).end;
  }
  throw new Ended();
}
