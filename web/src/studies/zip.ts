// Owns opening a ZIP file in the browser (APPNOTE 6.3.9), entry by entry and never as a whole: its directory is read from its end, and an
// entry is inflated when it is asked for, within the size that the directory says and checked by its CRC. Knows nothing of DICOM.

import { startOf } from "./inflating";

export interface ZipEntry {
  readonly name: string;
  readonly sizeBytes: number;
  readonly compressedBytes: number;
  readonly method: number;
  readonly crc: number;
  readonly offset: number;
  readonly locked: boolean;
}

/** `lying`: it says more than it holds, as a bomb does. */
export class ZipError extends Error {
  override readonly name = "ZipError";
  constructor(readonly why: "broken" | "lying" | "tooMany") {
    super(why);
  }
}

export const ENTRIES_MAX = 100_000;
const DIRECTORY_BYTES_MAX = 64 << 20;
/** Deflate cannot make less of anything. */
const RATIO_MAX = 1100;
const END_BYTES = 22;
const COMMENT_BYTES_MAX = 0xffff;
const END = 0x06054b50;
const END_64_LOCATOR = 0x07064b50;
const END_64 = 0x06064b50;
const ENTRY = 0x02014b50;
const ENTRY_BYTES = 46;
const LOCAL = 0x04034b50;
const LOCAL_BYTES = 30;
const FLAG_LOCKED = 0x0001;
const FLAG_UTF8 = 0x0800;
const STORED = 0;
const DEFLATED = 8;
const EXTRA_64 = 0x0001;
const IN_64 = 0xffffffff;

export async function isZip(file: Blob): Promise<boolean> {
  const view = await read(file, 0, 4);
  return view.byteLength === 4 && (view.getUint32(0, true) === LOCAL || view.getUint32(0, true) === END);
}

/** Everything it holds but folders. Raises ZipError. */
export async function readZip(file: Blob): Promise<readonly ZipEntry[]> {
  const { count, offset, sizeBytes } = await findDirectory(file);
  if (count > ENTRIES_MAX || sizeBytes > DIRECTORY_BYTES_MAX) throw new ZipError("tooMany");
  const view = await read(file, offset, sizeBytes);
  const entries: ZipEntry[] = [];
  let at = 0;
  for (let number = 0; number < count; number++) {
    if (at + ENTRY_BYTES > view.byteLength || view.getUint32(at, true) !== ENTRY) throw new ZipError("broken");
    const { entry, end } = entryAt(view, at);
    if (!entry.name.endsWith("/")) entries.push(entry);
    at = end;
  }
  check(entries, offset);
  return entries;
}

/** Its content; the stream fails with ZipError if that is not what the directory says. */
export async function openEntry(file: Blob, entry: ZipEntry): Promise<ReadableStream<Uint8Array>> {
  const local = await read(file, entry.offset, LOCAL_BYTES);
  if (local.byteLength < LOCAL_BYTES || local.getUint32(0, true) !== LOCAL) throw new ZipError("broken");
  const start = entry.offset + LOCAL_BYTES + local.getUint16(26, true) + local.getUint16(28, true);
  const content = file.slice(start, start + entry.compressedBytes);
  if (content.size !== entry.compressedBytes) throw new ZipError("broken");
  if (entry.method === STORED) return content.stream().pipeThrough(checked(entry));
  if (entry.method !== DEFLATED) throw new ZipError("broken");
  return content.stream().pipeThrough(new DecompressionStream("deflate-raw")).pipeThrough(checked(entry));
}

export async function startOfEntry(file: Blob, entry: ZipEntry, limitBytes: number): Promise<Uint8Array> {
  return startOf(await openEntry(file, entry), limitBytes);
}

/** All of it. Raises ZipError. */
export async function wholeEntry(file: Blob, entry: ZipEntry): Promise<Blob> {
  try {
    return await new Response((await openEntry(file, entry)) as ReadableStream<Uint8Array<ArrayBuffer>>).blob();
  } catch (error) {
    // What does not inflate is told in many ways; a file that cannot be read is a DOMException.
    throw error instanceof ZipError || error instanceof DOMException ? error : new ZipError("broken");
  }
}

async function findDirectory(file: Blob): Promise<{ count: number; offset: number; sizeBytes: number }> {
  const tailStart = Math.max(0, file.size - END_BYTES - COMMENT_BYTES_MAX);
  const tail = await read(file, tailStart, file.size - tailStart);
  for (let at = tail.byteLength - END_BYTES; at >= 0; at--) {
    if (tail.getUint32(at, true) !== END) continue;
    const found = { count: tail.getUint16(at + 10, true), sizeBytes: tail.getUint32(at + 12, true), offset: tail.getUint32(at + 16, true) };
    const large = found.count === 0xffff || found.sizeBytes === IN_64 || found.offset === IN_64;
    const directory = large ? await findDirectory64(file, tailStart + at) : found;
    if (directory.offset + directory.sizeBytes > file.size) throw new ZipError("broken");
    return directory;
  }
  throw new ZipError("broken");
}

async function findDirectory64(file: Blob, endAt: number): Promise<{ count: number; offset: number; sizeBytes: number }> {
  const locator = await read(file, endAt - 20, 20);
  if (locator.byteLength < 20 || locator.getUint32(0, true) !== END_64_LOCATOR) throw new ZipError("broken");
  const end = await read(file, number64(locator, 8), 56);
  if (end.byteLength < 56 || end.getUint32(0, true) !== END_64) throw new ZipError("broken");
  return { count: number64(end, 32), sizeBytes: number64(end, 40), offset: number64(end, 48) };
}

function entryAt(view: DataView, at: number): { entry: ZipEntry; end: number } {
  const flags = view.getUint16(at + 8, true);
  const nameStart = at + ENTRY_BYTES;
  const extraStart = nameStart + view.getUint16(at + 28, true);
  const extraEnd = extraStart + view.getUint16(at + 30, true);
  const end = extraEnd + view.getUint16(at + 32, true);
  if (end > view.byteLength) throw new ZipError("broken");
  const sizes = { sizeBytes: view.getUint32(at + 24, true), compressedBytes: view.getUint32(at + 20, true), offset: view.getUint32(at + 42, true) };
  enlarge(sizes, view, extraStart, extraEnd);
  const name = new Uint8Array(view.buffer, view.byteOffset + nameStart, extraStart - nameStart);
  return {
    entry: {
      ...sizes,
      name: nameOf(name, (flags & FLAG_UTF8) !== 0),
      method: view.getUint16(at + 10, true),
      crc: view.getUint32(at + 16, true),
      locked: (flags & FLAG_LOCKED) !== 0,
    },
    end,
  };
}

/** ZIP64: what did not fit stands in an extra field, in this order. */
function enlarge(sizes: { sizeBytes: number; compressedBytes: number; offset: number }, view: DataView, start: number, end: number): void {
  for (let at = start; at + 4 <= end; at += 4 + view.getUint16(at + 2, true)) {
    if (view.getUint16(at, true) !== EXTRA_64) continue;
    const fieldEnd = Math.min(end, at + 4 + view.getUint16(at + 2, true));
    let value = at + 4;
    for (const name of ["sizeBytes", "compressedBytes", "offset"] as const) {
      if (sizes[name] !== IN_64) continue;
      if (value + 8 > fieldEnd) throw new ZipError("broken");
      sizes[name] = number64(view, value);
      value += 8;
    }
    return;
  }
}

/** Honest entries lie one after the other; a bomb lets many share the same bytes, or says what cannot be. */
function check(entries: readonly ZipEntry[], directoryOffset: number): void {
  const ordered = [...entries].sort((one, other) => one.offset - other.offset);
  ordered.forEach((entry, index) => {
    const next = ordered[index + 1]?.offset ?? directoryOffset;
    if (entry.offset + LOCAL_BYTES + entry.compressedBytes > next) throw new ZipError("lying");
    if (entry.sizeBytes > entry.compressedBytes * RATIO_MAX + 64) throw new ZipError("lying");
  });
}

function checked(entry: ZipEntry): TransformStream<Uint8Array, Uint8Array> {
  let sizeBytes = 0;
  let crc = 0xffffffff;
  return new TransformStream({
    transform(chunk, controller) {
      sizeBytes += chunk.length;
      if (sizeBytes > entry.sizeBytes) throw new ZipError("lying");
      crc = addToCrc(crc, chunk);
      controller.enqueue(chunk);
    },
    flush() {
      if (sizeBytes !== entry.sizeBytes || (crc ^ 0xffffffff) >>> 0 !== entry.crc) throw new ZipError("broken");
    },
  });
}

const CRC_TABLE = Uint32Array.from({ length: 256 }, (_, index) => {
  let value = index;
  for (let bit = 0; bit < 8; bit++) value = value & 1 ? (value >>> 1) ^ 0xedb88320 : value >>> 1;
  return value >>> 0;
});

function addToCrc(before: number, bytes: Uint8Array): number {
  let crc = before;
  for (const byte of bytes) crc = (crc >>> 8) ^ (CRC_TABLE[(crc ^ byte) & 0xff] ?? 0);
  return crc;
}

function nameOf(bytes: Uint8Array, utf8: boolean): string {
  // Windows and old programs write their own code page and do not say which; only to be shown, and to be found by a DICOMDIR.
  const name = new TextDecoder(utf8 || bytes.every((byte) => byte < 0x80) ? "utf-8" : "windows-1252").decode(bytes);
  return name.replaceAll("\\", "/");
}

function number64(view: DataView, at: number): number {
  const value = view.getBigUint64(at, true);
  if (value > BigInt(Number.MAX_SAFE_INTEGER)) throw new ZipError("broken");
  return Number(value);
}

async function read(file: Blob, start: number, sizeBytes: number): Promise<DataView> {
  return new DataView(await file.slice(Math.max(0, start), Math.max(0, start) + sizeBytes).arrayBuffer());
}
