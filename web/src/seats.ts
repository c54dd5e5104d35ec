// Owns what a tab keeps over a reload: the seat (link and name) and which devices were on. Kept in the tab only, so that
// a link does not stay on a shared machine; after leaving only this page still knows it, for coming back.

import type { KeyValueStore, SourceWish } from "./captures";
import type { Seat } from "./connection";
import { SOURCES } from "./protocol";

const SEAT_KEY = "bridge.seat";
const SOURCES_KEY = "bridge.sources";

export class Seats {
  #last: Seat | null = null;

  constructor(private readonly tab: KeyValueStore) {}

  keep(seat: Seat): void {
    this.#last = seat;
    this.tab.set(SEAT_KEY, JSON.stringify(seat));
  }

  keepSources(wishes: readonly SourceWish[]): void {
    this.tab.set(SOURCES_KEY, JSON.stringify(wishes));
  }

  keepResumeToken(resumeToken: string): void {
    if (this.#last) this.keep({ ...this.#last, resumeToken });
  }

  rename(name: string): void {
    if (this.#last) this.keep({ ...this.#last, name });
  }

  /** The seat of before a reload. */
  kept(): Seat | null {
    const value = parsed(this.tab.get(SEAT_KEY));
    return isSeat(value) ? value : null;
  }

  sources(): SourceWish[] {
    const value = parsed(this.tab.get(SOURCES_KEY));
    return Array.isArray(value) ? value.filter(isWish) : [];
  }

  /** The seat that was used last, also after a refusal. */
  last(): Seat | null {
    return this.#last;
  }

  /** A reload shall not take the seat back by itself; the person may. */
  rest(): void {
    this.tab.remove(SEAT_KEY);
  }

  forget(): void {
    this.#last = null;
    this.tab.remove(SEAT_KEY);
    this.tab.remove(SOURCES_KEY);
  }
}

function parsed(text: string | null): unknown {
  try {
    return text === null ? null : JSON.parse(text);
  } catch {
    return null;
  }
}

function isSeat(value: unknown): value is Seat {
  const seat = value as Partial<Seat> | null;
  return [seat?.token, seat?.name, seat?.language, seat?.client].every((field) => typeof field === "string");
}

function isWish(value: unknown): value is SourceWish {
  const wish = value as Partial<SourceWish> | null;
  return SOURCES.some((source) => source === wish?.source) && typeof wish?.muted === "boolean";
}
