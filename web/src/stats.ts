// Owns turning WebRTC statistics (webrtc-stats) into the few numbers that a person is shown. Pure: reports and the
// previous sample in, facts out.

import type { TrackId } from "./protocol";
import type { LineFacts, TrackFacts } from "./state";

/** Seconds from 1900, NTP's era, to 1970. */
const NTP_TO_UNIX_MS = 2_208_988_800_000;
/** A time stamp beyond this can only count from 1900. */
const NTP_FROM_MS = 2_500_000_000_000;
/** More is not a delay but a wrong clock. */
const DELAY_MAX_MS = 60_000;
/** Clocks are compared over the line, so a little less than nothing is their error; more shows that one of them is not known. */
const CLOCK_ERROR_MS = 50;

interface Counters {
  readonly bytes: number;
  readonly packets: number;
  readonly lost: number;
  readonly atMs: number;
}

/** Counters of the last look, by statistics id; hand it to the next digest. */
export type Sample = ReadonlyMap<string, Counters>;

export interface Digest {
  readonly tracks: ReadonlyMap<TrackId, TrackFacts>;
  readonly sample: Sample;
  readonly bitrateBps: number | null;
  readonly loss: number | null;
  readonly roundTripMs: number | null;
}

export interface ReceiveClock {
  /** Now by this device's clock. */
  readonly nowMs: number;
  /** This device's offset to the server, and that of who sends the track; null unknown. */
  readonly ownOffsetMs: number | null;
  readonly senderOffsetMs: (track: TrackId) => number | null;
}

export interface Stat {
  readonly id: string;
  readonly type: string;
  readonly timestamp: number;
  readonly [name: string]: unknown;
}

export type Report = Iterable<readonly [string, unknown]> & { get(id: string): unknown };

export function digestReceived(
  report: Report,
  before: Sample,
  tracksByMid: ReadonlyMap<string, TrackId>,
  clock: ReceiveClock,
): Digest {
  const all = stats(report);
  const sample = new Map<string, Counters>();
  const tracks = new Map<TrackId, TrackFacts>();
  const roundTripMs = pathRoundTripMs(all);
  const total = new Total();
  for (const stat of all) {
    const track = stat.type === "inbound-rtp" ? tracksByMid.get(text(stat, "mid") ?? "") : undefined;
    if (track === undefined) continue;
    const now = counters(stat, "bytesReceived", "packetsReceived", number(stat, "packetsLost") ?? 0);
    sample.set(stat.id, now);
    const rates = ratesOf(before.get(stat.id), now);
    total.add(rates);
    tracks.set(track, {
      ...pictureOf(stat),
      bitrateBps: rates.bitrateBps,
      loss: rates.loss,
      roundTripMs,
      delayMs: delayMs(number(stat, "estimatedPlayoutTimestamp"), clock, clock.senderOffsetMs(track)),
      frozenMs: toMs(number(stat, "totalFreezesDuration")),
      freezes: number(stat, "freezeCount"),
      codec: codecOf(report, stat),
    });
  }
  return { tracks, sample, bitrateBps: total.bitrateBps, loss: total.loss, roundTripMs };
}

export function digestSent(report: Report, before: Sample, tracksByMid: ReadonlyMap<string, TrackId>): Digest {
  const all = stats(report);
  const sample = new Map<string, Counters>();
  const remote = new Map(
    all.filter((stat) => stat.type === "remote-inbound-rtp").map((stat) => [text(stat, "localId"), stat] as const),
  );
  const layers = new Map<TrackId, Stat[]>();
  const totals = new Map<TrackId, Total>();
  const total = new Total();
  for (const stat of all) {
    const track = stat.type === "outbound-rtp" ? tracksByMid.get(text(stat, "mid") ?? "") : undefined;
    if (track === undefined) continue;
    const heard = remote.get(stat.id);
    const now = counters(stat, "bytesSent", "packetsSent", (heard && number(heard, "packetsLost")) ?? 0);
    sample.set(stat.id, now);
    const last = before.get(stat.id);
    // What is sent counts as sent whether it was lost or not, so the share is of the packets sent.
    const rates = ratesOf(last, { ...now, packets: now.packets - now.lost }, last ? last.packets - last.lost : 0);
    layers.set(track, [...(layers.get(track) ?? []), stat]);
    const own = totals.get(track) ?? new Total();
    own.add(rates);
    totals.set(track, own);
    total.add(rates);
  }
  const roundTripMs = pathRoundTripMs(all);
  const tracks = new Map<TrackId, TrackFacts>();
  for (const [track, its] of layers) {
    const best = its.reduce((a, b) => (height(b) > height(a) ? b : a));
    const heard = remote.get(best.id);
    tracks.set(track, {
      ...pictureOf(best),
      bitrateBps: totals.get(track)?.bitrateBps ?? null,
      loss: totals.get(track)?.loss ?? null,
      roundTripMs: toMs((heard && number(heard, "roundTripTime")) ?? null) ?? roundTripMs,
      delayMs: null,
      frozenMs: null,
      freezes: null,
      codec: codecOf(report, best),
    });
  }
  return { tracks, sample, bitrateBps: total.bitrateBps, loss: total.loss, roundTripMs };
}

/** From capture at the sender to display here: both instants put on the server's clock. */
function delayMs(playoutMs: number | null, clock: ReceiveClock, senderOffsetMs: number | null): number | null {
  if (playoutMs === null || playoutMs <= 0 || clock.ownOffsetMs === null || senderOffsetMs === null) return null;
  const capturedMs = playoutMs > NTP_FROM_MS ? playoutMs - NTP_TO_UNIX_MS : playoutMs;
  const delay = clock.nowMs + clock.ownOffsetMs - (capturedMs + senderOffsetMs);
  return delay > DELAY_MAX_MS || delay < -CLOCK_ERROR_MS ? null : Math.max(0, delay);
}

const LINE = { badLoss: 0.1, weakLoss: 0.03, badRoundTripMs: 800, weakRoundTripMs: 300 } as const;

/** One's own line in the four grades that the server gives others. */
export function gradeLine(connected: boolean, loss: number | null, roundTripMs: number | null): LineFacts["quality"] {
  if (!connected) return 0;
  if (loss === null && roundTripMs === null) return null;
  if ((loss ?? 0) > LINE.badLoss || (roundTripMs ?? 0) > LINE.badRoundTripMs) return 1;
  if ((loss ?? 0) > LINE.weakLoss || (roundTripMs ?? 0) > LINE.weakRoundTripMs) return 2;
  return 3;
}

interface Rates {
  readonly bitrateBps: number | null;
  readonly loss: number | null;
  readonly lost: number;
  readonly expected: number;
}

class Total {
  #bps: number | null = null;
  #lost = 0;
  #expected = 0;

  add(rates: Rates): void {
    if (rates.bitrateBps !== null) this.#bps = (this.#bps ?? 0) + rates.bitrateBps;
    this.#lost += rates.lost;
    this.#expected += rates.expected;
  }

  get bitrateBps(): number | null {
    return this.#bps;
  }

  get loss(): number | null {
    return this.#expected > 0 ? this.#lost / this.#expected : null;
  }
}

function ratesOf(before: Counters | undefined, now: Counters, packetsBefore = before?.packets ?? 0): Rates {
  const elapsedS = before ? (now.atMs - before.atMs) / 1000 : 0;
  if (!before || elapsedS <= 0 || now.bytes < before.bytes) return { bitrateBps: null, loss: null, lost: 0, expected: 0 };
  // Late packets take a loss back (RFC 3550): a share below nothing is shown as nothing.
  const lost = Math.max(0, now.lost - before.lost);
  const expected = Math.max(0, now.packets - packetsBefore) + lost;
  const bitrateBps = Math.round(((now.bytes - before.bytes) * 8) / elapsedS);
  return { bitrateBps, loss: expected > 0 ? lost / expected : null, lost, expected };
}

function counters(stat: Stat, bytes: string, packets: string, lost: number): Counters {
  return { bytes: number(stat, bytes) ?? 0, packets: number(stat, packets) ?? 0, lost, atMs: stat.timestamp };
}

export function pathRoundTripMs(all: readonly Stat[]): number | null {
  const selectedId = all.map((stat) => text(stat, "selectedCandidatePairId")).find((id) => id !== null);
  // Not every browser has transport statistics; the nominated pair is then the one in use.
  const pair =
    all.find((stat) => stat.id === selectedId) ??
    all.find((stat) => stat.type === "candidate-pair" && stat.nominated === true);
  return pair ? toMs(number(pair, "currentRoundTripTime")) : null;
}

function pictureOf(stat: Stat): Pick<TrackFacts, "width" | "height" | "framesPerSecond"> {
  return {
    width: number(stat, "frameWidth"),
    height: number(stat, "frameHeight"),
    framesPerSecond: number(stat, "framesPerSecond"),
  };
}

function codecOf(report: Report, stat: Stat): string | null {
  const codec = report.get(text(stat, "codecId") ?? "") as Stat | undefined;
  return (codec && text(codec, "mimeType")?.split("/")[1]) ?? null;
}

function height(stat: Stat): number {
  return number(stat, "frameHeight") ?? 0;
}

export function stats(report: Report): Stat[] {
  return [...report].map(([, stat]) => stat as Stat);
}

export function number(stat: Stat, name: string): number | null {
  const value = stat[name];
  return typeof value === "number" && Number.isFinite(value) ? value : null;
}

function text(stat: Stat, name: string): string | null {
  const value = stat[name];
  return typeof value === "string" ? value : null;
}

function toMs(seconds: number | null): number | null {
  return seconds === null ? null : seconds * 1000;
}
