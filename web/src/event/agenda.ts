// Owns what a run of show is (docs/protocol.md, "Events over HTTP"), where it stands, and what going on makes of it. Pure.

export const ITEM_KINDS = ["speech", "consult", "questions", "break"] as const;
export type ItemKind = (typeof ITEM_KINDS)[number];
export type ItemState = "planned" | "now" | "done";

/** Of the run of show. */
export interface AgendaItem {
  readonly id?: string;
  readonly kind: ItemKind;
  readonly title: string;
  readonly point: string | null;
  readonly minutes: number;
  readonly state: ItemState;
}

export interface Agenda {
  readonly version: number;
  readonly items: readonly AgendaItem[];
}

export interface Standing {
  readonly now: AgendaItem | null;
  /** What goes on by one press; null: nothing more comes. */
  readonly next: AgendaItem | null;
}

/** What was passed over stays planned and is not come back to by itself. */
export function standing(items: readonly AgendaItem[]): Standing {
  const reached = items.findIndex(({ state }) => state === "now");
  const passed = reached >= 0 ? reached : items.findLastIndex(({ state }) => state === "done");
  return { now: items[reached] ?? null, next: items.slice(passed + 1).find(({ state }) => state === "planned") ?? null };
}

/** What is going on is done, and what comes next goes on. */
export function goneOn(items: readonly AgendaItem[]): readonly AgendaItem[] {
  const { now, next } = standing(items);
  return items.map((item) => (item === now ? { ...item, state: "done" } : item === next ? { ...item, state: "now" } : item));
}

/** As they are now, but standing where they stood before; what was added since is planned. */
export function stoodAs(items: readonly AgendaItem[], before: readonly AgendaItem[]): readonly AgendaItem[] {
  const states = new Map(before.map(({ id, state }) => [id, state]));
  return items.map((item) => ({ ...item, state: states.get(item.id) ?? (item.state === "now" ? "planned" : item.state) }));
}
