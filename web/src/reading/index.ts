// Owns the door to the reader: its code is large, and comes only to who reads.

import type { Reader } from "./reader";
import type { StudyViewer } from "./viewer";

export type { Sharpness, View, Viewer } from "./view";
export type { StudyViewer, ViewerOptions } from "./viewer";
export { createStudyApi } from "./loading/api";
export type { StudyApi } from "./loading/api";

export interface ReaderParts {
  readonly Reader: typeof Reader;
  readonly StudyViewer: typeof StudyViewer;
}

/** The reader's parts: `StudyViewer` to be made with `createStudyApi(token)`, `Reader` to show it. */
export async function loadReader(): Promise<ReaderParts> {
  const [page, core] = await Promise.all([import("./reader"), import("./viewer")]);
  return { Reader: page.Reader, StudyViewer: core.StudyViewer };
}
