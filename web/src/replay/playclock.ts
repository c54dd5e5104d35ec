// Owns the one time that all lanes of a replay follow, and how an element is brought to it. Pure: `nowMs` comes in.

/** Beyond this nobody understands speech any more. */
export const LOUD_RATE_MAX = 2;
export const RATES = [0.25, 0.5, 1, 1.5, 2, 4] as const;

/** Nobody sees or hears less. */
const IN_STEP_S = 0.018;
/** Once corrected at all, then well: each change of speed costs a browser's sound some milliseconds. */
const CORRECTED_S = 0.004;
/** Further off than this, changing the speed would take too long. */
export const SEEK_FROM_S = 0.3;
const SMALL_S = 0.08;
const SMALL_CORRECTION = 0.05;
/** More would be heard as another pitch or seen as a jerk. */
const CORRECTION = 0.1;

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

export function correct(offS: number, rate: number, correcting: boolean): Correction {
  // Of what is watched faster, the same time in the recording is a shorter one for who watches.
  const off = Math.abs(offS) / Math.max(1, rate);
  if (off > SEEK_FROM_S) return { kind: "seek" };
  if (off < (correcting ? CORRECTED_S : IN_STEP_S)) return { kind: "rate", rate };
  const share = off < SMALL_S ? SMALL_CORRECTION : CORRECTION;
  return { kind: "rate", rate: rate * (1 - Math.sign(offS) * share) };
}
