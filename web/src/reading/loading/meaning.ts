// Owns the tables that stored values are looked up in, fetched where the metadata only say where they lie.

import type { Meaning, Table } from "../decoding/form";
import type { DicomElement } from "../dataset";
import type { LookUp, Picture } from "../model";
import type { StudyApi } from "./api";

const known = new WeakMap<LookUp, Promise<readonly Table[]>>();
const FULL_BYTE = 255;

export async function meaningOf(picture: Picture, api: Pick<StudyApi, "bulk">): Promise<Meaning> {
  const { form, slope, intercept, modalityLut, palette } = picture;
  const [lut] = modalityLut ? await tablesOf(modalityLut, api) : [];
  const colours = palette ? (await tablesOf(palette, api)).map((table) => inBytes(table, palette.bits)) : null;
  return { form, slope, intercept, modalityLut: lut ?? null, palette: colours };
}

function tablesOf(lookUp: LookUp, api: Pick<StudyApi, "bulk">): Promise<readonly Table[]> {
  let tables = known.get(lookUp);
  if (!tables) {
    tables = Promise.all(lookUp.data.map(async (element) => ({ first: signed(lookUp.first), values: await valuesOf(element, lookUp, api) })));
    known.set(lookUp, tables);
    tables.catch(() => known.delete(lookUp));
  }
  return tables;
}

async function valuesOf(element: DicomElement, { count, bits }: LookUp, api: Pick<StudyApi, "bulk">): Promise<readonly number[]> {
  if (element.Value) return element.Value.map(Number);
  const bytes = element.InlineBinary === undefined ? await bulk(element, api) : fromBase64(element.InlineBinary);
  // Eight bits may be packed two to a word, which in little endian is one after the other (PS3.3 C.7.6.3.1.6).
  if (bytes.length < count * 2 && bits <= 8) return [...bytes.subarray(0, count)];
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  return Array.from({ length: Math.min(count, bytes.length >> 1) }, (_, at) => view.getUint16(at * 2, true));
}

async function bulk({ BulkDataURI: uri }: DicomElement, api: Pick<StudyApi, "bulk">): Promise<Uint8Array> {
  return uri === undefined ? new Uint8Array() : new Uint8Array(await api.bulk(uri));
}

/** Sixteen bits are said of tables that hold eight, too. */
function inBytes(table: Table, bits: number): Table {
  const most = table.values.reduce((so, value) => Math.max(so, value), 0);
  return bits > 8 && most > FULL_BYTE ? { ...table, values: table.values.map((value) => value >> (bits - 8)) } : table;
}

/** The descriptor's second value is signed where pixels are; as an unsigned one it is far beyond. */
const signed = (first: number): number => (first > 32_767 ? first - 65_536 : first);

function fromBase64(text: string): Uint8Array {
  return Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
}
