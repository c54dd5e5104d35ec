// Tests src/pages/event/draft.ts: a run of show that is written by one or two at once.

import { expect, test } from "vitest";
import { Draft, hoursAndMinutes, itemOf, moved, spans, totalMinutes } from "../src/pages/event/draft";
import type { AgendaItem } from "../src/pages/event/model";

function item(id: string, more: Partial<AgendaItem> = {}): AgendaItem {
  return { id, kind: "speech", title: `Item ${id}`, point: null, minutes: 10, state: "planned", ...more };
}

const agenda = (version: number, ...items: AgendaItem[]) => ({ version, items });
const order = (draft: Draft) => draft.rows.value.map(({ key }) => key);

test.each([
  [0, 2, "bca"],
  [2, 0, "cab"],
  [1, 1, "abc"],
  [0, -1, "abc"],
  [2, 3, "abc"],
  [7, 0, "abc"],
])("the row at %i moved to %i gives %s", (from, to, expected) => {
  const { rows } = new Draft(agenda(1, item("a"), item("b"), item("c")));
  expect(moved(rows.value, from, to).map(({ key }) => key).join("")).toBe(expected);
});

test("each item begins when those before are over", () => {
  const items = [item("a", { minutes: 5 }), item("b", { minutes: 90 }), item("c", { minutes: 0 })];
  expect(spans(items, 600_000).map(({ beginsAt }) => beginsAt)).toEqual([600_000, 900_000, 6_300_000]);
  expect(spans(items, null)).toEqual([
    { beginMin: 0, beginsAt: null },
    { beginMin: 5, beginsAt: null },
    { beginMin: 95, beginsAt: null },
  ]);
  expect(hoursAndMinutes(totalMinutes(items))).toBe("1:35");
});

test("it is unsaved only while it says something else than the server", () => {
  const draft = new Draft(agenda(1, item("a"), item("b")));
  draft.put(moved(draft.rows.value, 0, 1));
  expect(draft.isDirty.value).toBe(true);
  draft.put(moved(draft.rows.value, 0, 1));
  expect(draft.isDirty.value).toBe(false);
});

test("what goes to the server has no names of the page's own", () => {
  const draft = new Draft(agenda(0));
  const fresh: AgendaItem = { kind: "break", title: "Tea", point: null, minutes: 15, state: "planned" };
  draft.put([draft.newRow(fresh)]);
  expect(draft.rows.value.map(itemOf)).toEqual([fresh]);
});

test("a newer version is taken where nothing was written, an older one never", () => {
  const draft = new Draft(agenda(2, item("a")));
  draft.hear(agenda(1, item("old")));
  expect(order(draft)).toEqual(["a"]);
  draft.hear(agenda(3, item("b")));
  expect(order(draft)).toEqual(["b"]);
  expect(draft.version).toBe(3);
  expect(draft.theirs.value).toBe(null);
});

test("a newer version is a question where something was written, and nothing is lost", () => {
  const draft = new Draft(agenda(1, item("a")));
  draft.put([]);
  draft.hear(agenda(2, item("a"), item("b")));
  expect(order(draft)).toEqual([]);
  expect(draft.theirs.value?.version).toBe(2);
  expect(draft.version).toBe(1);
});

test("a newer version that says the same as was written is no question", () => {
  const draft = new Draft(agenda(1, item("a"), item("b")));
  draft.put(moved(draft.rows.value, 0, 1));
  draft.hear(agenda(2, item("b"), item("a")));
  expect([draft.theirs.value, draft.isDirty.value, draft.version]).toEqual([null, false, 2]);
});

test("what is kept replaces theirs, but what is going on is as they say", () => {
  const draft = new Draft(agenda(1, item("a"), item("b")));
  draft.put([...draft.rows.value].reverse());
  draft.hear(agenda(2, item("a", { state: "done" }), item("b", { state: "now" })));
  draft.keep();
  expect(draft.version).toBe(2);
  expect(draft.theirs.value).toBe(null);
  expect(draft.rows.value.map(({ id, state }) => [id, state])).toEqual([
    ["b", "now"],
    ["a", "done"],
  ]);
});

test("what is written while it is being saved stays and is unsaved, with the ids of what was saved", () => {
  const draft = new Draft(agenda(1, item("a")));
  const added = draft.newRow({ kind: "speech", title: "New", point: null, minutes: 5, state: "planned" });
  draft.put([...draft.rows.value, added]);
  const sent = draft.rows.value;
  draft.put(sent.map((row) => (row === added ? { ...row, title: "New, and longer" } : row)));
  draft.saved(sent, agenda(2, item("a"), item("b", { title: "New", minutes: 5 })));
  expect(draft.rows.value.map(({ id, title }) => [id, title])).toEqual([
    ["a", "Item a"],
    ["b", "New, and longer"],
  ]);
  expect(draft.isDirty.value).toBe(true);
  expect(draft.version).toBe(2);
  // An open form is of the same row still.
  expect(order(draft)).toEqual(["a", added.key]);
});

test("what was saved and not touched meanwhile is as the server has it", () => {
  const draft = new Draft(agenda(1, item("a", { title: "Before" })));
  draft.put(draft.rows.value.map((row) => ({ ...row, title: " After " })));
  draft.saved(draft.rows.value, agenda(2, item("a", { title: "After" })));
  expect(draft.isDirty.value).toBe(false);
  expect(draft.rows.value[0]?.title).toBe("After");
});
