// Owns a run of show while it is written: what was changed since the server's version, clock times, and whose version wins.
// Pure but for the one signal of `Draft`.

import { computed, signal } from "@preact/signals";
import type { ReadonlySignal } from "@preact/signals";
import type { Agenda, AgendaItem } from "./model";

/** As the server has them. */
export const ITEMS_MAX = 100;
export const TITLE_MAX_CHARACTERS = 200;
export const MINUTES_MAX = 1440;

const MINUTE_MS = 60_000;

/** An item with a name that stays while it is moved and before the server gave it an id. */
export interface Row extends AgendaItem {
  readonly key: string;
}

interface State {
  /** What was last loaded or saved. */
  readonly base: Agenda;
  readonly rows: readonly Row[];
  /** A newer version of the server, which was not expected. */
  readonly theirs: Agenda | null;
}

/** One for as long as the page is open, so that another tab of it loses nothing. */
export class Draft {
  private readonly state;
  private made = 0;
  readonly rows: ReadonlySignal<readonly Row[]>;
  readonly theirs: ReadonlySignal<Agenda | null>;
  readonly isDirty: ReadonlySignal<boolean>;

  constructor(agenda: Agenda) {
    this.state = signal<State>({ base: agenda, rows: this.rowsOf(agenda.items), theirs: null });
    this.rows = computed(() => this.state.value.rows);
    this.theirs = computed(() => this.state.value.theirs);
    this.isDirty = computed(() => !sameItems(this.state.value.base.items, this.state.value.rows));
  }

  get version(): number {
    return this.state.peek().base.version;
  }

  put(rows: readonly Row[]): void {
    this.state.value = { ...this.state.peek(), rows };
  }

  newRow(item: AgendaItem): Row {
    return { ...item, key: `new${++this.made}` };
  }

  /** What the server has now. Nobody's words are lost: where something was written here, it becomes a question. */
  hear(agenda: Agenda): void {
    const { base, rows } = this.state.peek();
    if (agenda.version <= base.version) return;
    if (this.isDirty.peek() && !sameItems(agenda.items, rows)) this.state.value = { base, rows, theirs: agenda };
    else this.take(agenda);
  }

  /** Theirs instead of what was written here. */
  take(agenda: Agenda): void {
    this.state.value = { base: agenda, rows: this.rowsOf(agenda.items), theirs: null };
  }

  /** `sent` was saved and is `agenda` now, with ids; what was written while it was on its way stays, unsaved. */
  saved(sent: readonly Row[], agenda: Agenda): void {
    const known = new Map(sent.map(({ key }, index) => [key, agenda.items[index]]));
    const rows = this.state.peek().rows.map((row): Row => {
      const item = known.get(row.key);
      if (item === undefined) return row;
      return sent.includes(row) ? { ...item, key: row.key } : { ...row, ...(item.id === undefined ? {} : { id: item.id }) };
    });
    this.state.value = { base: agenda, rows, theirs: null };
  }

  /** What was written here is to replace theirs; what is going on and done is as they say. */
  keep(): void {
    const { rows, theirs } = this.state.peek();
    if (theirs === null) return;
    const states = new Map(theirs.items.map(({ id, state }) => [id, state]));
    this.state.value = {
      base: theirs,
      rows: rows.map((row) => ({ ...row, state: (row.id === undefined ? undefined : states.get(row.id)) ?? row.state })),
      theirs: null,
    };
  }

  private rowsOf(items: readonly AgendaItem[]): readonly Row[] {
    return items.map((item) => ({ ...item, key: item.id ?? `new${++this.made}` }));
  }
}

export function itemOf({ id, kind, title, point, minutes, state }: AgendaItem): AgendaItem {
  return { ...(id === undefined ? {} : { id }), kind, title, point, minutes, state };
}

function sameItems(a: readonly AgendaItem[], b: readonly AgendaItem[]): boolean {
  return JSON.stringify(a.map(itemOf)) === JSON.stringify(b.map(itemOf));
}

/** The row at `from` stands at `to` afterwards; the same list where that is no place. */
export function moved(rows: readonly Row[], from: number, to: number): readonly Row[] {
  const row = rows[from];
  if (row === undefined || to < 0 || to >= rows.length || from === to) return rows;
  const others = rows.filter((_, index) => index !== from);
  return [...others.slice(0, to), row, ...others.slice(to)];
}

export function totalMinutes(items: readonly AgendaItem[]): number {
  return items.reduce((sum, { minutes }) => sum + minutes, 0);
}

export interface Span {
  /** Since the beginning of the event, in minutes. */
  readonly beginMin: number;
  /** On the clock; null while nobody said when the event begins. */
  readonly beginsAt: number | null;
}

/** When each begins if all take as long as planned. */
export function spans(items: readonly AgendaItem[], startsAt: number | null): readonly Span[] {
  let beginMin = 0;
  return items.map(({ minutes }) => {
    const span = { beginMin, beginsAt: startsAt === null ? null : startsAt + beginMin * MINUTE_MS };
    beginMin += minutes;
    return span;
  });
}

/** Hours and minutes: 0:05, 1:30. */
export function hoursAndMinutes(minutes: number): string {
  return `${Math.floor(minutes / 60)}:${String(minutes % 60).padStart(2, "0")}`;
}
