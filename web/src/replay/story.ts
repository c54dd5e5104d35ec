// Owns what the events of a recording tell: who is who, who had the floor, marks, what was written, and where nothing was kept.
// Unknown events are left out. Pure.

import type { RecordedEvent } from "./api";
import type { Stretch } from "./lane";

export interface Person {
  readonly id: string;
  readonly name: string;
  readonly role: string;
  readonly point: string;
}

export interface Mark {
  readonly id: string;
  readonly atMs: number;
  readonly untilMs: number | null;
  readonly name: string;
  readonly text: string;
}

export interface Chapter {
  readonly atMs: number;
  readonly names: readonly string[];
}

/** A line of the log, in words that the page chooses by `kind`. */
export type Entry = {
  readonly atMs: number;
  /** Its place among all lines, which several of one moment share otherwise. */
  readonly number: number;
} & (
  | { readonly kind: "chat"; readonly name: string; readonly text: string }
  | { readonly kind: "joined" | "left" | "paused" | "resumed" | "hand" | "leads" | "studyShown"; readonly name: string }
  | { readonly kind: "floor"; readonly names: readonly string[] }
  | { readonly kind: "agreed" | "declined"; readonly name: string }
  | { readonly kind: "storageFailed" | "storageRecovered" | "ended" | "cut" | "studyClosed" }
);

export interface Story {
  readonly people: ReadonlyMap<string, Person>;
  readonly marks: readonly Mark[];
  readonly chapters: readonly Chapter[];
  readonly entries: readonly Entry[];
  /** Nothing was kept, as somebody wanted. */
  readonly paused: readonly Stretch[];
  /** Something is missing, since the disk failed. */
  readonly lost: readonly Stretch[];
}

export function tell(events: readonly RecordedEvent[], endMs: number): Story {
  const told = new Teller(endMs);
  const timed = events.filter(({ atMs }) => typeof atMs === "number");
  for (const event of timed.sort((a, b) => a.atMs - b.atMs)) told.take(event);
  return told.story();
}

class Teller {
  private readonly people = new Map<string, Person>();
  private readonly marks = new Map<string, Mark>();
  private readonly removed = new Set<string>();
  private readonly chapters: Chapter[] = [];
  private readonly entries: Entry[] = [];
  private readonly paused: Stretch[] = [];
  private readonly lost: Stretch[] = [];
  private hands: readonly string[] = [];
  private pausedSince: number | null = null;
  private failedSince: number | null = null;

  constructor(private readonly endMs: number) {}

  take(event: RecordedEvent): void {
    const { atMs } = event;
    const name = this.name(event);
    switch (event.type) {
      case "participantJoined":
        this.meet(event);
        // Everybody who was there is told of at the beginning; that they came then would be untrue.
        if (atMs > 0 && text(event, "name") !== "") this.add({ kind: "joined", name: text(event, "name") }, atMs);
        break;
      case "participantRenamed":
        this.meet(event);
        break;
      case "participantLeft":
        if (name !== "") this.add({ kind: "left", name }, atMs);
        break;
      case "stageChanged":
        this.floor(texts(event, "stage"), atMs);
        break;
      case "handsChanged":
        this.raise(texts(event, "hands"), atMs);
        break;
      case "leadChanged":
        if ((text(event, "name") || name) !== "") this.add({ kind: "leads", name: text(event, "name") || name }, atMs);
        break;
      case "studyShown":
        if (text(event, "study") === "") this.add({ kind: "studyClosed" }, atMs);
        else this.add({ kind: "studyShown", name: text(event, "name") || name }, atMs);
        break;
      case "chatSent":
        this.add({ kind: "chat", name: text(event, "name") || name, text: text(event, "text") }, atMs);
        break;
      case "markAdded":
        this.mark(event);
        break;
      case "markRemoved":
        this.removed.add(text(event, "mark"));
        break;
      case "consentAnswered":
        this.add({ kind: event.agreed === true ? "agreed" : "declined", name: text(event, "name") || name }, atMs);
        break;
      case "recordingPaused":
        this.pausedSince ??= atMs;
        this.add({ kind: "paused", name: this.nameOf(text(event, "by")) }, atMs);
        break;
      case "recordingResumed":
        if (this.pausedSince !== null) this.paused.push({ fromMs: this.pausedSince, toMs: atMs });
        this.pausedSince = null;
        this.add({ kind: "resumed", name: this.nameOf(text(event, "by")) }, atMs);
        break;
      case "storageFailed":
        this.failedSince ??= atMs;
        this.add({ kind: "storageFailed" }, atMs);
        break;
      case "storageRecovered":
        if (this.failedSince !== null) this.lost.push({ fromMs: this.failedSince, toMs: atMs });
        this.failedSince = null;
        this.add({ kind: "storageRecovered" }, atMs);
        break;
      case "recordingEnded":
        this.add({ kind: event.reason === "salvaged" ? "cut" : "ended" }, atMs);
        break;
    }
  }

  story(): Story {
    const until = Math.max(this.endMs, this.pausedSince ?? 0, this.failedSince ?? 0);
    return {
      people: this.people,
      marks: [...this.marks.values()].filter(({ id }) => !this.removed.has(id)),
      chapters: this.chapters,
      entries: this.entries,
      paused: this.pausedSince === null ? this.paused : [...this.paused, { fromMs: this.pausedSince, toMs: until }],
      lost: this.failedSince === null ? this.lost : [...this.lost, { fromMs: this.failedSince, toMs: until }],
    };
  }

  private add(entry: DistributiveOmit<Entry, "atMs" | "number">, atMs: number): void {
    this.entries.push({ ...entry, atMs, number: this.entries.length });
  }

  private meet(event: RecordedEvent): void {
    const id = text(event, "participant");
    const before = this.people.get(id);
    this.people.set(id, {
      id,
      name: text(event, "name") || (before?.name ?? ""),
      role: text(event, "role") || (before?.role ?? ""),
      point: text(event, "point") || (before?.point ?? ""),
    });
  }

  private floor(stage: readonly string[], atMs: number): void {
    const names = stage.map((id) => this.nameOf(id)).filter((name) => name !== "");
    const last = this.chapters.at(-1);
    if (last?.names.join("\n") === names.join("\n")) return;
    // Several come and go in one moment, as when a session begins: the last word counts.
    if (last !== undefined && atMs - last.atMs < 1_000) this.chapters.pop();
    this.chapters.push({ atMs, names });
    if (atMs > 0) this.add({ kind: "floor", names }, atMs);
  }

  private raise(hands: readonly string[], atMs: number): void {
    for (const id of hands) {
      if (!this.hands.includes(id) && this.nameOf(id) !== "") this.add({ kind: "hand", name: this.nameOf(id) }, atMs);
    }
    this.hands = hands;
  }

  private mark(event: RecordedEvent): void {
    const id = text(event, "mark");
    const untilMs = typeof event.untilMs === "number" ? event.untilMs : null;
    this.marks.set(id, { id, atMs: event.atMs, untilMs, name: text(event, "name"), text: text(event, "text") });
  }

  private name(event: RecordedEvent): string {
    return this.nameOf(text(event, "participant"));
  }

  private nameOf(id: string): string {
    return this.people.get(id)?.name ?? "";
  }
}

type DistributiveOmit<T, K extends PropertyKey> = T extends unknown ? Omit<T, K> : never;

function text(event: RecordedEvent, field: string): string {
  const value = event[field];
  return typeof value === "string" ? value : "";
}

function texts(event: RecordedEvent, field: string): readonly string[] {
  const value = event[field];
  return Array.isArray(value) ? value.filter((one) => typeof one === "string") : [];
}
