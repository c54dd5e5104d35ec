import { expect, test } from "vitest";
import { changed, difference, ReadingRoom } from "../src/readingroom";
import type { Study } from "../src/protocol";

const study = (uid: string, changes: Partial<Study> = {}): Study => ({
  uid,
  modalities: ["CT"],
  description: "",
  patient: "",
  date: "",
  series: 1,
  instances: 1,
  expected: null,
  arriving: false,
  point: "",
  receivedAt: 0,
  ...changes,
});

function setUp() {
  const told: unknown[] = [];
  const room = new ReadingRoom({
    studyCame: ({ uid }) => told.push(["came", uid]),
    leadChanged: (leader, before) => told.push(["lead", leader, before]),
    leadAsked: (who) => told.push(["asked", who]),
  });
  return { room, told };
}

test("studies stay in their place while they grow, the newest first", () => {
  const { room } = setUp();
  room.hear({ type: "studiesListed", studies: [study("a", { receivedAt: 1 }), study("b", { receivedAt: 2 })] });
  room.hear({ type: "studyChanged", study: study("a", { receivedAt: 1, instances: 7 }) });
  room.hear({ type: "studyChanged", study: study("c", { receivedAt: 3 }) });
  expect(room.studies.value.map(({ uid, instances }) => [uid, instances])).toEqual([
    ["c", 1],
    ["b", 1],
    ["a", 7],
  ]);
});

test("the view is the newest of each slot, null removes, another study empties", () => {
  const { room } = setUp();
  room.hear({ type: "viewChanged", by: "p", changes: { study: "1", "at.0": 1, "mark.a": {} }, whole: true });
  room.hear({ type: "viewChanged", by: "p", changes: { "at.0": 2, "mark.a": null }, whole: false });
  expect(room.view.value).toEqual({ study: "1", "at.0": 2 });
  room.taken({ study: "1", layout: "2x2" });
  expect(room.view.value).toEqual({ study: "1", "at.0": 2, layout: "2x2" });
  room.taken({ study: "2", layout: "1x1" });
  expect(room.view.value).toEqual({ study: "2", layout: "1x1" });
  room.taken({ study: null });
  expect(room.view.value).toEqual({});
  room.hear({ type: "viewChanged", by: null, changes: {}, whole: true });
  expect(room.view.value).toEqual({});
});

test("what is new is told once: a study that comes, who leads, who asks", () => {
  const { room, told } = setUp();
  room.hear({ type: "studiesListed", studies: [study("a")] });
  room.hear({ type: "studyChanged", study: study("a", { arriving: true }) });
  room.hear({ type: "studyChanged", study: study("b", { arriving: true }) });
  room.hear({ type: "studyChanged", study: study("c") });
  room.hear({ type: "readingChanged", leader: "p", asking: ["q"] });
  room.hear({ type: "readingChanged", leader: "p", asking: ["q", "r"] });
  expect(told).toEqual([["came", "b"], ["lead", "p", null], ["asked", "q"], ["asked", "r"]]);
});

test.each([
  [{}, {}],
  [{ study: "1", "at.0": 1 }, { study: "1", "at.0": 2 }],
  [{ study: "1", "mark.a": { points: [[1, 2, 3]] } }, { study: "1", "window.0": [40, 400, 0] }],
  [{ study: "1", "at.0": 1 }, { study: "2", "at.0": 1 }],
  [{ study: "1", "at.0": 1 }, {}],
])("the difference of %j and %j leads from the one to the other", (from, to) => {
  const changes = difference(from, to);
  expect(changed(from, changes)).toEqual(to);
  expect(Object.keys(difference(to, to))).toEqual([]);
});
