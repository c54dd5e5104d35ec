// Owns what is asked for once by name, kept while somebody looks at it and some of it for a while after. Knows no study.

import { signal } from "@preact/signals";
import { ApiError } from "../../api";
import type { Signal } from "@preact/signals";
import type { ErrorCode } from "../../protocol";

export type Loading<T> = { readonly state: "loading" } | { readonly state: "ready"; readonly value: T } | { readonly state: "failed"; readonly code: ErrorCode | "network" };

export interface Keeping<T> {
  ask(name: string, signal: AbortSignal): Promise<T>;
  /** How much of the limit it takes once nobody looks at it. */
  weigh(value: T): number;
  readonly limit: number;
  /** It is no longer kept. */
  gone?(name: string): void;
}

interface Place<T> {
  readonly shown: Signal<Loading<T>>;
  stop: AbortController;
  answer: Promise<T>;
  isWatched: boolean;
}

const LOADING = { state: "loading" } as const;
/** Who looks away for so long does not come back at once, as a page does that is drawn anew. */
const AWAY_MS = 1_000;

export class Places<T> {
  /** Those looked at last come last. */
  private readonly all = new Map<string, Place<T>>();
  private isClosed = false;

  constructor(private readonly keeping: Keeping<T>) {}

  at(name: string): Signal<Loading<T>> {
    return this.place(name).shown;
  }

  /** The same for who waits. Rejects with ApiError. */
  answer(name: string): Promise<T> {
    return this.place(name).answer;
  }

  /** What is there. */
  known(name: string): T | null {
    const now = this.all.get(name)?.shown.peek();
    return now?.state === "ready" ? now.value : null;
  }

  put(name: string, value: T): void {
    const place = this.all.get(name);
    if (place) place.shown.value = { state: "ready", value };
  }

  /** What could not be had is asked for once more. */
  again(): void {
    for (const [name, place] of this.all) if (place.shown.peek().state === "failed") this.fill(name, place);
  }

  close(): void {
    this.isClosed = true;
    for (const { stop } of this.all.values()) stop.abort();
    this.all.clear();
  }

  private place(name: string): Place<T> {
    const known = this.all.get(name);
    if (known) return known;
    const place: Place<T> = {
      shown: signal<Loading<T>>(LOADING, {
        watched: () => this.look(name, place),
        unwatched: () => this.lookAway(name, place),
      }),
      stop: new AbortController(),
      answer: Promise.reject(new ApiError("network", "not asked for")),
      isWatched: false,
    };
    this.all.set(name, place);
    this.fill(name, place);
    return place;
  }

  private fill(name: string, place: Place<T>): void {
    place.answer.catch(() => undefined);
    const stop = new AbortController();
    place.stop = stop;
    place.shown.value = LOADING;
    place.answer = this.keeping.ask(name, stop.signal);
    place.answer.then(
      (value) => {
        if (stop.signal.aborted) return;
        place.shown.value = { state: "ready", value };
        this.trim();
      },
      (error: unknown) => {
        if (!stop.signal.aborted) place.shown.value = { state: "failed", code: error instanceof ApiError ? error.code : "internal" };
      },
    );
  }

  private look(name: string, place: Place<T>): void {
    place.isWatched = true;
    if (this.isClosed || this.all.has(name)) return;
    // It was let go of, and is wanted again by who has kept it.
    this.all.set(name, place);
    if (place.shown.peek().state === "loading") this.fill(name, place);
  }

  private lookAway(name: string, place: Place<T>): void {
    place.isWatched = false;
    if (this.all.get(name) !== place) return;
    this.all.delete(name);
    this.all.set(name, place);
    setTimeout(() => {
      if (place.isWatched || this.all.get(name) !== place) return;
      if (place.shown.peek().state === "loading") this.drop(name, place);
      this.trim();
    }, AWAY_MS);
  }

  private trim(): void {
    let left = this.keeping.limit;
    for (const [name, place] of [...this.all].reverse()) {
      const now = place.shown.peek();
      if (place.isWatched || now.state !== "ready") continue;
      left -= this.keeping.weigh(now.value);
      if (left < 0) this.drop(name, place);
    }
  }

  private drop(name: string, place: Place<T>): void {
    place.stop.abort();
    this.all.delete(name);
    this.keeping.gone?.(name);
  }
}
