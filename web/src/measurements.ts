// Owns the regular look at the running media: facts per track, one's own line, and warnings about the own ultrasound.
// Knows no pages; the arithmetic is in stats.ts and plausibility.ts.

import { batch, signal } from "@preact/signals";
import type { Captures } from "./captures";
import type { ServerClock } from "./clock";
import { FRAME_RATE_MIN_FPS } from "./plausibility";
import type { TrackId } from "./protocol";
import type { Publisher } from "./publisher";
import { ownTrack } from "./room";
import type { Room } from "./room";
import { digestReceived, digestSent, gradeLine } from "./stats";
import type { Digest, Sample } from "./stats";
import type { LineFacts, TrackFacts } from "./state";
import type { Subscriber } from "./subscriber";

const PERIOD_MS = 1_000;
/** Looking at pixels costs more than counters, and a wrong cable stays wrong. */
const INSPECT_EVERY = 5;
/** So many looks in a row under the limit make a warning: an encoder that just starts is slow too. */
const SLOW_LOOKS = 5;
/** Timers that come so late were stopped by sleep. */
const SLEPT_MS = 8_000;

const NOTHING: Digest = { tracks: new Map(), sample: new Map(), bitrateBps: null, loss: null, roundTripMs: null };
const UNKNOWN_LINE: LineFacts = { quality: null, roundTripMs: null, sendBps: null, receiveBps: null, loss: null };

export interface Measured {
  readonly publisher: Publisher;
  readonly subscriber: Subscriber;
  readonly captures: Captures;
  readonly room: Room;
}

export class Measurements {
  readonly facts = signal<ReadonlyMap<TrackId, TrackFacts>>(new Map());
  readonly line = signal<LineFacts>(UNKNOWN_LINE);

  #sent: Sample = new Map();
  #received: Sample = new Map();
  #looks = 0;
  #slowLooks = 0;
  #dueMs = 0;
  #cancel: (() => void) | null = null;

  constructor(
    private readonly surroundings: {
      after(delayMs: number, callback: () => void): () => void;
      nowMs(): number;
    },
    private readonly measured: Measured,
    private readonly clock: ServerClock,
    private readonly slept: () => void,
  ) {}

  start(): void {
    if (!this.#cancel) this.#schedule();
  }

  stop(): void {
    this.#cancel?.();
    this.#cancel = null;
    this.#sent = this.#received = new Map();
    this.facts.value = new Map();
    this.line.value = UNKNOWN_LINE;
  }

  #schedule(): void {
    this.#dueMs = this.surroundings.nowMs() + PERIOD_MS;
    const cancel = this.surroundings.after(PERIOD_MS, () => {
      if (this.surroundings.nowMs() > this.#dueMs + SLEPT_MS) this.slept();
      void this.#look().finally(() => {
        if (this.#cancel === cancel) this.#schedule();
      });
    });
    this.#cancel = cancel;
  }

  async #look(): Promise<void> {
    const { publisher, subscriber, room } = this.measured;
    // A connection that was closed meanwhile has no statistics; the next look has.
    const [sentReport, receivedReport] = await Promise.all([
      publisher.stats().catch(() => null),
      subscriber.stats().catch(() => null),
    ]);
    if (!this.#cancel) return;
    const sent = sentReport ? digestSent(sentReport, this.#sent, publisher.tracksByMid()) : NOTHING;
    const received = receivedReport
      ? digestReceived(receivedReport, this.#received, subscriber.tracksByMid(), {
          nowMs: this.surroundings.nowMs(),
          ownOffsetMs: this.clock.offsetMs(),
          senderOffsetMs: (id) => {
            const track = room.tracks.peek().get(id);
            return (track && room.byId.peek().get(track.participant)?.clockOffsetMs) ?? null;
          },
        })
      : NOTHING;
    this.#sent = sent.sample;
    this.#received = received.sample;
    batch(() => {
      this.facts.value = new Map([...sent.tracks, ...received.tracks]);
      this.line.value = this.#judgeLine(sent, received);
    });
    this.#watchUltrasound();
  }

  #judgeLine(sent: Digest, received: Digest): LineFacts {
    const { publisher, subscriber } = this.measured;
    const loss = worst(sent.loss, received.loss);
    const roundTripMs = worst(sent.roundTripMs, received.roundTripMs) ?? this.clock.roundTripMs();
    const connected = (!publisher.exists || publisher.connected) && (!subscriber.exists || subscriber.connected);
    return {
      quality: gradeLine(connected, loss, roundTripMs),
      roundTripMs,
      sendBps: sent.bitrateBps,
      receiveBps: received.bitrateBps,
      loss,
    };
  }

  #watchUltrasound(): void {
    const { captures, room } = this.measured;
    const own = ownTrack(room.tracks.peek(), room.selfId.peek(), "ultrasound");
    const sentFps = own ? (this.facts.peek().get(own.id)?.framesPerSecond ?? null) : null;
    const muted = captures.get("ultrasound").muted;
    const slow = sentFps !== null && sentFps < FRAME_RATE_MIN_FPS && !muted;
    this.#slowLooks = slow ? this.#slowLooks + 1 : 0;
    if (this.#slowLooks === SLOW_LOOKS) room.notice({ kind: "ultrasoundSlow" });
    this.#looks += 1;
    if (this.#looks % INSPECT_EVERY !== 0) return;
    void captures.inspect("ultrasound", sentFps);
    void captures.inspect("microscope", null);
  }
}

function worst(a: number | null, b: number | null): number | null {
  return a === null ? b : b === null ? a : Math.max(a, b);
}
