// Tests src/event/agenda.ts: where a run of show stands, and that going on skips nothing and comes back.

import { expect, test } from "vitest";
import { goneOn, standing, stoodAs } from "../src/event/agenda";
import type { AgendaItem, ItemState } from "../src/event/agenda";

const show = (...states: readonly ItemState[]): readonly AgendaItem[] =>
  states.map((state, index) => ({ id: `i${index}`, kind: "speech", title: `Item ${index}`, point: null, minutes: 5, state }));
const states = (items: readonly AgendaItem[]): readonly ItemState[] => items.map(({ state }) => state);
const stands = (items: readonly AgendaItem[]) => [standing(items).now?.id ?? null, standing(items).next?.id ?? null];

test.each([
  [["planned", "planned"], [null, "i0"]],
  [["now", "planned"], ["i0", "i1"]],
  [["done", "now"], ["i1", null]],
  [["done", "done"], [null, null]],
  [["done", "planned", "planned"], [null, "i1"]],
  // Passed over.
  [["planned", "now", "planned"], ["i1", "i2"]],
  [[], [null, null]],
] as const)("a run of show of %j stands at %j", (given, expected) => {
  expect(stands(show(...given))).toEqual(expected);
});

test("going on takes one item after the other to the end, and further nowhere", () => {
  let items = show("planned", "planned");
  const seen = [states(items)];
  for (let i = 0; i < 4; i += 1) {
    items = goneOn(items);
    seen.push(states(items));
  }
  expect(seen).toEqual([
    ["planned", "planned"],
    ["now", "planned"],
    ["done", "now"],
    ["done", "done"],
    ["done", "done"],
  ]);
});

test("taken back, it stands as before, and what another organiser added meanwhile stays", () => {
  const before = show("now", "planned");
  const [first, second] = goneOn(before);
  const added = { ...show("planned")[0], id: "new", title: "Added" } as AgendaItem;
  const now = [first, added, { ...second, title: "Renamed" } as AgendaItem].filter((item) => item !== undefined);
  const back = stoodAs(now, before);
  expect(back.map(({ id, state }) => [id, state])).toEqual([
    ["i0", "now"],
    ["new", "planned"],
    ["i1", "planned"],
  ]);
  expect(back[2]?.title).toBe("Renamed");
});

test("taken back while an added item goes on, at most one goes on", () => {
  const before = show("now");
  const added = { ...show("now")[0], id: "new" } as AgendaItem;
  expect(states(stoodAs([...goneOn(before), added], before))).toEqual(["now", "planned"]);
});
