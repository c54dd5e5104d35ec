// Owns what a structured report says (PS3.3 C.17.3), as a tree to be read: titles, values, units, references. Pure and bounded.

import { item, items, number, personName, text, texts } from "../dataset";
import type { Dataset } from "../dataset";

export interface Reference {
  readonly instance: string;
  readonly frames: readonly number[];
}

export interface Line {
  /** What it is about, as the report calls it; may be empty. */
  readonly title: string;
  readonly value: string;
  readonly references: readonly Reference[];
  readonly lines: readonly Line[];
  readonly isContainer: boolean;
}

export interface Report {
  readonly title: string;
  readonly isComplete: boolean;
  readonly isVerified: boolean;
  readonly verifiers: readonly string[];
  readonly lines: readonly Line[];
  /** It goes on deeper, or longer, than is shown. */
  readonly isCut: boolean;
}

const DEPTH_MAX = 24;
const LINES_MAX = 5000;

export function reportOf(dataset: Dataset): Report {
  const counted = { lines: 0, isCut: false };
  const lines = linesOf(dataset, 0, counted);
  return {
    title: conceptOf(dataset),
    isComplete: text(dataset, "0040A491") === "COMPLETE",
    isVerified: text(dataset, "0040A493") === "VERIFIED",
    verifiers: items(dataset, "0040A073").map((each) => personName(each, "0040A075")).filter((name) => name !== ""),
    lines,
    isCut: counted.isCut,
  };
}

function linesOf(dataset: Dataset, depth: number, counted: { lines: number; isCut: boolean }): readonly Line[] {
  const lines: Line[] = [];
  for (const each of items(dataset, "0040A730")) {
    if (depth >= DEPTH_MAX || counted.lines >= LINES_MAX) {
      counted.isCut = true;
      break;
    }
    counted.lines += 1;
    lines.push({
      title: conceptOf(each),
      value: valueOf(each),
      references: referencesOf(each),
      lines: linesOf(each, depth + 1, counted),
      isContainer: text(each, "0040A040") === "CONTAINER",
    });
  }
  return lines;
}

function conceptOf(dataset: Dataset): string {
  return meaningOf(item(dataset, "0040A043"));
}

function meaningOf(code: Dataset): string {
  return text(code, "00080104") || text(code, "00080100");
}

function valueOf(dataset: Dataset): string {
  switch (text(dataset, "0040A040")) {
    case "TEXT":
      return text(dataset, "0040A160");
    case "NUM":
      return measured(item(dataset, "0040A300"), dataset);
    case "CODE":
      return meaningOf(item(dataset, "0040A168"));
    case "DATE":
      return dateOf(text(dataset, "0040A121"));
    case "TIME":
      return timeOf(text(dataset, "0040A122"));
    case "DATETIME":
      return momentOf(text(dataset, "0040A120"));
    case "PNAME":
      return personName(dataset, "0040A123");
    case "UIDREF":
      return text(dataset, "0040A124");
    case "SCOORD":
    case "SCOORD3D":
      return text(dataset, "00700023");
    case "TCOORD":
      return text(dataset, "0040A130");
    default:
      return "";
  }
}

/** A number that is missing has a reason (PS3.3 C.18.1). */
function measured(value: Dataset, dataset: Dataset): string {
  const [said] = texts(value, "0040A30A");
  if (said === undefined) return meaningOf(item(dataset, "0040A301"));
  const unit = item(value, "004008EA");
  const code = text(unit, "00080100");
  // UCUM's own words for "no unit".
  return `${number(value, "0040A30A") ?? said} ${code === "1" || code.startsWith("{") ? "" : code}`.trim();
}

function referencesOf(dataset: Dataset): readonly Reference[] {
  return items(dataset, "00081199").flatMap((each) => {
    const instance = text(each, "00081155");
    return instance === "" ? [] : [{ instance, frames: texts(each, "00081160").map(Number).filter(Number.isInteger) }];
  });
}

function dateOf(date: string): string {
  return date.replace(/^(\d{4})(\d{2})(\d{2})$/, "$1-$2-$3");
}

function timeOf(time: string): string {
  return time.replace(/^(\d{2})(\d{2})(\d{2})?.*$/, (_, hours: string, minutes: string, seconds: string | undefined) =>
    [hours, minutes, ...(seconds === undefined ? [] : [seconds])].join(":"),
  );
}

function momentOf(moment: string): string {
  return `${dateOf(moment.slice(0, 8))} ${timeOf(moment.slice(8).replace(/[+-]\d{4}$/, ""))}`.trim();
}
