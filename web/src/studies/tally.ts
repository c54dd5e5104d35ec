// Owns counting one sending: what has come over, of which study, how fast, and how long the rest takes. Times are arguments.

import { signal } from "@preact/signals";
import type { ReadonlySignal } from "@preact/signals";
import type { FoundStudy, Picture } from "./findings";
import type { Refused } from "./transfer";

export interface StudyState {
  readonly uid: string;
  readonly total: number;
  /** They are there, by this sending or before. */
  readonly arrived: number;
  readonly refused: number;
}

export interface Progress {
  readonly total: number;
  readonly arrived: number;
  /** Of those, what was there before. */
  readonly before: number;
  readonly bytes: number;
  readonly arrivedBytes: number;
  readonly bytesPerS: number | null;
  readonly leftS: number | null;
}

export interface NotKept {
  readonly path: string;
  readonly why: Exclude<Refused["why"], "again">;
}

const SPEED_WINDOW_MS = 15_000;

export class Tally {
  private readonly progresses = signal<Progress>({ total: 0, arrived: 0, before: 0, bytes: 0, arrivedBytes: 0, bytesPerS: null, leftS: null });
  private readonly byStudy = signal<readonly StudyState[]>([]);
  private readonly lost = signal<readonly NotKept[]>([]);

  readonly progress: ReadonlySignal<Progress> = this.progresses;
  readonly studies: ReadonlySignal<readonly StudyState[]> = this.byStudy;
  readonly notKept: ReadonlySignal<readonly NotKept[]> = this.lost;

  private readonly bytes: number;
  private before = 0;
  private doneBytes = 0;
  /** Of objects that are under way. */
  private readonly parts = new Map<Picture, number>();
  private sentBytes = 0;
  private history: { readonly atMs: number; readonly bytes: number }[] = [];

  constructor(found: readonly FoundStudy[]) {
    this.bytes = found.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);
    this.byStudy.value = found.map(({ uid, pictures }) => ({ uid, total: pictures.length, arrived: 0, refused: 0 }));
    this.tell();
  }

  there(study: string, pictures: readonly Picture[]): void {
    this.before += pictures.length;
    for (const { source } of pictures) this.doneBytes += source.sizeBytes;
    this.count(study, pictures.length, 0);
  }

  part(picture: Picture, bytes: number, nowMs: number): void {
    this.note(bytes - (this.parts.get(picture) ?? 0), nowMs);
    this.parts.set(picture, bytes);
    this.tell();
  }

  kept(picture: Picture, nowMs: number): void {
    this.note(picture.source.sizeBytes - (this.parts.get(picture) ?? 0), nowMs);
    this.parts.delete(picture);
    this.doneBytes += picture.source.sizeBytes;
    this.count(picture.header.study, 1, 0);
  }

  /** All of one study. */
  refused(study: string, pictures: readonly Picture[], why: NotKept["why"]): void {
    for (const picture of pictures) {
      this.parts.delete(picture);
      this.doneBytes += picture.source.sizeBytes;
    }
    this.lost.value = this.lost.peek().concat(pictures.map(({ source }) => ({ path: source.path, why })));
    this.count(study, 0, pictures.length);
  }

  /** What came before a pause says nothing of the speed after it. */
  rested(): void {
    this.history = [];
  }

  private count(uid: string, arrived: number, refused: number): void {
    this.byStudy.value = this.byStudy
      .peek()
      .map((study) => (study.uid === uid ? { ...study, arrived: study.arrived + arrived, refused: study.refused + refused } : study));
    this.tell();
  }

  private note(bytes: number, nowMs: number): void {
    this.sentBytes += Math.max(0, bytes);
    this.history.push({ atMs: nowMs, bytes: this.sentBytes });
    while (this.history.length > 2 && nowMs - (this.history[0]?.atMs ?? nowMs) > SPEED_WINDOW_MS) this.history.shift();
  }

  private tell(): void {
    const studies = this.byStudy.peek();
    const arrivedBytes = Array.from(this.parts.values()).reduce((sum, bytes) => sum + bytes, this.doneBytes);
    const bytesPerS = this.speed();
    this.progresses.value = {
      total: studies.reduce((sum, { total }) => sum + total, 0),
      arrived: studies.reduce((sum, { arrived }) => sum + arrived, 0),
      before: this.before,
      bytes: this.bytes,
      arrivedBytes: Math.min(this.bytes, arrivedBytes),
      bytesPerS,
      leftS: bytesPerS !== null && bytesPerS > 0 ? Math.max(0, this.bytes - arrivedBytes) / bytesPerS : null,
    };
  }

  private speed(): number | null {
    const [first] = this.history;
    const last = this.history.at(-1);
    if (first === undefined || last === undefined || last.atMs <= first.atMs) return null;
    return ((last.bytes - first.bytes) * 1000) / (last.atMs - first.atMs);
  }
}
