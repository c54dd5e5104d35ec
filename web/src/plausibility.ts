// Owns the judgement whether what a capture card delivers can be an ultrasound picture. Pure: pixels and numbers in.

import type { CaptureWarning } from "./state";

/** Below this, motion of a valve or a fetus cannot be judged (design: warn under 15 fps). */
export const FRAME_RATE_MIN_FPS = 15;
const HEIGHT_MIN_PX = 400;
/** Brightest pixel of a card that gets no signal. */
const BLACK_MAX_LUMA = 24;
/** Video range puts black at 16 and white at 235 (ITU-R BT.601); allow for the noise of an analogue card. */
const SQUEEZED_BLACK = { from: 12, to: 22 } as const;
const SQUEEZED_WHITE_MAX = 240;
/** An ultrasound's background is truly black: in a full-range picture at least this share of it is darker than 12. */
const DARK_SHARE = 0.02;

export interface CaptureFacts {
  readonly heightPx: number | null;
  readonly framesPerSecond: number | null;
  /** RGBA of a small copy of the picture, or null if there is none. */
  readonly pixels: Uint8ClampedArray | null;
}

export function captureWarnings(facts: CaptureFacts): CaptureWarning[] {
  const warnings: CaptureWarning[] = [];
  if (facts.framesPerSecond !== null && facts.framesPerSecond < FRAME_RATE_MIN_FPS) warnings.push("slow");
  if (facts.heightPx !== null && facts.heightPx < HEIGHT_MIN_PX) warnings.push("small");
  if (facts.pixels && facts.pixels.length >= 4) warnings.push(...judgePixels(facts.pixels));
  return warnings;
}

function judgePixels(pixels: Uint8ClampedArray): CaptureWarning[] {
  const histogram = new Uint32Array(256);
  for (let i = 0; i + 2 < pixels.length; i += 4) {
    const luma = 0.299 * (pixels[i] ?? 0) + 0.587 * (pixels[i + 1] ?? 0) + 0.114 * (pixels[i + 2] ?? 0);
    const bin = Math.round(luma);
    histogram[bin] = (histogram[bin] ?? 0) + 1;
  }
  const total = Math.floor(pixels.length / 4);
  const brightest = histogram.findLastIndex((count) => count > 0);
  if (brightest <= BLACK_MAX_LUMA) return ["black"];
  const share = (from: number, to: number) => histogram.slice(from, to + 1).reduce((sum, count) => sum + count, 0) / total;
  const noTrueBlack = share(0, SQUEEZED_BLACK.from - 1) < DARK_SHARE / 10;
  const greyBlack = share(SQUEEZED_BLACK.from, SQUEEZED_BLACK.to) >= DARK_SHARE * 5;
  return noTrueBlack && greyBlack && brightest <= SQUEEZED_WHITE_MAX ? ["squeezed"] : [];
}
