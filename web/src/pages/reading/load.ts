// Owns how the viewer comes into the page: its code is large and loaded when somebody opens a study, not before.

import { signal } from "@preact/signals";
import { createStudyApi, loadReader } from "../../reading";
import type { StudyViewer } from "../../reading";

type Drawing = Awaited<ReturnType<typeof loadReader>>["Reader"];

/** The component that draws a viewer, once its code is there. */
export const drawing = signal<{ readonly Reader: Drawing } | null>(null);

/** Rejects if the code does not come. */
export async function loadViewer(token: string, name: string): Promise<StudyViewer> {
  const { Reader, StudyViewer } = await loadReader();
  drawing.value = { Reader };
  return new StudyViewer({ api: createStudyApi(token), name, isSession: true });
}
