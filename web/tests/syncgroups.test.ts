import { expect, test } from "vitest";
import type { Role, Source } from "../src/protocol";
import { SyncGroups } from "../src/syncgroups";

const track = (source: Source, role: Role = "satellite", participant = "p") => ({
  id: `${participant}-${source}`,
  participant,
  source,
  role,
});

function pairs(groups: ReadonlyMap<string, string>): string[][] {
  const byGroup = new Map<string, string[]>();
  for (const [id, group] of groups) byGroup.set(group, [...(byGroup.get(group) ?? []), id]);
  return [...byGroup.values()].map((ids) => ids.sort()).sort();
}

test("a satellite's voice goes with its ultrasound, a hub's with the face", () => {
  const groups = new SyncGroups().assign([
    track("microphone"),
    track("camera"),
    track("ultrasound"),
    track("microphone", "hub", "q"),
    track("camera", "hub", "q"),
  ]);
  expect(pairs(groups)).toEqual([["p-camera"], ["p-microphone", "p-ultrasound"], ["q-camera", "q-microphone"]]);
});

test("the ultrasound's own sound comes first", () => {
  const groups = new SyncGroups().assign([track("microphone"), track("ultrasound"), track("ultrasoundSound")]);
  expect(pairs(groups)).toEqual([["p-microphone"], ["p-ultrasound", "p-ultrasoundSound"]]);
});

test("an ultrasound that comes later joins the waiting voice", () => {
  const groups = new SyncGroups();
  groups.assign([track("microphone"), track("camera")]);
  expect(pairs(groups.assign([track("microphone"), track("camera"), track("ultrasound")]))).toEqual([
    ["p-camera"],
    ["p-microphone", "p-ultrasound"],
  ]);
});

test("a pair stays, whatever comes later; a group holds one sound and one picture only", () => {
  const groups = new SyncGroups();
  groups.assign([track("microphone", "hub"), track("camera", "hub")]);
  const later = groups.assign([track("microphone", "hub"), track("camera", "hub"), track("ultrasound", "hub")]);
  expect(pairs(later)).toEqual([["p-camera", "p-microphone"], ["p-ultrasound"]]);
});

test("what is gone is forgotten", () => {
  const groups = new SyncGroups();
  groups.assign([track("microphone"), track("ultrasound")]);
  expect(groups.assign([track("microphone")]).size).toBe(1);
});
