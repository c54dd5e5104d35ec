// Owns reading what a line check needs from WebRTC statistics (webrtc-stats): flows, round trip, jitter, the picture. Pure.

import { number, pathRoundTripMs, stats } from "../../stats";
import type { Report, Stat } from "../../stats";

/** Counters at one moment; two of them make a rate and a loss. */
export interface Flow {
  readonly atMs: number;
  readonly bytes: number;
  /** Packets that were to arrive. */
  readonly packets: number;
  readonly lost: number;
}

export interface Sent extends Flow {
  /** Packets that were sent again: the relay takes a loss back when they come, and so tells of few. */
  readonly repeated: number;
  readonly roundTripMs: number | null;
  readonly jitterMs: number | null;
}

export interface Received extends Flow {
  readonly jitterMs: number | null;
  readonly frames: number;
  readonly width: number;
  readonly height: number;
}

/** Null before anything was sent. `bytes` are of the picture alone, with headers, sent for the first time. */
export function sentOf(report: Report): Sent | null {
  const all = stats(report);
  const sent = all.filter((stat) => stat.type === "outbound-rtp");
  const heard = all.filter((stat) => stat.type === "remote-inbound-rtp");
  if (sent.length === 0) return null;
  return {
    ...picturesFlow(sent, "bytesSent", "headerBytesSent", "retransmittedBytesSent"),
    packets: sum(sent, "packetsSent"),
    lost: Math.max(0, sum(heard, "packetsLost")),
    repeated: sum(sent, "retransmittedPacketsSent"),
    roundTripMs: pathRoundTripMs(all) ?? toMs(first(heard, "roundTripTime")),
    jitterMs: toMs(first(heard.filter(isSound), "jitter")),
  };
}

/** Null before anything came. */
export function receivedOf(report: Report): Received | null {
  const came = stats(report).filter((stat) => stat.type === "inbound-rtp");
  if (came.length === 0) return null;
  const pictures = came.filter((stat) => !isSound(stat));
  // Of the picture alone: what of it is lost on the way to the relay is sent again, and so is no loss of the way back.
  const lost = Math.max(0, sum(pictures, "packetsLost"));
  return {
    ...picturesFlow(came, "bytesReceived", "headerBytesReceived", "retransmittedBytesReceived"),
    packets: sum(pictures, "packetsReceived") + lost,
    lost,
    // Sound leaves at an even pace; packets of a picture come in bursts, and their jitter says little.
    jitterMs: toMs(first(came.filter(isSound), "jitter")),
    frames: sum(pictures, "framesDecoded"),
    width: first(pictures, "frameWidth") ?? 0,
    height: first(pictures, "frameHeight") ?? 0,
  };
}

/** 0 where no time passed. */
export function rateBps(from: Flow, to: Flow): number {
  const elapsedS = (to.atMs - from.atMs) / 1000;
  return elapsedS > 0 ? (Math.max(0, to.bytes - from.bytes) * 8) / elapsedS : 0;
}

/** Null where nothing was to arrive. Late packets take a loss back (RFC 3550): less than nothing is nothing. */
export function lossShare(from: Flow, to: Flow): number | null {
  const packets = to.packets - from.packets;
  return packets > 0 ? Math.min(1, Math.max(0, to.lost - from.lost) / packets) : null;
}

/** What was lost on the way to the relay: what it told of, or what had to be sent again, if that is more. */
export function lossUpShare(from: Sent, to: Sent): number | null {
  const told = lossShare(from, to);
  const repeated = lossShare({ ...from, lost: from.repeated }, { ...to, lost: to.repeated });
  return told === null || repeated === null ? null : Math.max(told, repeated);
}

export function median(values: readonly number[]): number | null {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.floor((sorted.length - 1) / 2)] ?? null;
}

function picturesFlow(all: readonly Stat[], bytes: string, headers: string, repeated: string): Pick<Flow, "atMs" | "bytes"> {
  const pictures = all.filter((stat) => !isSound(stat));
  const atMs = Math.max(...all.map(({ timestamp }) => timestamp));
  return { atMs, bytes: sum(pictures, bytes) + sum(pictures, headers) - sum(pictures, repeated) };
}

function isSound(stat: Stat): boolean {
  return stat.kind === "audio";
}

function sum(all: readonly Stat[], name: string): number {
  return all.reduce((total, stat) => total + (number(stat, name) ?? 0), 0);
}

function first(all: readonly Stat[], name: string): number | null {
  return all.map((stat) => number(stat, name)).find((value) => value !== null) ?? null;
}

function toMs(seconds: number | null): number | null {
  return seconds === null ? null : seconds * 1000;
}
