// Owns how much is sent at a time: about two seconds' worth, in few lanes, and with pauses while people speak over the same line. Pure:
// times and sizes in, numbers out.

/** How the live session is doing on this line; null where there is none, or nothing is known. */
export interface LiveLine {
  /** 0 lost, 1 bad, 2 weak, 3 good. */
  readonly quality: 0 | 1 | 2 | 3 | null;
  readonly roundTripMs: number | null;
}

export const LEAST_BYTES = 64 << 10;
export const MOST_BYTES = 4 << 20;
const FIRST_BYTES = 256 << 10;
const AIMED_MS = 2000;
/** Beyond that a second lane only makes queues longer. */
const ONE_LANE_BYTES_PER_S = 100_000;
const TWO_LANES_BYTES_PER_S = 1_000_000;
const LANES_MAX = 3;
/** More than this above the shortest way: it is our own bytes that wait in the line. */
const QUEUED_MS = 150;
const WEIGHT = 0.3;
/** Share of the time of a request that is rested after it. */
const REST = { none: 0, some: 0.5, much: 2 } as const;
const REST_MS_MAX = 10_000;

export class Pace {
  private bytesPerS: number | null = null;
  private shortestMs: number | null = null;
  private limitBytes = MOST_BYTES;

  /** A request of so many bytes was answered. `atOnce`: requests that were on the way. */
  sent(bytes: number, ms: number, atOnce: number): void {
    const rate = (bytes * 1000 * Math.max(1, atOnce)) / Math.max(1, ms);
    // What is much smaller than the line tells of the way there and back only.
    const isTelling = bytes >= LEAST_BYTES / 2 || this.bytesPerS === null;
    if (isTelling) this.bytesPerS = this.bytesPerS === null ? rate : this.bytesPerS * (1 - WEIGHT) + rate * WEIGHT;
    this.limitBytes = Math.min(MOST_BYTES, this.limitBytes * 2);
  }

  /** A request broke off: less may get through whole. */
  broke(): void {
    this.limitBytes = Math.max(LEAST_BYTES, Math.min(this.limitBytes, this.sizeBytes()) / 2);
  }

  /** Of the next piece or batch. */
  sizeBytes(): number {
    const aimed = this.bytesPerS === null ? FIRST_BYTES : (this.bytesPerS * AIMED_MS) / 1000;
    return Math.round(Math.max(LEAST_BYTES, Math.min(aimed, this.limitBytes)));
  }

  lanes(line: LiveLine): number {
    if (this.strain(line) !== "none" || this.bytesPerS === null || this.bytesPerS < ONE_LANE_BYTES_PER_S) return 1;
    return this.bytesPerS < TWO_LANES_BYTES_PER_S ? 2 : LANES_MAX;
  }

  /** How long to leave the line to the session after a request of so long. */
  restMs(line: LiveLine, requestMs: number): number {
    return Math.min(REST_MS_MAX, requestMs * REST[this.strain(line)]);
  }

  private strain({ quality, roundTripMs }: LiveLine): keyof typeof REST {
    if (roundTripMs !== null) this.shortestMs = Math.min(this.shortestMs ?? roundTripMs, roundTripMs);
    if (quality !== null && quality <= 1) return "much";
    const queued = roundTripMs !== null && roundTripMs - (this.shortestMs ?? roundTripMs) > QUEUED_MS;
    return queued || quality === 2 ? "some" : "none";
  }
}
