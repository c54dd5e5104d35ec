// Tests src/event/tiles.ts: the points of the wall, their groups, and what search and filters find.

import { expect, test } from "vitest";
import { found, grouped, passes, placeOf, steady, tilesOf } from "../src/event/tiles";
import type { ListedPoint, TilesWish } from "../src/event/tiles";
import type { Participant } from "../src/protocol";
import { participant } from "./fakes";

const person = (id: string, point: string, changes: Partial<Participant> = {}): Participant =>
  participant(id, { role: "satellite", name: `Nurse ${id}`, point, quality: 3, ...changes });

const PEOPLE = [
  participant("hub", { role: "hub" }),
  person("a", "Sơn La, Mộc Châu"),
  person("b", "Sơn La, Yên Châu", { quality: 1 }),
  person("c", "Đắk Lắk — Buôn Hồ", { connected: false }),
  person("d", "Trạm 5"),
  participant("v", { role: "viewer" }),
];

const wish = (changes: Partial<TilesWish> = {}): TilesWish => ({
  ...{ participants: PEOPLE, tracks: [], stage: ["hub"], hands: [], cue: null, listed: [] },
  ...changes,
});

test("points stand by province, those without one at the end", () => {
  const groups = grouped(tilesOf(wish()), "vi");
  expect(groups.map(({ name, here, tiles }) => [name, here, tiles.map(({ id }) => id)])).toEqual([
    ["Đắk Lắk", 0, ["c"]],
    ["Sơn La", 2, ["a", "b"]],
    ["", 1, ["d"]],
  ]);
});

test("a viewer has a tile only while it asks for something or is shown", () => {
  expect(tilesOf(wish()).some(({ id }) => id === "v")).toBe(false);
  expect(tilesOf(wish({ hands: ["v"] })).find(({ id }) => id === "v")?.hand).toBe(1);
  expect(tilesOf(wish({ cue: "v" })).find(({ id }) => id === "v")?.next).toBe(true);
});

test("points of the list that are not here are told, the others take their places from it", () => {
  const listed: ListedPoint[] = [
    { id: "1", province: "Hà Giang", organisation: "BV", name: "Phòng 2", participant: "a" },
    { id: "2", province: "Cà Mau", organisation: "", name: "Năm Căn", participant: null },
    { id: "3", province: "Cà Mau", organisation: "", name: "U Minh", participant: "gone" },
  ];
  const tiles = tilesOf(wish({ listed }));
  expect(tiles.find(({ id }) => id === "a")).toMatchObject({ group: "Hà Giang", title: "BV, Phòng 2", here: true });
  expect(tiles.filter(({ here }) => !here).map(({ title }) => title)).toEqual(["Năm Căn", "U Minh"]);
});

test.each<[string, string, string]>([
  ["Sơn La, Mộc Châu, phòng 2", "Sơn La", "Mộc Châu, phòng 2"],
  ["Sơn La — Mộc Châu, phòng 2", "Sơn La", "Mộc Châu, phòng 2"],
  ["Bà Rịa-Vũng Tàu", "", "Bà Rịa-Vũng Tàu"],
  ["", "", ""],
])("%s is in %s", (point, province, name) => {
  expect(placeOf(point)).toEqual({ province, organisation: "", name });
});

test.each<[string, string[]]>([
  ["", ["a", "b", "c", "d"]],
  ["moc chau", ["a"]],
  ["CHÂU la", ["a", "b"]],
  ["dak lak", ["c"]],
  ["nurse 5", ["d"]],
  ["nowhere", []],
])("searching for %j finds %j", (search, ids) => {
  expect(tilesOf(wish()).filter((tile) => found(tile, search)).map(({ id }) => id)).toEqual(ids);
});

test("filters", () => {
  const tiles = tilesOf(wish({ hands: ["b"], stage: ["hub", "a"], cue: "d" }));
  const ids = (filter: Parameters<typeof passes>[1]) => tiles.filter((tile) => passes(tile, filter)).map(({ id }) => id);
  expect(ids("hands")).toEqual(["b"]);
  expect(ids("here")).toEqual(["a", "b", "d"]);
  expect(ids("trouble")).toEqual(["b", "c"]);
  expect(ids("stage")).toEqual(["a", "d"]);
});

test("a tile that did not change stays the same object", () => {
  const before = tilesOf(wish());
  const now = steady(before, tilesOf(wish({ hands: ["b"] })));
  expect(now.map((tile, index) => tile === before[index])).toEqual([true, false, true, true]);
});
