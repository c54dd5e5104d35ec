// Owns how many of the screen's points are a millimetre: as a person held a bank card against it, else as CSS takes it for granted.

import { signal } from "@preact/signals";
import { openStorage } from "../../components/preferences";

/** CSS Values 4, section 6.2: 96 px an inch, whatever the screen is. */
export const CSS_PX_PER_MM = 96 / 25.4;
/** ISO/IEC 7810 ID-1: the width of every bank card. */
export const CARD_MM = 85.6;
export const PX_PER_MM_LIMITS = [2, 12] as const;
const KEY = "bridge.pxPerMm";

export interface Screen {
  readonly pxPerMm: number;
  /** A person measured it. */
  readonly isMeasured: boolean;
}

export const screen = signal<Screen>(remembered());

export function measureScreen(pxPerMm: number): void {
  const [least, most] = PX_PER_MM_LIMITS;
  screen.value = { pxPerMm: Math.min(most, Math.max(least, pxPerMm)), isMeasured: true };
  try {
    openStorage()?.setItem(KEY, String(screen.value.pxPerMm));
  } catch {
    // Full or forbidden storage: it lasts for this page.
  }
}

function remembered(): Screen {
  let said = NaN;
  try {
    said = Number(openStorage()?.getItem(KEY) ?? NaN);
  } catch {
    // As above.
  }
  const [least, most] = PX_PER_MM_LIMITS;
  return said >= least && said <= most ? { pxPerMm: said, isMeasured: true } : { pxPerMm: CSS_PX_PER_MM, isMeasured: false };
}
