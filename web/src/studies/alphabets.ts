// Owns reading texts of a dataset in the character sets that it names (PS3.3 C.12.1.1.2, PS3.5 section 6.1), for showing them
// to a person. Pure. A set that is not known is read as well as it can be.

const SETS: Readonly<Record<string, string>> = {
  "6": "windows-1252",
  "100": "windows-1252",
  "101": "iso-8859-2",
  "109": "iso-8859-3",
  "110": "iso-8859-4",
  "144": "iso-8859-5",
  "127": "iso-8859-6",
  "126": "iso-8859-7",
  "138": "iso-8859-8",
  "148": "windows-1254",
  "203": "iso-8859-15",
  "13": "shift_jis",
  "166": "windows-874",
  "192": "utf-8",
  "58": "gbk",
  "149": "euc-kr",
};

/** What follows ESC, and how the bytes after it are read (ISO/IEC 2022). */
const ESCAPES: readonly (readonly [string, string])[] = [
  ["(B", "windows-1252"],
  ["(J", "shift_jis"],
  [")I", "shift_jis"],
  ["-A", "windows-1252"],
  ["-B", "iso-8859-2"],
  ["-C", "iso-8859-3"],
  ["-D", "iso-8859-4"],
  ["-L", "iso-8859-5"],
  ["-G", "iso-8859-6"],
  ["-F", "iso-8859-7"],
  ["-H", "iso-8859-8"],
  ["-M", "windows-1254"],
  ["-b", "iso-8859-15"],
  ["-T", "windows-874"],
  ["$)C", "euc-kr"],
  ["$)A", "gbk"],
];
const ESCAPE = 0x1b;
const KANJI = "$B";

/** `sets`: the value of SpecificCharacterSet, empty where there is none. */
export function decodeText(bytes: Uint8Array, sets: string): string {
  const first = labelOf(sets.split("\\")[0]?.trim() ?? "");
  if (!bytes.includes(ESCAPE)) return clean(decode(bytes, first));
  let text = "";
  let at = 0;
  while (at < bytes.length) {
    const next = bytes.indexOf(ESCAPE, at + 1);
    const piece = bytes.subarray(at, next < 0 ? bytes.length : next);
    text += piece[0] === ESCAPE ? escaped(piece) : decode(piece, first);
    at += piece.length;
  }
  return clean(text);
}

/** A person's name as people read it: the alphabetic group, in the order in which it was written. */
export function shownName(value: string): string {
  const [alphabetic = "", ideographic = ""] = value.split("=");
  const shown = alphabetic.trim() === "" ? ideographic : alphabetic;
  return shown.split("^").map((part) => part.trim()).filter((part) => part !== "").join(" ");
}

function labelOf(name: string): string {
  if (name === "GB18030" || name === "GBK") return "gb18030";
  const number = /(?:ISO_IR|ISO 2022 IR) (\d+)$/.exec(name)?.[1];
  return (number === undefined ? undefined : SETS[number]) ?? "";
}

function escaped(piece: Uint8Array): string {
  const start = String.fromCharCode(...piece.subarray(1, 4));
  if (start.startsWith(KANJI)) return decode(piece, "iso-2022-jp");
  const known = ESCAPES.find(([sequence]) => start.startsWith(sequence));
  return known ? decode(piece.subarray(1 + known[0].length), known[1]) : "";
}

function decode(bytes: Uint8Array, label: string): string {
  if (label !== "") return new TextDecoder(label).decode(bytes);
  try {
    // Many say nothing and write UTF-8.
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch {
    return new TextDecoder("windows-1252").decode(bytes);
  }
}

function clean(text: string): string {
  // eslint-disable-next-line no-control-regex -- values are padded with NUL, and nothing else of the kind is shown
  return text.replace(/[\u0000-\u001f\u007f]/gu, "").trim();
}
