// Owns what a person drops or chooses: folders walked through, files and the entries of ZIP files alike, each to be read when it is needed.
// Knows nothing of DICOM.

import { startOfEntry, wholeEntry } from "./zip";
import type { ZipEntry } from "./zip";

export interface Source {
  /** As the person sees it, from what was dropped on; folders divided by `/`. */
  readonly path: string;
  readonly sizeBytes: number;
  /** Its first bytes, at most so many. Rejects where it cannot be read. */
  head(limitBytes: number): Promise<Uint8Array>;
  /** Its content. Rejects where it cannot be read or is damaged. */
  open(): Promise<Blob>;
  /** The file itself, where it is one. */
  readonly file: File | null;
}

export const FILES_MAX = 100_000;
const DEPTH_MAX = 32;

export class TooManyFiles extends Error {
  override readonly name = "TooManyFiles";
}

export function fileSource(file: File, path = file.webkitRelativePath || file.name): Source {
  return {
    path,
    sizeBytes: file.size,
    head: async (limitBytes) => new Uint8Array(await file.slice(0, limitBytes).arrayBuffer()),
    open: () => Promise.resolve(file),
    file,
  };
}

export function entrySource(zip: File, zipPath: string, entry: ZipEntry): Source {
  return {
    path: `${zipPath}/${entry.name}`,
    sizeBytes: entry.sizeBytes,
    head: (limitBytes) => startOfEntry(zip, entry, limitBytes),
    open: () => wholeEntry(zip, entry),
    file: null,
  };
}

export function chosen(files: readonly File[]): readonly Source[] {
  if (files.length > FILES_MAX) throw new TooManyFiles();
  return files.map((file) => fileSource(file));
}

/** Everything that lies in what was dropped. To be called while the drop is being handled. Rejects with TooManyFiles. */
export function dropped(data: DataTransfer): Promise<readonly Source[]> {
  // Both lists are emptied as soon as the event is over.
  const entries = Array.from(data.items, (item) => (item.kind === "file" ? item.webkitGetAsEntry() : null)).filter((entry) => entry !== null);
  const files = Array.from(data.files);
  return entries.length > 0 ? walk(entries) : Promise.resolve(chosen(files));
}

async function walk(entries: readonly FileSystemEntry[]): Promise<readonly Source[]> {
  const found: Source[] = [];
  const look = async (entry: FileSystemEntry, depth: number): Promise<void> => {
    if (found.length > FILES_MAX) throw new TooManyFiles();
    if (entry.isFile) {
      found.push(await sourceOf(entry as FileSystemFileEntry));
    } else if (depth < DEPTH_MAX) {
      for (const each of await listed(entry as FileSystemDirectoryEntry)) await look(each, depth + 1);
    }
  };
  for (const entry of entries) await look(entry, 0);
  return found;
}

async function sourceOf(entry: FileSystemFileEntry): Promise<Source> {
  const path = entry.fullPath.replace(/^\//, "");
  try {
    return fileSource(await new Promise<File>((resolve, reject) => entry.file(resolve, reject)), path);
  } catch (error) {
    // Named among what cannot be read, not passed over.
    const refuse = (): Promise<never> => Promise.reject(error instanceof Error ? error : new DOMException("unreadable", "NotReadableError"));
    return { path, sizeBytes: 0, head: refuse, open: refuse, file: null };
  }
}

async function listed(folder: FileSystemDirectoryEntry): Promise<readonly FileSystemEntry[]> {
  const reader = folder.createReader();
  const all: FileSystemEntry[] = [];
  // It gives a hundred at a time, and nothing at the end.
  for (;;) {
    const some = await new Promise<FileSystemEntry[]>((resolve, reject) => reader.readEntries(resolve, reject));
    if (some.length === 0) return all;
    for (const each of some) all.push(each);
    if (all.length > FILES_MAX) throw new TooManyFiles();
  }
}

