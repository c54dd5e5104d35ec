// Owns how a line is filled: what is to be sent next, when it is known how much gets through, and how much that is. Pure.
// The browser's own congestion control (transport-wide feedback) keeps what is really sent within what the line bears.

import { lossShare, rateBps } from "./figures";
import type { Flow } from "./figures";

/** Up to what an ultrasound picture of good quality takes. */
export const TARGETS_BPS = [600_000, 1_200_000, 2_400_000, 4_000_000] as const;
/** Shorter bursts say more of buffers on the way than of the line. */
export const WINDOW_MS = 1_500;
/** A target that is not reached in this time will not be. */
export const PATIENCE_MS = 4_500;
/** Encoders stay a little below what they are told. */
const REACHED_SHARE = 0.75;

export class Ramp {
  readonly #window: Flow[] = [];
  #step = 0;
  #stepSinceMs: number | null = null;
  #bestBps = 0;
  #over = false;

  get targetBps(): number {
    return TARGETS_BPS[this.#step] ?? TARGETS_BPS[TARGETS_BPS.length - 1] ?? 0;
  }

  /** The most that got through for a while. */
  get bestBps(): number {
    return Math.round(this.#bestBps);
  }

  get over(): boolean {
    return this.#over;
  }

  /** How far it has come at the least, 0 to 1. */
  get share(): number {
    return this.#over ? 1 : this.#step / TARGETS_BPS.length;
  }

  feed(flow: Flow): void {
    if (this.#over) return;
    this.#stepSinceMs ??= flow.atMs;
    this.#window.push(flow);
    while (this.#window.length > 2 && (this.#window[1]?.atMs ?? 0) <= flow.atMs - WINDOW_MS) this.#window.shift();
    const [from] = this.#window;
    if (from === undefined || flow.atMs - from.atMs < WINDOW_MS) return;
    const throughBps = rateBps(from, flow) * (1 - (lossShare(from, flow) ?? 0));
    this.#bestBps = Math.max(this.#bestBps, throughBps);
    const atStepMs = flow.atMs - this.#stepSinceMs;
    // The estimate of the line still grows when the last target is near.
    const isLast = this.#step === TARGETS_BPS.length - 1;
    if (atStepMs >= (isLast ? 2 * WINDOW_MS : WINDOW_MS) && throughBps >= this.targetBps * REACHED_SHARE) this.#reached(flow);
    else if (atStepMs >= PATIENCE_MS) this.#over = true;
  }

  #reached(flow: Flow): void {
    this.#step += 1;
    this.#stepSinceMs = flow.atMs;
    if (this.#step === TARGETS_BPS.length) this.#over = true;
  }
}

/** Of a picture that is sent back no more can come than was sent: what came shows the way down only where it is the narrower. */
const LESS_SHARE = 0.85;

/** Null: the way down bears all that was sent, and how much more is not known. */
export function downLimitBps(sentBps: number, cameBps: number, enoughBps: number): number | null {
  return cameBps >= enoughBps || cameBps < sentBps * LESS_SHARE ? Math.round(cameBps) : null;
}
