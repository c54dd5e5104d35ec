import { expect, test } from "vitest";
import { loudness } from "../src/level";

test.each([
  ["silence", 0, 0],
  ["full scale", 1, 1],
  ["half way on the scale", 10 ** (-33 / 20), 0.5],
  ["under the floor", 10 ** (-80 / 20), 0],
])("%s", (_what, amplitude, level) => {
  expect(loudness(new Float32Array(64).fill(amplitude))).toBeCloseTo(level, 3);
});
