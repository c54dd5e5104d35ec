// Owns which decoder reads which transfer syntax (PS3.5 annex A). Pure.

export type CodecName = "jpeg" | "jpegls" | "jpeg2000" | "htj2k";

const JPEG = "1.2.840.10008.1.2.4.";
const LOSSLESS: readonly string[] = ["57", "70"];
const CODECS: Readonly<Record<string, CodecName>> = {
  50: "jpeg",
  51: "jpeg",
  80: "jpegls",
  81: "jpegls",
  90: "jpeg2000",
  91: "jpeg2000",
  92: "jpeg2000",
  93: "jpeg2000",
  201: "htj2k",
  202: "htj2k",
  203: "htj2k",
};
export const RUN_LENGTHS = "1.2.840.10008.1.2.5";
export const BIG_ENDIAN = "1.2.840.10008.1.2.2";

/** Null for what needs no WebAssembly. */
export function codecOf(transferSyntax: string): CodecName | null {
  return transferSyntax.startsWith(JPEG) ? (CODECS[transferSyntax.slice(JPEG.length)] ?? null) : null;
}

export const isNative = (transferSyntax: string): boolean => !transferSyntax.startsWith(JPEG) && transferSyntax !== RUN_LENGTHS;
export const isLossless = (transferSyntax: string): boolean => transferSyntax.startsWith(JPEG) && LOSSLESS.includes(transferSyntax.slice(JPEG.length));
