// Owns looking through what was dropped: which of it is DICOM and of which studies, what a DICOMDIR names, and what is left out and why.

import { comparable, DICOMDIR_BYTES_MAX, readDirectory } from "./dicomdir";
import { readHeader } from "./header";
import type { Header } from "./header";
import { entrySource, FILES_MAX, TooManyFiles } from "./sources";
import type { Source } from "./sources";
import { isZip, readZip, ZipError } from "./zip";

/** `missing`: a DICOMDIR names it, and it is not there. `inner`: a ZIP in a ZIP. */
export type Why = "foreign" | "missing" | "unreadable" | "tooLarge" | "locked" | "inner" | "broken" | "lying" | "twice";

export interface LeftOut {
  readonly path: string;
  readonly why: Why;
}

export interface Picture {
  readonly source: Source;
  readonly header: Header;
}

export interface FoundStudy {
  readonly uid: string;
  readonly patient: string;
  readonly patientId: string;
  readonly date: string;
  readonly description: string;
  /** How many objects of each modality. */
  readonly modalities: ReadonlyMap<string, number>;
  readonly pictures: readonly Picture[];
  readonly sizeBytes: number;
}

export interface Findings {
  readonly studies: readonly FoundStudy[];
  /** DICOM, but of no DICOMDIR that lies above it. */
  readonly unlisted: readonly Picture[];
  readonly leftOut: readonly LeftOut[];
}

export interface Looking {
  readonly signal: AbortSignal;
  readonly onProgress: (done: number, all: number) => void;
}

/** As the server takes them. */
export const OBJECT_BYTES_MAX = 1 << 30;
const HEAD_BYTES = 64 << 10;
const HEAD_BYTES_MAX = 8 << 20;
const AT_ONCE = 4;

/** Rejects with AbortError if it was stopped, and with TooManyFiles. */
export async function examine(dropped: readonly Source[], { signal, onProgress }: Looking): Promise<Findings> {
  const leftOut: LeftOut[] = [];
  const sources = await unpacked(dropped, leftOut, signal);
  const pictures: Picture[] = [];
  const directories: Source[] = [];
  let done = 0;
  await each(sources, AT_ONCE, async (source) => {
    signal.throwIfAborted();
    const told = await look(source);
    if (told === "directory") directories.push(source);
    else if (typeof told === "string") leftOut.push({ path: source.path, why: told });
    else pictures.push({ source, header: told });
    onProgress(++done, sources.length);
  });
  signal.throwIfAborted();
  const { listed, unlisted } = await bounded(pictures, sources, directories, leftOut);
  return { studies: studiesOf(once(inOrder(listed), leftOut)), unlisted: inOrder(unlisted), leftOut: leftOut.sort(byPath) };
}

/** The same, with what the discs do not list. */
export function withUnlisted({ studies, unlisted, leftOut }: Findings): Findings {
  const twice: LeftOut[] = [];
  const all = once([...studies.flatMap(({ pictures }) => pictures), ...unlisted], twice);
  return { studies: studiesOf(inOrder(all)), unlisted: [], leftOut: [...leftOut, ...twice].sort(byPath) };
}

async function unpacked(sources: readonly Source[], leftOut: LeftOut[], signal: AbortSignal): Promise<readonly Source[]> {
  const all: Source[] = [];
  for (const source of sources) {
    signal.throwIfAborted();
    const zip = await zipOf(source);
    if (zip === null) {
      all.push(source);
      continue;
    }
    try {
      for (const entry of await readZip(zip)) {
        const inner = entrySource(zip, source.path, entry);
        const why = entry.locked ? "locked" : /\.zip$/i.test(entry.name) ? "inner" : null;
        if (why !== null) leftOut.push({ path: inner.path, why });
        else all.push(inner);
      }
    } catch (error) {
      if (!(error instanceof ZipError)) throw error;
      leftOut.push({ path: source.path, why: error.why === "tooMany" ? "tooLarge" : error.why });
    }
    if (all.length > FILES_MAX) throw new TooManyFiles();
  }
  return all;
}

async function zipOf({ file }: Source): Promise<File | null> {
  try {
    return file !== null && (await isZip(file)) ? file : null;
  } catch {
    return null;
  }
}

async function look(source: Source): Promise<Header | "directory" | Why> {
  if (source.sizeBytes > OBJECT_BYTES_MAX) return "tooLarge";
  try {
    for (let limitBytes = HEAD_BYTES; ; limitBytes *= 8) {
      const bytes = await source.head(limitBytes);
      const told = await readHeader(bytes, bytes.length < limitBytes || limitBytes >= HEAD_BYTES_MAX);
      if (told.kind === "object") return told.header;
      if (told.kind !== "more") return told.kind;
    }
  } catch (error) {
    return error instanceof ZipError && error.why !== "tooMany" ? error.why : "unreadable";
  }
}

/** Only what the discs list, where there are discs; what they list and is not there is named. */
async function bounded(
  pictures: readonly Picture[],
  sources: readonly Source[],
  directories: readonly Source[],
  leftOut: LeftOut[],
): Promise<{ readonly listed: readonly Picture[]; readonly unlisted: readonly Picture[] }> {
  const present = new Set(sources.map(({ path }) => comparable(path)));
  const named = new Set<string>();
  const folders: string[] = [];
  for (const directory of directories) {
    const files = directory.sizeBytes > DICOMDIR_BYTES_MAX ? null : await filesOf(directory);
    if (files === null) {
      leftOut.push({ path: directory.path, why: "broken" });
      continue;
    }
    const folder = directory.path.slice(0, directory.path.lastIndexOf("/") + 1);
    folders.push(comparable(folder));
    for (const parts of files) {
      const path = folder + parts.join("/");
      named.add(comparable(path));
      if (!present.has(comparable(path))) leftOut.push({ path, why: "missing" });
    }
  }
  const isListed = ({ source: { path } }: Picture): boolean => {
    const compared = comparable(path);
    return named.has(compared) || !folders.some((folder) => compared.startsWith(folder));
  };
  return { listed: pictures.filter(isListed), unlisted: pictures.filter((picture) => !isListed(picture)) };
}

async function filesOf(directory: Source): Promise<readonly (readonly string[])[] | null> {
  try {
    return readDirectory(new Uint8Array(await (await directory.open()).arrayBuffer()));
  } catch {
    return null;
  }
}

function once(pictures: readonly Picture[], leftOut: LeftOut[]): readonly Picture[] {
  const seen = new Set<string>();
  return pictures.filter(({ source, header }) => {
    if (!seen.has(header.sopInstance)) return seen.add(header.sopInstance);
    leftOut.push({ path: source.path, why: "twice" });
    return false;
  });
}

function studiesOf(pictures: readonly Picture[]): readonly FoundStudy[] {
  const byStudy = new Map<string, Picture[]>();
  for (const picture of pictures) {
    const known = byStudy.get(picture.header.study);
    if (known) known.push(picture);
    else byStudy.set(picture.header.study, [picture]);
  }
  return Array.from(byStudy, ([uid, all]) => {
    const modalities = new Map<string, number>();
    for (const { header } of all) modalities.set(header.modality, (modalities.get(header.modality) ?? 0) + 1);
    const first = (name: "patient" | "patientId" | "date" | "description") => all.find(({ header }) => header[name] !== "")?.header[name] ?? "";
    return {
      uid,
      patient: first("patient"),
      patientId: first("patientId"),
      date: first("date"),
      description: first("description"),
      modalities,
      pictures: all,
      sizeBytes: all.reduce((sum, { source }) => sum + source.sizeBytes, 0),
    };
  });
}

/** As a person would count: IM2 before IM10. */
const collator = new Intl.Collator("en", { numeric: true });
const byPath = (one: { readonly path: string }, other: { readonly path: string }): number => collator.compare(one.path, other.path);

function inOrder(pictures: readonly Picture[]): readonly Picture[] {
  return [...pictures].sort((one, other) => byPath(one.source, other.source));
}

async function each<T>(all: readonly T[], atOnce: number, work: (one: T) => Promise<void>): Promise<void> {
  const rest = all[Symbol.iterator]();
  const lane = async (): Promise<void> => {
    for (const one of rest) await work(one);
  };
  await Promise.all(Array.from({ length: atOnce }, lane));
}
