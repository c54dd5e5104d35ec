import { expect, test } from "vitest";
import { digestReceived, digestSent, gradeLine } from "../src/stats";

const NTP_MS = 2_208_988_800_000;
const NOW_MS = 1_700_000_000_000;
const report = (...stats: { id: string; [name: string]: unknown }[]) => new Map(stats.map((stat) => [stat.id, stat]));
const clock = { nowMs: NOW_MS, ownOffsetMs: 50, senderOffsetMs: () => -20 };
const mids = new Map([["0", "t1"]]);

const inbound = (changes: object = {}) => ({
  id: "in",
  type: "inbound-rtp",
  mid: "0",
  timestamp: 1_000,
  bytesReceived: 0,
  packetsReceived: 0,
  packetsLost: 0,
  frameWidth: 1920,
  frameHeight: 1080,
  framesPerSecond: 30,
  freezeCount: 2,
  totalFreezesDuration: 0.7,
  codecId: "c",
  ...changes,
});
const transport = { id: "t", type: "transport", selectedCandidatePairId: "p2" };
const pairs = [
  { id: "p1", type: "candidate-pair", nominated: true, currentRoundTripTime: 9 },
  { id: "p2", type: "candidate-pair", nominated: true, currentRoundTripTime: 0.04 },
];
const codec = { id: "c", type: "codec", mimeType: "video/H264" };

test("digests a received picture by what changed since the last look", () => {
  const first = digestReceived(report(inbound(), transport, ...pairs, codec), new Map(), mids, clock);
  expect(first.tracks.get("t1")).toMatchObject({
    width: 1920,
    height: 1080,
    framesPerSecond: 30,
    bitrateBps: null,
    loss: null,
    roundTripMs: 40,
    frozenMs: 700,
    freezes: 2,
    codec: "H264",
    delayMs: null,
  });
  const later = inbound({ timestamp: 3_000, bytesReceived: 1_500_000, packetsReceived: 950, packetsLost: 50 });
  const second = digestReceived(report(later, transport, ...pairs, codec), first.sample, mids, clock);
  expect(second.tracks.get("t1")).toMatchObject({ bitrateBps: 6_000_000, loss: 0.05 });
  expect(second).toMatchObject({ bitrateBps: 6_000_000, loss: 0.05, roundTripMs: 40 });
});

test("a loss that late packets took back is none", () => {
  const first = digestReceived(report(inbound({ packetsLost: 10 })), new Map(), mids, clock);
  const later = inbound({ timestamp: 2_000, packetsLost: 4, packetsReceived: 100, bytesReceived: 10 });
  expect(digestReceived(report(later), first.sample, mids, clock).loss).toBe(0);
});

test.each([
  ["counted from 1900", NOW_MS + NTP_MS - 180],
  ["counted from 1970", NOW_MS - 180],
])("the delay from capture to display puts both clocks on the server's (time stamp %s)", (_what, playout) => {
  // Captured 180 ms ago by the sender's clock, whose clock is 70 ms behind ours on the server's scale.
  const stats = report(inbound({ estimatedPlayoutTimestamp: playout }));
  expect(digestReceived(stats, new Map(), mids, clock).tracks.get("t1")?.delayMs).toBe(250);
});

test.each([
  ["our offset is not known", { ...clock, ownOffsetMs: null }],
  ["the sender's offset is not known", { ...clock, senderOffsetMs: () => null }],
  ["the clocks cannot be right", { ...clock, senderOffsetMs: () => 3_600_000 }],
])("no delay is better than a wrong one: %s", (_what, wrong) => {
  const stats = report(inbound({ estimatedPlayoutTimestamp: NOW_MS + NTP_MS }));
  expect(digestReceived(stats, new Map(), mids, wrong).tracks.get("t1")?.delayMs).toBeNull();
});

test("sent layers are summed, and the best one is shown", () => {
  const layer = (id: string, changes: object) => ({ id, type: "outbound-rtp", mid: "0", timestamp: 1_000, bytesSent: 0, packetsSent: 0, ...changes });
  const remote = (id: string, changes: object) => ({ id: `r${id}`, type: "remote-inbound-rtp", localId: id, ...changes });
  const first = digestSent(
    report(
      layer("l", { frameHeight: 180, frameWidth: 320 }),
      layer("h", { frameHeight: 1080, frameWidth: 1920 }),
      remote("h", { packetsLost: 0 }),
    ),
    new Map(),
    mids,
  );
  const second = digestSent(
    report(
      layer("l", { timestamp: 2_000, bytesSent: 10_000, packetsSent: 10, frameHeight: 180, frameWidth: 320 }),
      layer("h", { timestamp: 2_000, bytesSent: 500_000, packetsSent: 490, frameHeight: 1080, frameWidth: 1920, framesPerSecond: 29 }),
      remote("h", { packetsLost: 25, roundTripTime: 0.12 }),
    ),
    first.sample,
    mids,
  );
  expect(second.tracks.get("t1")).toMatchObject({
    width: 1920,
    height: 1080,
    framesPerSecond: 29,
    bitrateBps: 4_080_000,
    loss: 0.05,
    roundTripMs: 120,
  });
});

test("statistics of sections that carry no track of ours are passed over", () => {
  expect(digestReceived(report(inbound({ mid: "7" }), inbound({ id: "x", mid: undefined })), new Map(), mids, clock).tracks.size).toBe(0);
});

test.each([
  [false, 0, 10, 0],
  [true, null, null, null],
  [true, 0.2, 10, 1],
  [true, 0, 900, 1],
  [true, 0.05, 10, 2],
  [true, 0, 400, 2],
  [true, 0.01, 100, 3],
])("a line that is connected %s with loss %s and round trip %s is grade %s", (connected, loss, rtt, grade) => {
  expect(gradeLine(connected, loss, rtt)).toBe(grade);
});
