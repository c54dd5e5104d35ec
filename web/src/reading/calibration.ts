// Owns whether a picture can be measured in millimetres (PS3.3 10.7, C.8.5.5). Rather none than wrong ones. Pure.

import { items, number, numbers, text } from "./dataset";
import type { Dataset } from "./dataset";

export interface Calibration {
  /** Width and height of a pixel: millimetres, or else only their relation. */
  readonly spacing: readonly [x: number, y: number];
  readonly isMillimetre: boolean;
}

const PROJECTIONS: readonly string[] = ["CR", "DX", "DR", "RG", "RF", "XA", "MG", "IO", "PX"];
const SPATIAL_2D = 1;
const CENTIMETRES = 3;
/** Regions made by one machine differ by the rounding of their decimals only. */
const SAME = 1e-6;

/** `measures` is where Pixel Spacing stands: the object, or a frame's Pixel Measures. */
export function calibrationOf(dataset: Dataset, measures: Dataset): Calibration {
  const spacing = positivePair(numbers(measures, "00280030"));
  if (spacing && !isOfDetector(dataset, spacing)) return { spacing: [spacing[1], spacing[0]], isMillimetre: true };
  const region = ultrasoundRegions(dataset);
  if (region) return { spacing: region, isMillimetre: true };
  const aspect = positivePair(numbers(dataset, "00280034"));
  return { spacing: aspect ? [1, aspect[0] / aspect[1]] : [1, 1], isMillimetre: false };
}

/** The shadow on a detector is larger than the body that throws it: its millimetres are not the patient's. */
function isOfDetector(dataset: Dataset, spacing: readonly [number, number]): boolean {
  if (!PROJECTIONS.includes(text(dataset, "00080060"))) return false;
  if (["GEOMETRY", "FIDUCIAL"].includes(text(dataset, "00280A02"))) return false;
  const detector = positivePair(numbers(dataset, "00181164"));
  return detector !== null && Math.abs(detector[0] - spacing[0]) < SAME && Math.abs(detector[1] - spacing[1]) < SAME;
}

/** Only where all that is drawn has the same scale in both directions: a curve or an M-mode strip beside it has none. */
function ultrasoundRegions(dataset: Dataset): readonly [number, number] | null {
  const regions = items(dataset, "00186011");
  let found: readonly [number, number] | null = null;
  for (const region of regions) {
    const isPlane = number(region, "00186012") === SPATIAL_2D;
    const inCentimetres = number(region, "00186024") === CENTIMETRES && number(region, "00186026") === CENTIMETRES;
    const across = Math.abs(number(region, "0018602C") ?? 0) * 10;
    const down = Math.abs(number(region, "0018602E") ?? 0) * 10;
    if (!isPlane || !inCentimetres || across === 0 || down === 0) return null;
    if (found && (Math.abs(found[0] - across) > SAME || Math.abs(found[1] - down) > SAME)) return null;
    found ??= [across, down];
  }
  return found;
}

function positivePair(values: readonly number[]): readonly [number, number] | null {
  const [first, second] = values;
  return first !== undefined && second !== undefined && first > 0 && second > 0 ? [first, second] : null;
}
