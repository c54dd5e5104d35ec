// @vitest-environment happy-dom
// Tests src/pages/event/after* and checks*: what is reckoned, sorted, drawn and copied.

import { cleanup, fireEvent, render, screen } from "@testing-library/preact";
import { afterEach, beforeAll, expect, test } from "vitest";
import { startLanguage } from "../src/i18n";
import { PointsTable } from "../src/pages/event/afterlists";
import { clockTicks, fewNames, figuresOf, matches, sorted, stairs, ticks } from "../src/pages/event/aftermodel";
import type { Attendance, PointRow } from "../src/pages/event/aftermodel";
import { ProvinceChart, TimelineChart } from "../src/pages/event/aftercharts";
import { countOf, FILTERS, listText, withChecks } from "../src/pages/event/checksmodel";
import type { EventPoint, Grade, LineCheck } from "../src/pages/event/model";

const BEGIN_MS = Date.UTC(2026, 4, 20, 7, 0);
const MINUTE_MS = 60_000;

beforeAll(async () => {
  await startLanguage(null, ["en"]);
});

afterEach(cleanup);

function row(id: string, more: Partial<PointRow> = {}): PointRow {
  const stay = { joinedAt: BEGIN_MS, leftAt: BEGIN_MS + MINUTE_MS, minutes: 1, comings: 1, people: 1 };
  return { id, province: "Sơn La", organisation: "", name: id, check: null, quality: null, ...stay, ...more };
}

function attendance(byPoint: readonly PointRow[], more: Partial<Attendance> = {}): Attendance {
  const nothing = { rows: [], byProvince: [], timeline: [], from: null, until: null };
  return { ...nothing, byPoint, peak: { at: null, points: 0, people: 0 }, ...more };
}

const NEVER = { joinedAt: null, leftAt: null, minutes: 0, comings: 0, people: 0 } as const;

test("how good the line was weighs each point by how long it was there", () => {
  const figures = figuresOf(
    attendance([
      row("a", { minutes: 30, quality: { good: 1, weak: 0, bad: 0 } }),
      row("b", { minutes: 10, quality: { good: 0, weak: 0, bad: 1 } }),
      row("c", { minutes: 500 }),
      row("d", NEVER),
    ]),
  );
  expect(figures).toMatchObject({ invited: 4, came: 3, lineGood: 0.75, lastedMs: 0 });
  expect(figuresOf(attendance([row("d", NEVER)])).lineGood).toBeNull();
});

test("rows are sorted as people of the language sort, by number where they are numbers, what is empty last", () => {
  const by = (values: readonly (string | number | null)[], down: boolean) => sorted(values, (value) => value, down, "vi");
  expect(by(["Điện Biên", "Cao Bằng", "", "An Giang", null], false)).toEqual(["An Giang", "Cao Bằng", "Điện Biên", "", null]);
  expect(by([3, null, 20, 1], true)).toEqual([20, 3, 1, null]);
  expect(by([3, null, 20, 1], false)).toEqual([1, 3, 20, null]);
});

test.each([
  [0, [0, 1]],
  [1, [0, 1]],
  [5, [0, 2, 4, 6]],
  [40, [0, 10, 20, 30, 40]],
  [512, [0, 200, 400, 600]],
])("an axis up to %d has round numbers", (most, expected) => {
  expect(ticks(most)).toEqual(expected);
});

test.each([3, 25, 90, 400, 3000])("an axis of %d minutes has a few moments on the clock of the wall", (minutes) => {
  const until = BEGIN_MS + 17_000 + minutes * MINUTE_MS;
  const found = clockTicks(BEGIN_MS + 17_000, until, 7 * 60 * MINUTE_MS);
  expect(found.length).toBeGreaterThan(0);
  expect(found.length).toBeLessThanOrEqual(8);
  expect(found.every((atMs) => atMs % MINUTE_MS === 0 && atMs > BEGIN_MS && atMs <= until)).toBe(true);
});

test("a count holds until the next one", () => {
  const steps = [
    { atMs: 0, points: 1, people: 2 },
    { atMs: 60, points: 3, people: 4 },
  ];
  expect(stairs(steps, 90, ({ people }) => people)).toEqual([
    [0, 2],
    [60, 2],
    [60, 4],
    [90, 4],
  ]);
});

test("a search finds words in any order and without marks", () => {
  expect(matches("moc la", "BVĐK Mộc Châu", "Sơn La")).toBe(true);
  expect(matches("dien", "Điện Biên")).toBe(true);
  expect(matches("moc hue", "BVĐK Mộc Châu", "Sơn La")).toBe(false);
});

test("a press on a head sorts by that column, another one turns it round", () => {
  render(<PointsTable search="" rows={[row("b", { minutes: 5 }), row("a", { minutes: 90 }), row("c", NEVER)]} />);
  const names = () => [...document.querySelectorAll("tbody th")].map(({ textContent }) => textContent);
  expect(names()).toEqual(["a", "b", "c"]);
  const minutes = screen.getByRole("button", { name: "Minutes" });
  fireEvent.click(minutes);
  expect(names()).toEqual(["a", "b", "c"]);
  expect(minutes.closest("th")?.getAttribute("aria-sort")).toBe("descending");
  fireEvent.click(minutes);
  expect(names()).toEqual(["c", "b", "a"]);
  expect(document.body.textContent).toContain("did not come");
});

test("plots stay within their frame, also where many are there for a moment only", () => {
  const moment = attendance([], {
    from: BEGIN_MS,
    until: BEGIN_MS,
    peak: { at: BEGIN_MS, points: 200, people: 512 },
    timeline: [{ atMs: BEGIN_MS, points: 200, people: 512 }],
    byProvince: Array.from({ length: 35 }, (_, index) => ({ province: `Tỉnh ${"x".repeat(index)}`, invited: index, came: index, people: 0, minutes: 0 })),
  });
  render(<TimelineChart attendance={moment} />);
  const numbers = [...document.querySelectorAll("path")].flatMap((path) => (path.getAttribute("d") ?? "").match(/-?[\d.]+/g) ?? []).map(Number);
  expect(numbers.every((value) => value >= 0 && value <= 720)).toBe(true);
  cleanup();
  render(<ProvinceChart provinces={moment.byProvince} />);
  const bars = [...document.querySelectorAll("rect")].map((bar) => Number(bar.getAttribute("width")));
  expect(bars.length).toBe(70);
  expect(bars.every((width) => width >= 0 && width < 360)).toBe(true);
});

test("of very many who did not come as many are named as fit a page", () => {
  const names = Array.from({ length: 200 }, (_, index) => `TTYT huyện Mường La ${index}`);
  const few = fewNames(names);
  expect(few.length).toBeGreaterThan(10);
  expect(few.join("; ").length).toBeLessThanOrEqual(480);
  expect(fewNames(["a", "b"])).toEqual(["a", "b"]);
});

// ---- the board of checks

function point(id: string, grade: Grade | null): EventPoint {
  const check: LineCheck | null = grade === null ? null : { grade, reasons: [], measured: {}, at: 1 };
  const fields = { province: "Sơn La", organisation: "BVĐK", name: id, contact: "Bs. Lan 0912" };
  return { id, ...fields, invite: "i", participant: "p", expiresAt: 1, revoked: false, connected: false, check };
}

test("each filter counts its points", () => {
  const points = [point("a", "green"), point("b", "red"), point("c", "amber"), point("d", null), point("e", null)];
  expect(FILTERS.map((filter) => [filter, countOf(points, filter)])).toEqual([
    ["all", 5],
    ["trouble", 2],
    ["red", 1],
    ["amber", 1],
    ["green", 1],
    ["none", 2],
  ]);
});

test("a newer check takes the place of the one that came with the point", () => {
  const newer = point("a", "green").check;
  const points = withChecks([point("a", "red"), point("b", "amber")], new Map([["a", newer]]));
  expect(points.map(({ check }) => check?.grade)).toEqual(["green", "amber"]);
});

test("a copied list says where, who and whom to call, a line each", () => {
  expect(listText([point("Phòng 1", null), point("Phòng 2", null)])).toBe("Sơn La\tBVĐK, Phòng 1\tBs. Lan 0912\nSơn La\tBVĐK, Phòng 2\tBs. Lan 0912");
});
