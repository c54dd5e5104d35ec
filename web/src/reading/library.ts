// Owns the studies and series that are open in this browser, each asked for once. What could not be had says why, and can be asked for again.

import { signal } from "@preact/signals";
import type { Signal } from "@preact/signals";
import { ApiError } from "../api";
import type { ErrorCode } from "../protocol";
import type { StudyApi } from "./loading/api";
import type { Series, SeriesHead, StudyHead } from "./model";

export interface OpenStudy {
  readonly head: StudyHead;
  readonly series: readonly SeriesHead[];
}

export type Loading<T> = { readonly state: "loading" } | { readonly state: "ready"; readonly value: T } | { readonly state: "failed"; readonly code: ErrorCode | "network" };

const LOADING = { state: "loading" } as const;

export class Library {
  private readonly studies = new Map<string, Signal<Loading<OpenStudy>>>();
  private readonly series = new Map<string, Signal<Loading<Series>>>();
  private readonly pictures = new Map<string, Promise<string | null>>();

  constructor(private readonly api: StudyApi) {}

  study(uid: string): Signal<Loading<OpenStudy>> {
    return asked(this.studies, uid, () => this.openStudy(uid));
  }

  seriesOf(study: string, uid: string): Signal<Loading<Series>> {
    return asked(this.series, `${study}/${uid}`, () => this.openSeries(study, uid));
  }

  /** What could not be had is asked for once more. */
  again(): void {
    for (const [uid, place] of this.studies) retry(place, () => this.openStudy(uid));
    for (const [key, place] of this.series) {
      const [study = "", uid = ""] = key.split("/");
      retry(place, () => this.openSeries(study, uid));
    }
  }

  /** The study grew: what is known of it is asked for anew, and stays until then. Returns whether all of it came. */
  async refresh(uid: string): Promise<boolean> {
    const open = this.studies.get(uid);
    if (!open) return true;
    try {
      const next = await this.openStudy(uid);
      await Promise.all(
        next.series.map(async (head) => {
          const shown = this.series.get(`${uid}/${head.uid}`);
          const known = shown?.peek();
          if (shown && known?.state === "ready" && known.value.instances !== head.instances) {
            shown.value = { state: "ready", value: await this.api.open(head) };
          }
        }),
      );
      const before = open.peek();
      const had = before.state === "ready" ? before.value.series : [];
      // Of a series that held nothing there was no small picture.
      for (const head of had) if (head.instances === 0) this.pictures.delete(`${uid}/${head.uid}`);
      open.value = { state: "ready", value: next };
      return true;
    } catch {
      return false;
    }
  }

  /** An address of the series' small picture; null where there is none. */
  thumbnail(study: string, series: string): Promise<string | null> {
    const key = `${study}/${series}`;
    let made = this.pictures.get(key);
    if (!made) {
      made = this.api.thumbnail(study, series, AbortSignal.timeout(30_000)).then(
        (blob) => URL.createObjectURL(blob),
        () => null,
      );
      this.pictures.set(key, made);
    }
    return made;
  }

  close(): void {
    for (const made of this.pictures.values()) void made.then((address) => address !== null && URL.revokeObjectURL(address));
    this.pictures.clear();
  }

  private async openSeries(study: string, uid: string): Promise<Series> {
    const known = this.studies.get(study)?.peek();
    const heads = known?.state === "ready" ? known.value.series : await this.api.series(study);
    const head = heads.find((each) => each.uid === uid);
    if (!head) throw new ApiError("notFound", "no such series");
    return this.api.open(head);
  }

  private async openStudy(uid: string): Promise<OpenStudy> {
    const [head, series] = await Promise.all([this.api.study(uid), this.api.series(uid)]);
    return { head, series };
  }
}

function asked<T>(known: Map<string, Signal<Loading<T>>>, key: string, ask: () => Promise<T>): Signal<Loading<T>> {
  let one = known.get(key);
  if (!one) {
    one = signal<Loading<T>>(LOADING);
    known.set(key, one);
    fill(one, ask);
  }
  return one;
}

function fill<T>(place: Signal<Loading<T>>, ask: () => Promise<T>): void {
  ask().then(
    (value) => (place.value = { state: "ready", value }),
    (error: unknown) => (place.value = { state: "failed", code: error instanceof ApiError ? error.code : "internal" }),
  );
}

function retry<T>(place: Signal<Loading<T>>, ask: () => Promise<T>): void {
  if (place.peek().state !== "failed") return;
  place.value = LOADING;
  fill(place, ask);
}
