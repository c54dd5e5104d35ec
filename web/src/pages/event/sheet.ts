// Owns what a list of points as a file is: its encodings, what the server says of it, and the empty one to fill in. Pure.

import { ApiError } from "../../api";
import { t } from "../../i18n";
import type { Language } from "../../protocol";
import { keyOf } from "./model";
import type { EventPoint, PointFields } from "./model";

/** More the server does not take. */
export const SHEET_MAX_BYTES = 1 << 20;

export const CHARSETS = ["utf-8", "windows-1258", "windows-1251", "utf-16"] as const;
export type Charset = (typeof CHARSETS)[number];

export const PROBLEM_CODES = [
  "encoding",
  "noHeader",
  "syntax",
  "empty",
  "tooLong",
  "characters",
  "twice",
  "tooManyPoints",
  "nothingRemoved",
] as const;
type ProblemCode = (typeof PROBLEM_CODES)[number];

/** How a file is to be read. */
export interface Reading {
  /** Null: as it says itself, else UTF-8. */
  readonly charset: Charset | null;
  /** Points that are not in it go. */
  readonly remove: boolean;
}

export interface SheetProblem {
  /** 0: the file. */
  readonly line: number;
  readonly code: string;
  readonly text: string;
}

export interface Taken {
  readonly added: number;
  readonly changed: number;
  readonly unchanged: number;
  readonly removed: number;
  readonly problems: readonly SheetProblem[];
}

export interface PreviewRow extends PointFields {
  readonly line: number;
  readonly change: "added" | "changed" | "unchanged";
}

export interface Preview extends Taken {
  readonly rows: readonly PreviewRow[];
  readonly gone: readonly (PointFields & { readonly id: string })[];
}

/** What is wrong, in the person's language; a code of a newer server in its own words. */
export function problemWords({ code, text }: SheetProblem): string {
  const known: ProblemCode | undefined = PROBLEM_CODES.find((one) => one === code);
  return known === undefined ? text : t(`event.wrong.${known}`);
}

/** Of those known, which the file does not name. */
export function missing(points: readonly EventPoint[], rows: readonly PreviewRow[]): readonly EventPoint[] {
  const named = new Set(rows.map(keyOf));
  return points.filter((point) => !named.has(keyOf(point)));
}

/** A workbook is no CSV, whatever its name: it is a ZIP archive or an OLE file. */
export function isWorkbook(head: Uint8Array): boolean {
  return (head[0] === 0x50 && head[1] === 0x4b) || (head[0] === 0xd0 && head[1] === 0xcf);
}

/** Lines as an editor counts them, for showing what is wrong with one. */
export function linesOf(data: ArrayBuffer, charset: Charset | null): readonly string[] {
  const head = new Uint8Array(data, 0, Math.min(2, data.byteLength));
  const marked = head[0] === 0xff && head[1] === 0xfe ? "utf-16le" : head[0] === 0xfe && head[1] === 0xff ? "utf-16be" : null;
  return new TextDecoder(marked ?? charset ?? "utf-8").decode(data).split(/\r\n|\n|\r/);
}

/** With a byte order mark, and what spreadsheets of that language take for a separator. */
export function template(language: Language): Blob {
  const heads = [t("event.column.province"), t("event.column.organisation"), t("event.column.name"), t("event.column.contact")];
  return new Blob([`\ufeff${heads.join(language === "en" ? "," : ";")}\r\n`], { type: "text/csv;charset=utf-8" });
}

/** JSON in a file. Rejects with ApiError. */
export async function read<T>(file: Blob): Promise<T> {
  try {
    return JSON.parse(await file.text()) as T;
  } catch {
    throw new ApiError("internal", "unreadable answer");
  }
}
