// Owns the one time that all lanes of a replay follow, and how an element is brought to it. Pure: `nowMs` comes in.

/** Beyond this nobody understands speech any more. */
export const LOUD_RATE_MAX = 2;
export const RATES = [0.25, 0.5, 1, 1.5, 2, 4] as const;

/** Nobody sees or hears less. */
const IN_STEP_S = 0.008;
/** Further off than this, changing the speed would take too long. */
export const SEEK_FROM_S = 0.3;
/** In how long an element is brought back. */
const CORRECTED_WITHIN_S = 0.5;
/** More would be heard as another pitch or seen as a jerk. */
const MAX_CORRECTION = 0.1;

export class PlayClock {
  private anchorMs: number;
  private anchorNowMs = 0;
  private running = false;
  private speed = 1;

  constructor(atMs: number) {
    this.anchorMs = atMs;
  }

  at(nowMs: number): number {
    return this.running ? this.anchorMs + (nowMs - this.anchorNowMs) * this.speed : this.anchorMs;
  }

  get runs(): boolean {
    return this.running;
  }

  get rate(): number {
    return this.speed;
  }

  set(atMs: number, nowMs: number): void {
    this.anchorMs = atMs;
    this.anchorNowMs = nowMs;
  }

  run(running: boolean, nowMs: number): void {
    if (running === this.running) return;
    this.set(this.at(nowMs), nowMs);
    this.running = running;
  }

  setRate(rate: number, nowMs: number): void {
    this.set(this.at(nowMs), nowMs);
    this.speed = rate;
  }

  /** The leading element counts its time by its own device: the clock follows it a little at each look. */
  lean(leaderMs: number, nowMs: number): void {
    const atMs = this.at(nowMs);
    this.set(atMs + (leaderMs - atMs) * 0.2, nowMs);
  }
}

/** Seek, or at which speed to play, for an element that is `offS` ahead of the clock. */
export type Correction = { readonly kind: "seek" } | { readonly kind: "rate"; readonly rate: number };

export function correct(offS: number, rate: number): Correction {
  if (Math.abs(offS) > SEEK_FROM_S * Math.max(1, rate)) return { kind: "seek" };
  if (Math.abs(offS) < IN_STEP_S) return { kind: "rate", rate };
  const share = Math.max(-MAX_CORRECTION, Math.min(MAX_CORRECTION, -offS / CORRECTED_WITHIN_S / rate));
  return { kind: "rate", rate: Math.round(rate * (1 + share) * 1000) / 1000 };
}
