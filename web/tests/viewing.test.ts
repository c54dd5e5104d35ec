import { expect, test } from "vitest";
import { Viewing } from "../src/viewing";
import { FakeClock } from "./fakes";

function setUp() {
  const clock = new FakeClock();
  const told: [string, number][] = [];
  let reachable = true;
  const viewing = new Viewing({
    after: clock.after,
    tell: (track, maxHeight) => {
      told.push([track, maxHeight]);
      return Promise.resolve(reachable);
    },
  });
  return { clock, told, viewing, setReachable: (value: boolean) => (reachable = value) };
}

test("a layout that moves is told once, in steps, when it has settled", async () => {
  const { clock, told, viewing } = setUp();
  for (const height of [100, 301, 410, 415]) viewing.show("t", height);
  await clock.advance(1_000);
  expect(told).toEqual([["t", 420]]);
  viewing.show("t", 419);
  await clock.advance(1_000);
  expect(told).toHaveLength(1);
});

test("a hidden picture, and a hidden page, receive nothing; coming back is told at once", async () => {
  const { clock, told, viewing } = setUp();
  viewing.show("t", 0);
  viewing.show("u", 720);
  await clock.advance(1_000);
  expect(told).toEqual([["t", 0], ["u", 720]]);
  viewing.setHidden(true);
  await clock.advance(1_000);
  expect(told.at(-1)).toEqual(["u", 0]);
  viewing.setHidden(false);
  expect(told.at(-1)).toEqual(["u", 720]);
});

test("what could not be told is told on resuming, and everything on a new seat", async () => {
  const { clock, told, viewing, setReachable } = setUp();
  setReachable(false);
  viewing.show("t", 360);
  await clock.advance(1_000);
  setReachable(true);
  viewing.resume();
  await clock.advance(1_000);
  expect(told).toEqual([["t", 360], ["t", 360]]);
  viewing.show("gone", 180);
  await clock.advance(1_000);
  viewing.begin(new Set(["t"]));
  await clock.advance(1_000);
  expect(told.slice(3)).toEqual([["t", 360]]);
});
