// Owns which tools there are for what lies in the active cell: over a curve or a report nothing of pictures is offered.

import type { StudyViewer, ToolName } from "./viewer";

const MEASURES: readonly ToolName[] = ["length", "angle", "ellipse", "rectangle"];

/** While it is not known what comes, pictures are what it will be. */
function isPicture(viewer: StudyViewer, cell: number): boolean {
  const kind = viewer.kindIn(cell);
  return kind === null || kind === "pictures";
}

/** Whether any cell shows pictures: where none does, their tools are not there at all. */
export const hasPictures = (viewer: StudyViewer): boolean => viewer.cells.value.some((_, cell) => isPicture(viewer, cell));

export const offersPictures = (viewer: StudyViewer): boolean => isPicture(viewer, viewer.active.value);

/** Planes through a volume are gone through and not measured on. */
export const offersTool = (viewer: StudyViewer, tool: ToolName): boolean => offersPictures(viewer) && !(viewer.layout.value === "mpr" && MEASURES.includes(tool));

export const canLink = (viewer: StudyViewer): boolean => viewer.cells.value.length > 1 && viewer.layout.value !== "mpr";
