// Owns what is read of a file's beginning to know whether it is DICOM and of which study (PS3.10 section 7): bounded, tolerant, and
// as little as that needs. Pure but for the inflating of deflated datasets.

import { decodeText, shownName } from "./alphabets";
import { elements, Ended, viewOf } from "./elements";
import type { Form } from "./elements";
import { inflatedStart } from "./inflating";

export interface Header {
  readonly transferSyntax: string;
  readonly sopClass: string;
  readonly sopInstance: string;
  readonly study: string;
  readonly series: string;
  readonly modality: string;
  /** As people read it. */
  readonly patient: string;
  readonly patientId: string;
  /** YYYYMMDD, or as it was written. */
  readonly date: string;
  readonly description: string;
}

/** `more`: the bytes given are too few to tell. `foreign`: not DICOM, or too broken to be told apart. */
export type Told = { readonly kind: "object"; readonly header: Header } | { readonly kind: "directory" | "more" | "foreign" };

const PREAMBLE_BYTES = 132;
const MARK = "DICM";
const EXPLICIT: Form = { explicit: true, littleEndian: true };
const IMPLICIT_LITTLE = "1.2.840.10008.1.2";
const EXPLICIT_BIG = "1.2.840.10008.1.2.2";
const DEFLATED = "1.2.840.10008.1.2.1.99";
const DIRECTORY_CLASS = "1.2.840.10008.1.3.10";
const LAST_TAG = 0x0020000e;
const UID = /^[0-9.]{1,64}$/;
const VALUE_BYTES_MAX = 4096;

const TAGS = {
  fileClass: 0x00020002,
  transferSyntax: 0x00020010,
  characterSet: 0x00080005,
  sopClass: 0x00080016,
  sopInstance: 0x00080018,
  date: 0x00080020,
  modality: 0x00080060,
  description: 0x00081030,
  patient: 0x00100010,
  patientId: 0x00100020,
  study: 0x0020000d,
  series: LAST_TAG,
} as const;

const WANTED: ReadonlySet<number> = new Set<number>(Object.values(TAGS));

/** `complete`: the bytes are the whole file. */
export async function readHeader(bytes: Uint8Array, complete: boolean): Promise<Told> {
  if (bytes.length < PREAMBLE_BYTES || String.fromCharCode(...bytes.subarray(PREAMBLE_BYTES - 4, PREAMBLE_BYTES)) !== MARK) {
    return { kind: "foreign" };
  }
  const lacking: Told = { kind: complete ? "foreign" : "more" };
  const meta = metaOf(bytes);
  if (meta === null) return lacking;
  if (ascii(meta.values.get(TAGS.fileClass)) === DIRECTORY_CLASS) return { kind: "directory" };
  const transferSyntax = ascii(meta.values.get(TAGS.transferSyntax)) || IMPLICIT_LITTLE;
  let dataset = bytes.subarray(meta.end);
  if (transferSyntax === DEFLATED) dataset = await inflatedStart(dataset, bytes.length * 4);
  const { values, ended } = valuesOf(dataset, formOf(transferSyntax));
  const header = headerOf(values, transferSyntax);
  if (header !== null) return { kind: "object", header };
  return ended ? lacking : { kind: "foreign" };
}

export function formOf(transferSyntax: string): Form {
  return { explicit: transferSyntax !== IMPLICIT_LITTLE, littleEndian: transferSyntax !== EXPLICIT_BIG };
}

/** The values of group 2, and where the dataset begins; null if it does not end within these bytes. */
export function metaOf(bytes: Uint8Array): { readonly values: ReadonlyMap<number, Uint8Array>; readonly end: number } | null {
  const values = new Map<number, Uint8Array>();
  const view = viewOf(bytes);
  let at = PREAMBLE_BYTES;
  try {
    while (at + 8 <= bytes.length && view.getUint16(at, true) === 2) {
      const next = elements(view, EXPLICIT, at).next();
      if (next.done === true) return null;
      values.set(next.value.tag, bytes.subarray(next.value.start, next.value.end));
      at = next.value.end;
    }
  } catch (error) {
    if (error instanceof Ended) return null;
    throw error;
  }
  return at + 8 <= bytes.length ? { values, end: at } : null;
}

/** A text of ASCII, without its padding. */
export function ascii(value: Uint8Array | undefined): string {
  if (value === undefined || value.length > VALUE_BYTES_MAX) return "";
  // eslint-disable-next-line no-control-regex -- UIDs are padded with NUL
  return String.fromCharCode(...value).replace(/[\u0000 ]+$/u, "").trim();
}

function valuesOf(bytes: Uint8Array, form: Form): { values: Map<number, Uint8Array>; ended: boolean } {
  const values = new Map<number, Uint8Array>();
  try {
    for (const { tag, start, end, open } of elements(viewOf(bytes), form)) {
      if (tag > LAST_TAG) return { values, ended: false };
      if (!open && WANTED.has(tag)) values.set(tag, bytes.subarray(start, end));
      if (tag === LAST_TAG) return { values, ended: false };
    }
  } catch (error) {
    if (!(error instanceof Ended)) throw error;
  }
  return { values, ended: true };
}

function headerOf(values: ReadonlyMap<number, Uint8Array>, transferSyntax: string): Header | null {
  const uid = (tag: number): string => ascii(values.get(tag));
  const sets = ascii(values.get(TAGS.characterSet));
  const text = (tag: number): string => {
    const value = values.get(tag);
    return value === undefined || value.length > VALUE_BYTES_MAX ? "" : decodeText(value, sets);
  };
  const header = {
    transferSyntax,
    sopClass: uid(TAGS.sopClass),
    sopInstance: uid(TAGS.sopInstance),
    study: uid(TAGS.study),
    series: uid(TAGS.series),
    modality: ascii(values.get(TAGS.modality)).slice(0, 16),
    patient: shownName(text(TAGS.patient)),
    patientId: text(TAGS.patientId),
    date: ascii(values.get(TAGS.date)),
    description: text(TAGS.description),
  };
  return UID.test(header.sopInstance) && UID.test(header.study) && UID.test(header.series) ? header : null;
}
