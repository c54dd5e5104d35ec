// Owns laying the earlier study beside the one that is read: looking for it, choosing the like series, linking both.

import { signal } from "@preact/signals";
import type { ReadonlySignal, Signal } from "@preact/signals";
import { earlierStudy, likePlace, likeSeries } from "./comparing";
import type { Series, StudyHead } from "./model";
import { atIn, contentIn, windowIn } from "./slots";
import { settled } from "./viewer";
import type { StudyViewer } from "./viewer";

/** `none`: there is no earlier study; `noLike`: it has no series of this sort. */
export type Looked = "idle" | "looking" | "none" | "noLike" | "failed";

const NEIGHBOURS_LIMIT = 200;
/** What has not come by then is compared by what there is of it. */
const WHOLE_MS = 60_000;
const states = new WeakMap<StudyViewer, Signal<Looked>>();

export function looked(viewer: StudyViewer): ReadonlySignal<Looked> {
  return stateOf(viewer);
}

export function forget(viewer: StudyViewer): void {
  stateOf(viewer).value = "idle";
}

/** The studies that may be laid beside one: those of the session, or of the patient's number. Rejects with ApiError. */
export async function neighbours(viewer: StudyViewer, head: StudyHead): Promise<readonly StudyHead[]> {
  const found = viewer.isSession
    ? await viewer.api.studies({ limit: NEIGHBOURS_LIMIT })
    : head.patientId === ""
      ? [head]
      : await viewer.api.studies({ patientId: head.patientId, limit: NEIGHBOURS_LIMIT });
  // A number with a wildcard in it finds those of others.
  const own = viewer.isSession ? found : found.filter(({ patientId }) => patientId === head.patientId);
  return [...own].sort((a, b) => (a.date < b.date ? 1 : a.date > b.date ? -1 : 0));
}

export async function compareWithEarlier(viewer: StudyViewer): Promise<void> {
  const state = stateOf(viewer);
  if (state.peek() === "looking") return;
  state.value = "looking";
  try {
    state.value = await layBeside(viewer);
  } catch {
    state.value = "failed";
  }
}

async function layBeside(viewer: StudyViewer): Promise<Looked> {
  const uid = viewer.study.peek();
  if (uid === null) return "idle";
  const { head } = await settled(viewer.library.study(uid));
  const from = ownCell(viewer);
  const content = contentIn(viewer.slots.peek(), from);
  const own = content ? await whole(viewer, uid, content.series) : null;
  if (!own) return "idle";
  const before = earlierStudy(await neighbours(viewer, head), head, own.modality);
  if (!before) return "none";
  const { series } = await settled(viewer.library.study(before.uid));
  const like = likeSeries(series, own);
  if (!like) return "noLike";
  if (viewer.study.peek() !== uid) return "idle";
  viewer.hand({ ...asFirst(viewer, from, own), layout: "1x2", ...emptied(1), "cell.1": { series: like.uid, study: before.uid }, link: null });
  viewer.active.value = 0;
  const other = await whole(viewer, before.uid, like.uid);
  const view = viewer.slots.peek();
  if (contentIn(view, 1)?.series !== like.uid || viewer.layout.peek() !== "1x2") return "idle";
  const at = viewer.indexNow(0, own);
  const beside = likePlace(own, at, other);
  const window = windowIn(view, 0);
  viewer.hand({ "at.1": beside, ...(window ? { "window.1": window } : {}), link: [at, beside] });
  return "idle";
}

/** All of a series, which at first may be known by its first object only. */
async function whole(viewer: StudyViewer, study: string, uid: string): Promise<Series> {
  const loading = viewer.library.seriesOf(study, uid);
  const begun = await settled(loading);
  if (begun.instancesOf.length > 1 || begun.instances < 2) return begun;
  return new Promise((resolve) => {
    const timer = setTimeout(() => finish(begun), WHOLE_MS);
    const stop = loading.subscribe((now) => {
      if (now.state === "ready" && now.value.instancesOf.length > 1) finish(now.value);
    });
    function finish(series: Series): void {
      clearTimeout(timer);
      queueMicrotask(() => stop());
      resolve(series);
    }
  });
}

/** The active cell if it shows the study that is read, else the first that does. */
function ownCell(viewer: StudyViewer): number {
  const view = viewer.slots.peek();
  const isOwn = (cell: number): boolean => {
    const content = contentIn(view, cell);
    return content !== null && content.study === undefined;
  };
  const active = viewer.active.peek();
  return isOwn(active) ? active : Math.max(0, viewer.cells.peek().findIndex((_, cell) => isOwn(cell)));
}

/** What is compared comes first, as it stood. */
function asFirst(viewer: StudyViewer, from: number, series: Series): Record<string, unknown> {
  const view = viewer.slots.peek();
  const isPlane = contentIn(view, from)?.plane !== undefined;
  if (from === 0 && !isPlane) return {};
  return {
    ...emptied(0),
    "cell.0": { series: series.uid },
    "at.0": isPlane ? Math.floor(series.pictures.length / 2) : atIn(view, from),
    "window.0": windowIn(view, from),
  };
}

const emptied = (cell: number): Record<string, null> => Object.fromEntries(["cell", "at", "window", "camera", "cine"].map((name) => [`${name}.${cell}`, null]));

function stateOf(viewer: StudyViewer): Signal<Looked> {
  let state = states.get(viewer);
  if (!state) {
    state = signal<Looked>("idle");
    states.set(viewer, state);
  }
  return state;
}
