// Makes small DICOM files, DICOMDIRs and ZIP files for tests, byte by byte, so that what reads them is held against the standards.

export interface Form {
  readonly explicit?: boolean;
  readonly littleEndian?: boolean;
}

const LONG = new Set(["OB", "OW", "SQ", "UN", "UT"]);
const EXPLICIT_LITTLE = "1.2.840.10008.1.2.1";

export function bytesOf(value: string | Uint8Array, pad = 0): Uint8Array {
  const raw = typeof value === "string" ? new TextEncoder().encode(value) : value;
  if (raw.length % 2 === 0) return raw;
  return joined([raw, Uint8Array.of(pad)]);
}

export function joined(parts: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
  const whole = new Uint8Array(parts.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}

/** `length`: what it says of its length, if that is not so. */
export function element(tag: number, vr: string, value: string | Uint8Array, { explicit = true, littleEndian = true }: Form = {}, length?: number): Uint8Array {
  const content = bytesOf(value, vr === "UI" || vr === "OB" ? 0 : 32);
  const long = !explicit || LONG.has(vr);
  const head = new DataView(new ArrayBuffer(explicit && long ? 12 : 8));
  head.setUint16(0, tag >>> 16, littleEndian);
  head.setUint16(2, tag & 0xffff, littleEndian);
  if (explicit) {
    head.setUint8(4, vr.charCodeAt(0));
    head.setUint8(5, vr.charCodeAt(1));
    if (long) head.setUint32(8, length ?? content.length, littleEndian);
    else head.setUint16(6, length ?? content.length, littleEndian);
  } else {
    head.setUint32(4, length ?? content.length, littleEndian);
  }
  return joined([new Uint8Array(head.buffer), content]);
}

export function item(content: Uint8Array, length = content.length): Uint8Array {
  const head = new DataView(new ArrayBuffer(8));
  head.setUint32(0, 0xe000fffe, true);
  head.setUint32(4, length, true);
  return joined([new Uint8Array(head.buffer), content]);
}

export function delimiter(tag: number): Uint8Array {
  const head = new DataView(new ArrayBuffer(8));
  head.setUint16(0, tag >>> 16, true);
  head.setUint16(2, tag & 0xffff, true);
  return new Uint8Array(head.buffer);
}

export function part10(dataset: Uint8Array, transferSyntax = EXPLICIT_LITTLE, sopClass = "1.2.840.10008.5.1.4.1.1.2"): Uint8Array<ArrayBuffer> {
  const meta = joined([element(0x00020002, "UI", sopClass), element(0x00020010, "UI", transferSyntax)]);
  return joined([new Uint8Array(128), new TextEncoder().encode("DICM"), meta, dataset]);
}

export interface Values {
  readonly study?: string;
  readonly series?: string;
  readonly instance?: string;
  readonly modality?: string;
  readonly patient?: string | Uint8Array;
  readonly charset?: string;
  readonly before?: Uint8Array;
  readonly pixels?: number;
}

export function dataset(values: Values = {}, form: Form = {}): Uint8Array {
  const one = (tag: number, vr: string, value: string | Uint8Array): Uint8Array => element(tag, vr, value, form);
  return joined([
    ...(values.charset === undefined ? [] : [one(0x00080005, "CS", values.charset)]),
    one(0x00080016, "UI", "1.2.840.10008.5.1.4.1.1.2"),
    one(0x00080018, "UI", values.instance ?? "1.2.3.4"),
    one(0x00080020, "DA", "20260504"),
    one(0x00080060, "CS", values.modality ?? "CT"),
    ...(values.before === undefined ? [] : [values.before]),
    one(0x00100010, "PN", values.patient ?? "Nguyen^Lan"),
    one(0x0020000d, "UI", values.study ?? "1.2.3"),
    one(0x0020000e, "UI", values.series ?? "1.2.3.1"),
    one(0x7fe00010, "OW", new Uint8Array(values.pixels ?? 16)),
  ]);
}

export function dicomFile(values: Values = {}): Uint8Array<ArrayBuffer> {
  return part10(dataset(values));
}

/** A DICOMDIR that names these files, each with backslashes. */
export function dicomdir(files: readonly string[]): Uint8Array<ArrayBuffer> {
  const records = files.map((file) => item(joined([element(0x00041430, "CS", "IMAGE"), element(0x00041500, "CS", file)])));
  return part10(element(0x00041220, "SQ", joined(records)), EXPLICIT_LITTLE, "1.2.840.10008.1.3.10");
}

export interface ZipPart {
  readonly name: string;
  readonly content: Uint8Array;
  readonly stored?: boolean;
  readonly crc?: number;
  readonly flags?: number;
  /** What it says of its size, if that is not so. */
  readonly sizeBytes?: number;
}

export async function deflated(content: Uint8Array): Promise<Uint8Array> {
  const stream = new Blob([content as Uint8Array<ArrayBuffer>]).stream().pipeThrough(new CompressionStream("deflate-raw"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

/** Bit by bit, as APPNOTE 4.4.7 has it. */
function crc32(content: Uint8Array): number {
  let crc = 0xffffffff;
  for (const byte of content) {
    crc ^= byte;
    for (let bit = 0; bit < 8; bit++) crc = (crc >>> 1) ^ (crc & 1 ? 0xedb88320 : 0);
  }
  return (crc ^ 0xffffffff) >>> 0;
}

export async function zip(parts: readonly ZipPart[], comment = ""): Promise<Uint8Array<ArrayBuffer>> {
  const locals: Uint8Array[] = [];
  const entries: Uint8Array[] = [];
  let offset = 0;
  for (const part of parts) {
    const name = new TextEncoder().encode(part.name);
    const packed = part.stored === true ? part.content : await deflated(part.content);
    const local = new DataView(new ArrayBuffer(30));
    local.setUint32(0, 0x04034b50, true);
    local.setUint16(26, name.length, true);
    const entry = new DataView(new ArrayBuffer(46));
    entry.setUint32(0, 0x02014b50, true);
    entry.setUint16(8, part.flags ?? 0x0800, true);
    entry.setUint16(10, part.stored === true ? 0 : 8, true);
    entry.setUint32(16, part.crc ?? crc32(part.content), true);
    entry.setUint32(20, packed.length, true);
    entry.setUint32(24, part.sizeBytes ?? part.content.length, true);
    entry.setUint16(28, name.length, true);
    entry.setUint32(42, offset, true);
    locals.push(new Uint8Array(local.buffer), name, packed);
    entries.push(new Uint8Array(entry.buffer), name);
    offset += 30 + name.length + packed.length;
  }
  const directory = joined(entries);
  const end = new DataView(new ArrayBuffer(22));
  end.setUint32(0, 0x06054b50, true);
  end.setUint16(8, parts.length, true);
  end.setUint16(10, parts.length, true);
  end.setUint32(12, directory.length, true);
  end.setUint32(16, offset, true);
  end.setUint16(20, comment.length, true);
  return joined([...locals, directory, new Uint8Array(end.buffer), new TextEncoder().encode(comment)]);
}

export function fileOf(content: Uint8Array, path: string): File {
  const file = new File([content as Uint8Array<ArrayBuffer>], path.split("/").at(-1) ?? path);
  Object.defineProperty(file, "webkitRelativePath", { value: path });
  return file;
}
