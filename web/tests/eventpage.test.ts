// Tests src/pages/event: its points by province, lists from files, what a deed takes back, tabs in the address, codes, moments.

import { beforeAll, expect, test, vi } from "vitest";
import { ApiError } from "../src/api";
import { startLanguage } from "../src/i18n";
import type { EventApi } from "../src/pages/event/api";
import { createEventApi } from "../src/pages/event/api";
import { Deeds } from "../src/pages/event/deeds";
import { changePoint, differences, takeSheet, withLoad } from "../src/pages/event/editing";
import { byProvince, countsOf, found, sameFields, shownName } from "../src/pages/event/model";
import type { EventFacts, EventPoint } from "../src/pages/event/model";
import { qrCode } from "../src/pages/event/qr";
import { isWorkbook, linesOf, missing, template } from "../src/pages/event/sheet";
import { tabOf, withTab } from "../src/pages/event/tabs";
import { fromLocalField, toLocalField } from "../src/pages/event/when";
import type { InviteId, ParticipantId } from "../src/protocol";

beforeAll(async () => {
  await startLanguage(null, ["en"]);
});

function point(id: string, more: Partial<EventPoint> = {}): EventPoint {
  return {
    id,
    province: "Sơn La",
    organisation: `Bệnh viện ${id}`,
    name: "Phòng siêu âm",
    contact: "",
    invite: `i${id}` as InviteId,
    participant: `p${id}` as ParticipantId,
    expiresAt: 0,
    revoked: false,
    connected: false,
    check: null,
    ...more,
  };
}

function eventOf(points: readonly EventPoint[]): EventFacts {
  return {
    session: "s1",
    title: "Khai trương",
    state: "open",
    startsAt: null,
    points,
    agenda: { version: 0, items: [] },
    pointsUploadedAt: null,
  };
}

test("provinces stand by name whatever their case, those of none at the end", () => {
  const groups = byProvince(
    [point("1", { province: "" }), point("2", { province: "Điện Biên" }), point("3"), point("10", { province: "SƠN LA" }), point("2b", { province: "An Giang" })],
    "vi",
  );
  expect(groups.map(({ name, points }) => [name, points.map(({ id }) => id)])).toEqual([
    ["An Giang", ["2b"]],
    ["Điện Biên", ["2"]],
    ["Sơn La", ["3", "10"]],
    ["", ["1"]],
  ]);
  expect(countsOf([point("1"), point("2", { province: "SƠN LA", connected: true }), point("3", { province: "" })])).toEqual({
    points: 3,
    provinces: 1,
    connected: 1,
    checked: 0,
  });
});

test.each([
  ["son la sieu am", true],
  ["SƠN", true],
  ["benh vien 7", true],
  ["0912", true],
  ["", true],
  ["son la noi soi", false],
])("a search for %j finds the point: %s", (words, finds) => {
  expect(found(point("7", { contact: "Bs. Lan, 0912" }), words)).toBe(finds);
});

test.each([
  ["Bệnh viện Mộc Châu", "Phòng siêu âm", "Bệnh viện Mộc Châu, Phòng siêu âm"],
  ["Mộc Châu", "Bệnh viện MỘC CHÂU", "Bệnh viện MỘC CHÂU"],
  ["", "Hội trường", "Hội trường"],
  ["Bệnh viện", "", "Bệnh viện"],
])("a point of %j named %j is shown as %j, as the server does", (organisation, name, shown) => {
  expect(shownName({ province: "", organisation, name, contact: "" })).toBe(shown);
});

test("a change of letters' case is a change, though the point is the same", () => {
  expect(sameFields(point("1"), point("1"))).toBe(true);
  expect(sameFields(point("1"), point("1", { name: "PHÒNG SIÊU ÂM" }))).toBe(false);
  expect(sameFields(point("1"), point("1", { contact: "Lan" }))).toBe(false);
});

test("what a list does not name is known before it is asked to be removed", () => {
  const row = { line: 2, change: "unchanged" as const, province: "SƠN LA", organisation: "bệnh viện 1", name: "phòng siêu âm", contact: "" };
  expect(missing([point("1"), point("2")], [row]).map(({ id }) => id)).toEqual(["2"]);
});

test("a workbook is known by its first bytes, whatever its name", () => {
  expect(isWorkbook(new Uint8Array([0x50, 0x4b, 3, 4]))).toBe(true);
  expect(isWorkbook(new Uint8Array([0xd0, 0xcf, 0x11, 0xe0]))).toBe(true);
  expect(isWorkbook(new TextEncoder().encode("Province;Point"))).toBe(false);
  expect(isWorkbook(new Uint8Array())).toBe(false);
});

test("lines are counted as an editor does, in the file's own letters", () => {
  const cyrillic = new Uint8Array([0xd2, 0xe2, 0xe5, 0xf0, 0xfc, 13, 10, 0x41, 13, 0x42, 10]);
  expect(linesOf(cyrillic.buffer, "windows-1251")).toEqual(["Тверь", "A", "B", ""]);
  expect(linesOf(new Uint8Array([0xff, 0xfe, 0x41, 0, 10, 0, 0x42, 0]).buffer, null)).toEqual(["A", "B"]);
});

test("the empty list has the columns that the server knows, and a mark by which spreadsheets know its letters", async () => {
  const bytes = new Uint8Array(await template("en").arrayBuffer());
  expect([...bytes.subarray(0, 3)]).toEqual([0xef, 0xbb, 0xbf]);
  expect(new TextDecoder().decode(bytes)).toBe("Province,Organisation,Point,Contact\r\n");
});

test("differences tell who is new, other and gone, those changed as they were before", () => {
  const before = [point("1"), point("2", { contact: "Lan" }), point("3")];
  const after = [point("1", { connected: true }), point("2", { contact: "Hoa" }), point("4")];
  const { fresh, other, gone } = differences(before, after);
  expect(fresh.map(({ id }) => id)).toEqual(["4"]);
  expect(other).toEqual([before[1]]);
  expect(gone.map(({ id }) => id)).toEqual(["3"]);
});

test("a list that is taken back ends with the points as they were", async () => {
  const before = [point("1"), point("2", { contact: "Lan" }), point("3")];
  let now = before;
  const put = (next: readonly EventPoint[]) => (now = [...next]);
  const api = {
    event: () => Promise.resolve(eventOf(now)),
    take: () => {
      put([point("1"), point("2", { contact: "Hoa" }), ...Array.from({ length: 9 }, (_, index) => point(`new${index}`))]);
      return Promise.resolve({ added: 9, changed: 1, unchanged: 1, removed: 1, problems: [] });
    },
    remove: (id: string) => Promise.resolve(void put(now.filter((one) => one.id !== id))),
    change: (id: string, fields: object) => Promise.resolve(put(now.map((one) => (one.id === id ? { ...one, ...fields } : one)))),
    restore: (id: string) => Promise.resolve(put([...now, ...before.filter((one) => one.id === id)])),
  } as unknown as EventApi;
  const deed = await takeSheet(api, new Blob([]), { charset: null, remove: true });
  expect(now).toHaveLength(11);
  await deed.undo?.();
  expect([...now].sort((a, b) => a.id.localeCompare(b.id))).toEqual(before);
});

test("a deed that fails is told and leaves nothing to take back", async () => {
  const deeds = new Deeds();
  const undo = vi.fn(() => Promise.resolve());
  expect(await deeds.run(() => Promise.resolve({ words: () => "done", undo }))).toBe(true);
  expect(await deeds.run(() => Promise.reject(new ApiError("conflict", "")))).toBe(false);
  expect(deeds.fault.value).toBe("conflict");
  await deeds.undo();
  expect(undo).not.toHaveBeenCalled();
});

test("what could not be taken back can be tried again", async () => {
  const deeds = new Deeds();
  const undo = vi.fn(() => Promise.resolve()).mockRejectedValueOnce(new ApiError("network", ""));
  await deeds.run(() => Promise.resolve({ words: () => "removed", undo }));
  await deeds.undo();
  expect(deeds.fault.value).toBe("network");
  expect(deeds.last.value?.undo).toBe(undo);
  await deeds.undo();
  expect(undo).toHaveBeenCalledTimes(2);
  expect(deeds.fault.value).toBeNull();
});

test("a list that was half taken back goes on where the line was lost", async () => {
  const before = [point("1")];
  let now: readonly EventPoint[] = before;
  const remove = vi.fn((id: string): Promise<void> => {
    now = now.filter((one) => one.id !== id);
    return Promise.resolve();
  });
  // The second is done, but its answer is lost.
  remove.mockImplementationOnce(remove.getMockImplementation() ?? (() => Promise.resolve()));
  remove.mockImplementationOnce((id) => {
    now = now.filter((one) => one.id !== id);
    return Promise.reject(new ApiError("network", ""));
  });
  const api = {
    event: () => Promise.resolve(eventOf(now)),
    take: () => {
      now = [...before, ...Array.from({ length: 9 }, (_, index) => point(`new${index}`))];
      return Promise.resolve({ added: 9, changed: 0, unchanged: 1, removed: 0, problems: [] });
    },
    remove: (id: string) => (now.some((one) => one.id === id) ? remove(id) : Promise.reject(new ApiError("notFound", ""))),
  } as unknown as EventApi;
  const deed = await takeSheet(api, new Blob([]), { charset: null, remove: false });
  await expect(deed.undo?.()).rejects.toMatchObject({ code: "network" });
  await deed.undo?.();
  expect(now).toEqual(before);
});

test("a list that was taken is told as taken, also where the answer about it is lost, and can be taken back", async () => {
  const event = vi
    .fn(() => Promise.resolve(eventOf([point("1"), point("2")])))
    .mockResolvedValueOnce(eventOf([point("1")]))
    .mockRejectedValueOnce(new ApiError("network", ""));
  const remove = vi.fn(() => Promise.resolve());
  const take = () => Promise.resolve({ added: 1, changed: 0, unchanged: 1, removed: 0, problems: [] });
  const deed = await takeSheet({ event, take, remove } as unknown as EventApi, new Blob([]), { charset: null, remove: false });
  await deed.undo?.();
  expect(remove.mock.calls).toEqual([["2"]]);
});

test("a point's fields that were not touched are not written over what somebody else wrote meanwhile", async () => {
  const known = point("1", { contact: "Lan" });
  const change = vi.fn(() => Promise.resolve(known));
  const deed = await changePoint({ change } as unknown as EventApi, known, { ...known, name: "Room 2" });
  await deed.undo?.();
  expect(change.mock.calls).toEqual([
    ["1", { name: "Room 2" }],
    ["1", { name: "Phòng siêu âm" }],
  ]);
});

test("what fails may have been done: the event is asked for anew", async () => {
  const load = vi.fn(() => Promise.resolve());
  await expect(withLoad(load, () => Promise.reject(new ApiError("network", "")))()).rejects.toBeInstanceOf(ApiError);
  expect(load).toHaveBeenCalledTimes(1);
});

test("one deed goes on at a time, and each ends with what the server has then", async () => {
  const deeds = new Deeds();
  const load = vi.fn(() => Promise.resolve());
  let finish: () => void = () => undefined;
  const first = deeds.run(
    withLoad(load, async () => {
      await new Promise<void>((resolve) => (finish = resolve));
      return { words: () => "done", undo: () => Promise.reject(new ApiError("network", "")) };
    }),
  );
  expect(await deeds.run(() => Promise.resolve(null))).toBe(false);
  finish();
  expect(await first).toBe(true);
  expect(load).toHaveBeenCalledTimes(1);
  await deeds.undo();
  expect(load).toHaveBeenCalledTimes(2);
  expect(deeds.fault.value).toBe("network");
});

test("a list goes to the server as CSV with the token in its header alone", async () => {
  const request = vi.fn<typeof fetch>(() => Promise.resolve(new Response('{"added":1}', { status: 200 })));
  await createEventApi("aaa.bbb", "s/1", request).preview(new Blob(["x"]), { charset: "windows-1251", remove: true });
  const [path, init] = request.mock.calls[0] ?? [];
  expect(path).toBe("/api/events/s%2F1/points?preview=1&charset=windows-1251&remove=1");
  expect(init?.headers).toEqual({ Authorization: "Bearer aaa.bbb", "Content-Type": "text/csv" });
});

test("an open tab stands in the fragment after the token, once", () => {
  expect(tabOf("#aaa.bbb&e=s1")).toBe("points");
  expect(tabOf("#aaa.bbb&tab=nothing")).toBe("points");
  const there = withTab(withTab("#aaa.bbb&e=s1", "show"), "checks");
  expect(there).toBe("#aaa.bbb&e=s1&tab=checks");
  expect(tabOf(there)).toBe("checks");
});

test("a code has its three corners, a light border, and grows with the text", () => {
  const { size, path } = qrCode("https://hub.example/join#aaa.bbb.ccc");
  const corner = (x: number, y: number) => `M${x} ${y}h7v1h-7z`;
  for (const [x, y] of [[4, 4], [size - 11, 4], [4, size - 11]] as const) expect(path).toContain(corner(x, y));
  const begins = [...path.matchAll(/M(\d+) (\d+)h(\d+)/g)].map(([, x, y, width]) => [Number(x), Number(y), Number(x) + Number(width)] as const);
  expect(begins.every(([x, y, end]) => x >= 4 && y >= 4 && end <= size - 4 && y < size - 4)).toBe(true);
  expect(qrCode("x".repeat(900)).size).toBeGreaterThan(size);
});

test("a moment that is typed is the moment that is shown", () => {
  expect(fromLocalField(toLocalField(1_790_000_040_000))).toBe(1_790_000_040_000);
  expect(fromLocalField("")).toBe(null);
});
