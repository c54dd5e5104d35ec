// Owns grey windows: presets, the automatic one, and the range of values that a window shows (PS3.3 C.11.2). Pure.

export type Preset = "brain" | "lung" | "bone" | "abdomen" | "mediastinum";
export type Levels = readonly [centre: number, width: number];

/** Hounsfield units: of a CT only. */
export const PRESETS: Readonly<Record<Preset, Levels>> = {
  brain: [40, 80],
  lung: [-600, 1500],
  bone: [480, 2500],
  abdomen: [50, 400],
  mediastinum: [40, 350],
};
export const PRESET_NAMES = Object.keys(PRESETS) as readonly Preset[];
/** Colours as they are. */
export const COLOUR_LEVELS: Levels = [128, 256];
const OUTLIERS = 0.01;
const SAMPLES_LIMIT = 65_536;

/** Values at and below `lower` are black, at and above `upper` white. */
export function rangeOf([centre, width]: Levels): { readonly lower: number; readonly upper: number } {
  const half = (Math.max(width, 1) - 1) / 2;
  return { lower: centre - 0.5 - half, upper: centre - 0.5 + Math.max(half, 1e-3) };
}

/** From the darkest to the brightest that are there more than now and then. */
export function autoLevels(values: ArrayLike<number>): Levels {
  const step = Math.max(1, Math.floor(values.length / SAMPLES_LIMIT));
  const samples: number[] = [];
  for (let at = 0; at < values.length; at += step) samples.push(values[at] ?? 0);
  samples.sort((a, b) => a - b);
  const at = (share: number): number => samples[Math.min(samples.length - 1, Math.floor(share * samples.length))] ?? 0;
  let lower = at(OUTLIERS);
  let upper = at(1 - OUTLIERS);
  if (upper <= lower) [lower, upper] = [samples[0] ?? 0, samples[samples.length - 1] ?? 0];
  return [(lower + upper + 1) / 2, Math.max(1, upper - lower + 1)];
}

/** Wider or narrower by a drag to the right, brighter by a drag up: as fast as the window is wide. */
export function dragged([centre, width]: Levels, byX: number, byY: number): Levels {
  const step = Math.max(1, width) / 300;
  return [centre + byY * step, Math.max(1, width + byX * step)];
}
