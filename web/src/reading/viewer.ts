// Owns a reader's own copy of the common view and what follows from it: what lies in each cell, which picture, what is fetched.
// Draws nothing; cells read it and draw.

import { computed, signal } from "@preact/signals";
import type { ReadonlySignal } from "@preact/signals";
import { Changes } from "./changes";
import { linkedPlace } from "./comparing";
import { DecoderPool } from "./decoding/pool";
import { Library } from "./library";
import type { Loading } from "./library";
import { Frames } from "./loading/frames";
import type { Best } from "./loading/frames";
import type { StudyApi } from "./loading/api";
import type { Shown } from "./loading/plan";
import type { Picture, Series, SeriesKind, StudyHead } from "./model";
import { kinship } from "./patients";
import { CELLS, PLANES, atIn, changed, cineIn, contentIn, layoutIn, linkIn, marksIn, studyIn } from "./slots";
import type { NamedMark } from "./slots";
import type { CellContent, LayoutName, Mark, Sharpness, View, Viewer } from "./view";

export type ToolName = "scroll" | "window" | "zoom" | "pan" | "length" | "angle" | "ellipse" | "rectangle" | "pointer";

/** So long after the last step the reader stands. */
const STANDING_MS = 150;
const TOLD_SHARPNESS_MS = 200;
const NOTHING: Sharpness = { preview: 0, sharp: 0, total: 0 };

export interface CellView {
  readonly content: CellContent | null;
  readonly series: Loading<Series> | null;
}

export interface ViewerOptions {
  readonly api: StudyApi;
  /** Who sets marks here, as others shall read it. */
  readonly name?: string;
  /** All studies that are open to this person belong together, as those of a session: none need be looked for by its patient. */
  readonly isSession?: boolean;
}

export class StudyViewer implements Viewer {
  onChange: ((changes: View) => void) | null = null;
  readonly slots = signal<View>({});
  readonly active = signal(0);
  readonly tool = signal<ToolName>("scroll");
  /** Cells go through the body together. */
  readonly isLinked: ReadonlySignal<boolean> = computed(() => linkIn(this.slots.value) !== null);
  readonly showsLines = signal(true);
  /** Whose pointer it is that all see; "" for one's own. */
  readonly pointsName = signal("");
  /** Others see where this person's mouse is. */
  readonly pointing = signal(false);
  /** A loop's own picture while it runs, by cell: it runs in each browser by itself. */
  readonly running = signal<ReadonlyMap<number, number>>(new Map());
  /** Raised when a picture came. */
  readonly came = signal(0);
  readonly library: Library;
  readonly frames: Frames;
  readonly api: StudyApi;
  readonly layout: ReadonlySignal<LayoutName> = computed(() => layoutIn(this.slots.value));
  readonly study: ReadonlySignal<string | null> = computed(() => studyIn(this.slots.value));
  readonly cells: ReadonlySignal<readonly CellView[]> = computed(() => {
    const view = this.slots.value;
    return Array.from({ length: CELLS[layoutIn(view)] }, (_, cell) => {
      const content = contentIn(view, cell);
      const study = content?.study ?? studyIn(view);
      return { content, series: content && study !== null ? this.library.seriesOf(study, content.series).value : null };
    });
  });
  readonly marks: ReadonlySignal<readonly NamedMark[]> = computed(() => marksIn(this.slots.value));
  private readonly known = signal<Sharpness>(NOTHING);
  readonly sharpness: ReadonlySignal<Sharpness> = this.known;
  private readonly changes = new Changes((changes) => this.onChange?.(changes));
  private readonly pool = new DecoderPool();
  private undone: { readonly id: string; readonly before: Mark | null }[] = [];
  readonly canUndo = signal(false);
  private movingTimer: ReturnType<typeof setTimeout> | undefined;
  private countTimer: ReturnType<typeof setTimeout> | null = null;
  private isMoving = false;
  private readonly stopWatching: () => void;
  readonly name: string;
  readonly isSession: boolean;

  constructor({ api, name = "", isSession = false }: ViewerOptions) {
    this.api = api;
    this.name = name;
    this.isSession = isSession;
    this.library = new Library(api, (series) => this.isFromStart(series));
    this.pool.prepare("htj2k");
    this.frames = new Frames(api, this.pool, () => {
      this.library.pictureCame();
      this.came.value += 1;
      this.countSoon();
    });
    this.stopWatching = this.shown.subscribe(() => this.want());
  }

  /** The series in cells with the picture each shows: what is fetched first. */
  readonly shown: ReadonlySignal<readonly Shown[]> = computed(() =>
    this.cells.value.flatMap(({ series }, cell) => {
      if (series?.state !== "ready" || series.value.pictures.length === 0) return [];
      return [{ pictures: series.value.pictures, at: this.indexIn(cell, series.value) }];
    }),
  );

  apply(changes: View): void {
    this.changes.drop(Object.keys(changes));
    this.take(changes);
  }

  view(): View {
    return this.slots.peek();
  }

  /** What this person's hand changes. */
  hand(changes: View): void {
    this.take(changes);
    this.changes.add(changes);
  }

  /** Opens a study and the first of its series that can be drawn. */
  async open(uid: string): Promise<void> {
    this.hand({ study: uid, layout: "1x1" });
    const loading = this.library.study(uid);
    const study = await settled(loading);
    const first = study.series.find(({ modality }) => !["SR", "PR", "KO", "DOC"].includes(modality)) ?? study.series[0];
    if (first && this.study.peek() === uid && contentIn(this.slots.peek(), 0) === null) this.put(0, { series: first.uid });
  }

  put(cell: number, content: CellContent): void {
    const own = content.study === this.study.peek() ? { series: content.series } : content;
    const link = linkIn(this.slots.peek());
    const relinked = link && this.isSamePatient(content.study) ? link.map((anchor, each) => (each === cell ? null : anchor)) : null;
    this.hand({ ...emptied(cell), [`cell.${cell}`]: own, ...(link ? { link: relinked } : {}) });
    this.active.value = cell;
  }

  arrange(layout: LayoutName): void {
    const view = this.slots.peek();
    const changes: Record<string, unknown> = { layout };
    if (layout === "mpr") {
      const content = contentIn(view, this.active.peek()) ?? contentIn(view, 0);
      for (const [cell, plane] of PLANES.entries()) Object.assign(changes, emptied(cell), content ? { [`cell.${cell}`]: { ...plain(content), plane } } : {});
    } else if (layoutIn(view) === "mpr") {
      const content = contentIn(view, 0);
      for (let cell = 0; cell < 3; cell++) Object.assign(changes, emptied(cell));
      if (content) changes["cell.0"] = plain(content);
    }
    this.active.value = layout === "mpr" ? 0 : Math.min(this.active.peek(), CELLS[layout] - 1);
    this.hand(changes);
  }

  /** Index of the picture that a cell shows in its series. */
  indexIn(cell: number, series: Series): number {
    const running = this.running.value.get(cell);
    const at = running ?? Math.round(atIn(this.slots.value, cell) ?? 0);
    return Math.min(series.pictures.length - 1, Math.max(0, at));
  }

  /** The same, without being told of changes. */
  indexNow(cell: number, series: Series): number {
    const at = this.running.peek().get(cell) ?? Math.round(atIn(this.slots.peek(), cell) ?? 0);
    return Math.min(series.pictures.length - 1, Math.max(0, at));
  }

  /** What sort of series a cell shows; null while that is not known. */
  kindIn(cell: number): SeriesKind | null {
    const series = this.cells.value[cell]?.series;
    return series?.state === "ready" ? series.value.kind : null;
  }

  /** Of which study a cell shows something; null while that is not known. */
  headIn(cell: number): StudyHead | null {
    const uid = contentIn(this.slots.value, cell)?.study ?? this.study.value;
    return uid === null ? null : this.headOf(uid);
  }

  headOf(uid: string): StudyHead | null {
    const study = this.library.study(uid).value;
    return study.state === "ready" ? study.value.head : null;
  }

  pictureIn(cell: number): Picture | null {
    const series = this.cells.value[cell]?.series;
    return series?.state === "ready" ? (series.value.pictures[this.indexIn(cell, series.value)] ?? null) : null;
  }

  /** Shows another picture of a cell's series; linked cells go to the same place in the body. */
  go(cell: number, index: number): void {
    const series = this.cells.peek()[cell]?.series;
    if (series?.state !== "ready") return;
    const at = Math.min(series.value.pictures.length - 1, Math.max(0, index));
    this.hand({ [`at.${cell}`]: at, ...this.together(cell, series.value, at) });
  }

  /** Cells that are linked go together from where they stand now. */
  link(isLinked: boolean): void {
    this.hand({ link: isLinked ? this.stands() : null });
  }

  /** Two people's bodies are not gone through together by themselves. */
  private isSamePatient(study: string | undefined): boolean {
    const main = this.study.peek();
    if (study === undefined || study === main || main === null) return true;
    const [one, other] = [this.headOf(main), this.headOf(study)];
    return one !== null && other !== null && kinship(one, other) === "same";
  }

  private stands(): readonly (number | null)[] {
    return this.cells.peek().map(({ series }, cell) => (series?.state === "ready" && series.value.pictures.length > 0 ? this.indexNow(cell, series.value) : null));
  }

  /** Where the others go when one cell goes somewhere. */
  private together(cell: number, series: Series, at: number): Record<string, unknown> {
    const linked = linkIn(this.slots.peek());
    if (!linked || this.layout.peek() === "mpr") return {};
    const stands = this.stands();
    // What came into a cell since goes along from where it stands.
    const isNew = stands.some((stand, each) => stand !== null && (linked[each] ?? null) === null);
    const anchors = isNew ? stands : linked;
    const changes: Record<string, unknown> = isNew ? { link: anchors } : {};
    const anchor = anchors[cell] ?? null;
    this.cells.peek().forEach(({ series: other }, number) => {
      const otherAnchor = anchors[number] ?? null;
      if (number === cell || anchor === null || otherAnchor === null || other?.state !== "ready") return;
      const there = linkedPlace({ series, anchor }, at, { series: other.value, anchor: otherAnchor });
      if (there !== null) changes[`at.${number}`] = there;
    });
    return changes;
  }

  scroll(cell: number, by: number): void {
    const series = this.cells.peek()[cell]?.series;
    if (series?.state === "ready") this.go(cell, this.indexNow(cell, series.value) + by);
  }

  /** Lets a loop run, or stand where it is. */
  cine(cell: number, framesPerSecond: number): void {
    const at = this.running.peek().get(cell);
    this.hand({ [`cine.${cell}`]: framesPerSecond, ...(framesPerSecond === 0 && at !== undefined ? { [`at.${cell}`]: at } : {}) });
  }

  isRunning(cell: number): boolean {
    return cineIn(this.slots.value, cell) > 0;
  }

  /** A loop's next picture, if it has come. */
  step(cell: number, index: number | null): void {
    const next = new Map(this.running.peek());
    if (index === null) next.delete(cell);
    else next.set(cell, index);
    this.running.value = next;
  }

  /** The best of a picture that is there; who asks is told when a better one comes. */
  best(picture: Picture): Best | null {
    return this.came.value >= 0 ? this.frames.get(picture) : null;
  }

  mark(id: string, mark: Mark | null): void {
    this.hand({ [`mark.${id}`]: mark });
  }

  addMark(mark: Omit<Mark, "by" | "text"> & { readonly text?: string }): string {
    const id = crypto.randomUUID();
    this.mark(id, { text: "", ...mark, by: this.name });
    this.remember(id, null);
    return id;
  }

  removeMark(id: string): void {
    const before = this.marks.peek().find((each) => each.id === id);
    if (!before) return;
    this.remember(id, plainMark(before));
    this.mark(id, null);
  }

  /** Takes back what this person did last to measurements: one that was made goes, one that was removed comes back. */
  undo(): void {
    const last = this.undone.pop();
    if (last) this.mark(last.id, last.before);
    this.canUndo.value = this.undone.length > 0;
  }

  /** A cell as it was opened: window, zoom, place. */
  reset(cell: number): void {
    this.hand({ [`window.${cell}`]: null, [`camera.${cell}`]: null });
  }

  dispose(): void {
    this.stopWatching();
    clearTimeout(this.movingTimer);
    if (this.countTimer !== null) clearTimeout(this.countTimer);
    this.changes.close();
    this.frames.close();
    this.pool.close();
    this.library.close();
  }

  private take(changes: View): void {
    const before = this.slots.peek();
    const next = changed(before, changes);
    if (Object.keys(changes).some((name) => name.startsWith("at."))) this.moved();
    if (next.study !== before.study) {
      this.running.value = new Map();
      this.undone = [];
      this.canUndo.value = false;
    }
    this.slots.value = next;
    this.active.value = Math.min(this.active.peek(), CELLS[layoutIn(next)] - 1);
  }

  private moved(): void {
    this.isMoving = true;
    clearTimeout(this.movingTimer);
    this.movingTimer = setTimeout(() => {
      this.isMoving = false;
      this.want();
    }, STANDING_MS);
  }

  /** A cell shows it from its first picture on. */
  private isFromStart(series: string): boolean {
    const view = this.slots.peek();
    return Array.from({ length: CELLS[layoutIn(view)] }, (_, cell) => cell).some((cell) => {
      const content = contentIn(view, cell);
      return content?.series === series && content.plane === undefined && (atIn(view, cell) ?? 0) === 0;
    });
  }

  private want(): void {
    this.frames.want(this.shown.peek(), this.isMoving);
    this.countSoon();
  }

  private countSoon(): void {
    this.countTimer ??= setTimeout(() => {
      this.countTimer = null;
      this.count();
    }, TOLD_SHARPNESS_MS);
  }

  private count(): void {
    const all = new Map(this.shown.peek().flatMap(({ pictures }) => pictures.map((each) => [each.id, each] as const)));
    let preview = 0;
    let sharp = 0;
    for (const picture of all.values()) {
      const best = this.frames.get(picture);
      if (best) preview += 1;
      if (best?.grade === "sharp") sharp += 1;
    }
    const last = this.known.peek();
    if (last.preview !== preview || last.sharp !== sharp || last.total !== all.size) this.known.value = { preview, sharp, total: all.size };
  }

  private remember(id: string, before: Mark | null): void {
    this.undone.push({ id, before });
    this.canUndo.value = true;
  }
}

function emptied(cell: number): Record<string, unknown> {
  return Object.fromEntries(["cell", "at", "window", "camera", "cine"].map((name) => [`${name}.${cell}`, null]));
}

const plain = ({ series, study }: CellContent): CellContent => ({ series, ...(study === undefined ? {} : { study }) });
const plainMark = ({ tool, series, instance, frame, points, text, by }: Mark): Mark => ({ tool, series, instance, frame, points, text, by });

export async function settled<T>(loading: ReadonlySignal<Loading<T>>): Promise<T> {
  return new Promise((resolve, reject) => {
    const stop = loading.subscribe((state) => {
      if (state.state === "loading") return;
      queueMicrotask(() => stop());
      if (state.state === "ready") resolve(state.value);
      else reject(new Error(state.code));
    });
  });
}
