import { expect, test } from "vitest";
import { captureWarnings } from "../src/plausibility";

/** A picture of grey values, each repeated by its share of a thousand pixels. */
function picture(...greys: readonly (readonly [grey: number, perMille: number])[]): Uint8ClampedArray {
  const values = greys.flatMap(([grey, perMille]) => Array.from({ length: perMille }, () => grey));
  return Uint8ClampedArray.from(values.flatMap((grey) => [grey, grey, grey, 255]));
}
const good = { heightPx: 1080, framesPerSecond: 30, pixels: picture([2, 700], [120, 250], [250, 50]) };

test.each([
  ["a good picture", {}, []],
  ["nothing known", { heightPx: null, framesPerSecond: null, pixels: null }, []],
  ["14 frames a second", { framesPerSecond: 14 }, ["slow"]],
  ["15 frames a second", { framesPerSecond: 15 }, []],
  ["240 lines", { heightPx: 240 }, ["small"]],
  ["a card without signal", { pixels: picture([16, 1000]) }, ["black"]],
  ["black at 16 and white at 235", { pixels: picture([16, 700], [120, 250], [235, 50]) }, ["squeezed"]],
  ["a bright picture without any black", { pixels: picture([60, 500], [200, 500]) }, []],
  ["full white", { pixels: picture([16, 700], [255, 300]) }, []],
])("%s", (_what, changes, warnings) => {
  expect(captureWarnings({ ...good, ...changes })).toEqual(warnings);
});
