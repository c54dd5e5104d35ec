import { expect, test } from "vitest";
import { ServerClock } from "../src/clock";

test("the exchange with the shortest round trip decides", () => {
  const clock = new ServerClock();
  expect(clock.offsetMs()).toBeNull();
  clock.add(1_000, 6_200, 1_400); // all of the delay on the way back: 5000 is right, this says 5000 too
  clock.add(2_000, 7_010, 2_020);
  clock.add(3_000, 8_250, 3_300);
  expect(clock.offsetMs()).toBe(5_000);
  expect(clock.roundTripMs()).toBe(20);
});

test("a clock that is set anew is believed at once", () => {
  const clock = new ServerClock();
  clock.add(1_000, 1_010, 1_020);
  clock.add(100_000, 40_010, 100_020);
  expect(clock.offsetMs()).toBe(-60_000);
  clock.add(200_000, 0, 150_000); // the clock was set back during the exchange: nothing is known
  expect(clock.offsetMs()).toBeNull();
});

test("is reported first, then only when it moved", () => {
  const clock = new ServerClock();
  expect(clock.takeReport()).toBeNull();
  clock.add(0, 105, 10);
  expect(clock.takeReport()).toBe(100);
  clock.add(1_000, 1_107, 1_010);
  expect(clock.takeReport()).toBeNull();
  clock.add(2_000, 2_203, 2_006);
  expect(clock.takeReport()).toBe(200);
  clock.forgetReport();
  expect(clock.takeReport()).toBe(200);
});

test("old samples are outlived: a drifting clock is followed", () => {
  const clock = new ServerClock();
  clock.add(0, 5, 10);
  for (let i = 1; i <= 12; i += 1) clock.add(i * 1_000, i * 1_000 + 10 + 3, i * 1_000 + 20);
  expect(clock.offsetMs()).toBe(3);
});
