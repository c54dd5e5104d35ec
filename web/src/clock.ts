// Owns what is known of the server's clock: the offset from this device's, by the exchange with the shortest round trip
// (the idea of RFC 5905's clock filter). Knows no timer and no socket.

/** Enough to ride out a burst of delay, few enough to follow a clock that drifts or is set. */
const SAMPLES_KEPT = 12;
/** A changed offset is told to the server from here on; less is not seen in a delay shown to a person. */
const REPORT_STEP_MS = 5;

interface Sample {
  readonly roundTripMs: number;
  readonly offsetMs: number;
}

export class ServerClock {
  #samples: Sample[] = [];
  #reportedMs: number | null = null;

  /** All by wall clocks in ms since 1970: when we asked, what the server's clock said, when the answer came. */
  add(askedAtMs: number, serverTimeAtMs: number, answeredAtMs: number): void {
    const roundTripMs = answeredAtMs - askedAtMs;
    if (roundTripMs < 0) {
      // This device's clock was set back meanwhile: nothing measured before holds.
      this.#samples = [];
      return;
    }
    const offsetMs = serverTimeAtMs - (askedAtMs + answeredAtMs) / 2;
    const best = this.#best();
    // The true offset lies within half a round trip of the measured: two samples that cannot both be true mean a set clock.
    if (best && Math.abs(best.offsetMs - offsetMs) > (best.roundTripMs + roundTripMs) / 2 + REPORT_STEP_MS) {
      this.#samples = [];
    }
    this.#samples = [...this.#samples, { roundTripMs, offsetMs }].slice(-SAMPLES_KEPT);
  }

  /** Add it to this device's clock to get the server's; null before the first answer. */
  offsetMs(): number | null {
    return this.#best()?.offsetMs ?? null;
  }

  roundTripMs(): number | null {
    return this.#best()?.roundTripMs ?? null;
  }

  /** The offset if the server ought to hear of it now, else null. */
  takeReport(): number | null {
    const offsetMs = this.offsetMs();
    if (offsetMs === null) return null;
    if (this.#reportedMs !== null && Math.abs(offsetMs - this.#reportedMs) < REPORT_STEP_MS) return null;
    this.#reportedMs = offsetMs;
    return offsetMs;
  }

  /** The server has forgotten what we reported (a new seat). */
  forgetReport(): void {
    this.#reportedMs = null;
  }

  #best(): Sample | null {
    return this.#samples.reduce<Sample | null>(
      (best, sample) => (best === null || sample.roundTripMs <= best.roundTripMs ? sample : best),
      null,
    );
  }
}
