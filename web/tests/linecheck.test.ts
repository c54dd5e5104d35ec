// Tests src/pages/check: filling a line, reading its figures, opening devices, and naming what is wrong.

import { beforeAll, expect, test, vi } from "vitest";
import { setLanguage, startLanguage } from "../src/i18n";
import { browserName } from "../src/pages/check/browsername";
import { openDevices } from "../src/pages/check/devices";
import { lossShare, lossUpShare, median, rateBps, receivedOf, sentOf } from "../src/pages/check/figures";
import { portOf } from "../src/pages/check/mirror";
import { downLimitBps, PATIENCE_MS, Ramp, TARGETS_BPS } from "../src/pages/check/ramp";
import { gradeOf, reasonCode } from "../src/pages/check/reasons";
import type { Reason } from "../src/pages/check/reasons";
import { LineCheck } from "../src/pages/check/run";
import { ALL_WAITING, changed, cutShort } from "../src/pages/check/steps";
import { reasonText, reasonTodo } from "../src/pages/check/words";

beforeAll(async () => {
  await startLanguage(null, ["en"]);
});

// ---- filling a line

const LOOKED_EVERY_MS = 250;

interface Line {
  readonly bearsBps: number;
  readonly lossAbove?: number;
}

/** A sender that keeps within what the line bears, as congestion control does. */
function fill({ bearsBps, lossAbove = 0 }: Line): { ramp: Ramp; tookMs: number; targets: number[] } {
  const ramp = new Ramp();
  const targets: number[] = [];
  let atMs = 0;
  let bytes = 0;
  let packets = 0;
  let lost = 0;
  for (; !ramp.over && atMs < 60_000; atMs += LOOKED_EVERY_MS) {
    ramp.feed({ atMs, bytes, packets, lost });
    if (targets.at(-1) !== ramp.targetBps) targets.push(ramp.targetBps);
    const sentBps = Math.min(bearsBps, ramp.targetBps * 0.95);
    bytes += (sentBps * LOOKED_EVERY_MS) / 8000;
    packets += 100;
    lost += 100 * lossAbove;
  }
  return { ramp, tookMs: atMs, targets };
}

test("a good line is filled step by step up to the last target, in a few seconds", () => {
  const { ramp, tookMs, targets } = fill({ bearsBps: 100_000_000 });
  expect(targets).toEqual([...TARGETS_BPS]);
  expect(ramp.bestBps).toBeGreaterThan(3_700_000);
  expect(tookMs).toBeLessThan((TARGETS_BPS.length + 1) * 2_000);
});

test.each([200_000, 900_000, 1_700_000, 2_900_000])("a line of %d bit/s is measured as that, and not filled for ever", (bearsBps) => {
  const { ramp, tookMs } = fill({ bearsBps });
  expect(ramp.over).toBe(true);
  expect(ramp.share).toBe(1);
  expect(Math.abs(ramp.bestBps - bearsBps)).toBeLessThan(bearsBps * 0.02);
  expect(tookMs).toBeLessThan(TARGETS_BPS.length * PATIENCE_MS);
});

test("what is lost did not get through", () => {
  const { ramp } = fill({ bearsBps: 1_000_000, lossAbove: 0.5 });
  expect(ramp.bestBps).toBeGreaterThan(250_000);
  expect(ramp.bestBps).toBeLessThan(520_000);
});

test.each([
  // sent, came, what is known of the way down
  [3_800_000, 3_700_000, 3_700_000],
  [3_800_000, 900_000, 900_000],
  [400_000, 395_000, null],
  [400_000, 200_000, 200_000],
  [0, 0, null],
])("of %d sent %d came back: %s", (sentBps, cameBps, known) => {
  expect(downLimitBps(sentBps, cameBps, 2_000_000)).toBe(known);
});

// ---- figures

const report = (...all: readonly { readonly id: string }[]): Map<string, unknown> => new Map(all.map((one) => [one.id, one]));

test("what was sent is the picture without repetitions, loss and jitter as the relay heard them", () => {
  const sent = sentOf(
    report(
      { id: "v", type: "outbound-rtp", kind: "video", timestamp: 1000, bytesSent: 1000, headerBytesSent: 100, retransmittedBytesSent: 50, retransmittedPacketsSent: 4, packetsSent: 10 } as never,
      { id: "a", type: "outbound-rtp", kind: "audio", timestamp: 1000, bytesSent: 777, packetsSent: 50 } as never,
      { id: "rv", type: "remote-inbound-rtp", kind: "video", timestamp: 900, packetsLost: 2, jitter: 0.5 } as never,
      { id: "ra", type: "remote-inbound-rtp", kind: "audio", timestamp: 900, packetsLost: 1, jitter: 0.012 } as never,
      { id: "p", type: "candidate-pair", timestamp: 1000, nominated: true, currentRoundTripTime: 0.08 } as never,
    ),
  );
  expect(sent).toEqual({ atMs: 1000, bytes: 1050, packets: 60, lost: 3, repeated: 4, roundTripMs: 80, jitterMs: 12 });
  expect(sentOf(report())).toBeNull();
});

test("what came back has its size, frames and losses", () => {
  const came = receivedOf(
    report(
      { id: "v", type: "inbound-rtp", kind: "video", timestamp: 2000, bytesReceived: 500, packetsReceived: 9, packetsLost: 1, framesDecoded: 30, frameWidth: 640, frameHeight: 360, jitter: 0.4 } as never,
      { id: "a", type: "inbound-rtp", kind: "audio", timestamp: 2000, bytesReceived: 99, packetsReceived: 50, packetsLost: -1, jitter: 0.02 } as never,
    ),
  );
  expect(came).toEqual({ atMs: 2000, bytes: 500, packets: 10, lost: 1, jitterMs: 20, frames: 30, width: 640, height: 360 });
  expect(receivedOf(report())).toBeNull();
});

test("what had to be sent again was lost, though the relay has it by now", () => {
  const at = (packets: number, lost: number, repeated: number) => ({ atMs: 0, bytes: 0, packets, lost, repeated, roundTripMs: null, jitterMs: null });
  expect(lossUpShare(at(100, 1, 2), at(200, 2, 6))).toBe(0.04);
  expect(lossUpShare(at(100, 1, 2), at(200, 11, 2))).toBe(0.1);
  expect(lossUpShare(at(100, 1, 2), at(100, 1, 2))).toBeNull();
});

test("rates and losses of two moments", () => {
  const at = (atMs: number, bytes: number, packets: number, lost: number) => ({ atMs, bytes, packets, lost });
  expect(rateBps(at(0, 0, 0, 0), at(2000, 250_000, 0, 0))).toBe(1_000_000);
  expect(rateBps(at(5, 0, 0, 0), at(5, 9, 0, 0))).toBe(0);
  expect(lossShare(at(0, 0, 100, 5), at(1, 0, 200, 15))).toBe(0.1);
  expect(lossShare(at(0, 0, 100, 5), at(1, 0, 200, 3))).toBe(0);
  expect(lossShare(at(0, 0, 100, 5), at(1, 0, 100, 5))).toBeNull();
  expect([median([9, 1, 5]), median([]), median([4, 8])]).toEqual([5, null, 4]);
});

test.each([
  ["v=0\r\na=candidate:1 1 udp 2130706431 10.0.0.1 7881 typ host\r\n", 7881],
  ["v=0\r\na=candidate:1 1 UDP 2130706431 2001:db8::1 443 typ host\r\n", 443],
  ["v=0\r\na=candidate:1 1 tcp 2130706431 10.0.0.1 9 typ host\r\n", null],
  ["", null],
])("the relay's port of %j is %s", (sdp, port) => {
  expect(portOf(sdp)).toBe(port);
});

// ---- devices

const refuse = (name: string) => () => Promise.reject(new DOMException("no", name));

test.each([
  ["NotAllowedError", "denied"],
  ["NotFoundError", "none"],
  ["NotReadableError", "busy"],
  ["TypeError", "busy"],
])("a camera that fails with %s is %s, and the microphone is tried by itself", async (name, expected) => {
  class FakeStream {
    readonly tracks: unknown[] = [];
    addTrack(track: unknown): void {
      this.tracks.push(track);
    }
    getTracks(): unknown[] {
      return this.tracks;
    }
  }
  const before = globalThis.MediaStream as unknown;
  Object.assign(globalThis, { MediaStream: FakeStream });
  try {
    const media = {
      getUserMedia: (wish: MediaStreamConstraints) =>
        wish.video === undefined ? Promise.resolve({ getTracks: () => ["sound"] }) : refuse(name)(),
    } as unknown as MediaDevices;
    const opened = await openDevices(media);
    expect([opened.camera, opened.microphone, opened.stream.getTracks()]).toEqual([expected, "ok", ["sound"]]);
    expect(await openDevices(undefined)).toMatchObject({ camera: "denied", microphone: "denied" });
  } finally {
    Object.assign(globalThis, { MediaStream: before });
  }
});

// ---- words

const reason = (code: string, value: unknown = null, grade: Reason["grade"] = "amber"): Reason => ({ code, value, grade });

test.each([
  [reason("slowUp", 900_000), "Slow to the server: 900 kbit/s"],
  [reason("slowDown", 1_500_000), "Slow from the server: 1.5 Mbit/s"],
  [reason("lossUp", 0.034), "3.4 % is lost on the way to the server"],
  [reason("lossDown", 0.5), "50 % is lost on the way from the server"],
  [reason("farAway", 640.4), "Answers take long: 640 ms"],
  [reason("slowPicture", 7), "Only 7 pictures a second"],
  [reason("noCamera", "busy"), "The camera is used by another program"],
  [reason("noMicrophone", "denied"), "The microphone is not allowed"],
  [reason("somethingNew", 3), "Something else is wrong"],
])("%j is told as %s", (one, text) => {
  expect(reasonText(one)).toBe(text);
});

test.each(["vi", "ru", "en"] as const)("every reason has a sentence and something to do in %s", async (language) => {
  await setLanguage(language, null);
  const codes = ["noCamera", "noMicrophone", "noUdp", "noWebSocket", "notSecure", "slowUp", "slowDown", "lossUp", "lossDown", "farAway", "unsteady", "slowPicture", "noPicture", "new"];
  for (const code of codes) {
    for (const text of [reasonText(reason(code, 1)), reasonTodo(reason(code, 1), 7881), reasonTodo(reason(code, 1), null)]) {
      expect(text, code).not.toMatch(/\{\{|^reason\.|^problem\./);
      expect(text.length, code).toBeGreaterThan(8);
    }
  }
  expect(reasonTodo(reason("noUdp"), 7881)).toContain("7881");
  await setLanguage("en", null);
});

test("a step is as bad as the worst that it found out", () => {
  const verdict = { grade: "red", reasons: [reason("slowUp", 1, "amber"), reason("lossUp", 1, "red"), reason("new", 1, "red")] } as const;
  expect([gradeOf("up", verdict), gradeOf("down", verdict), reasonCode(reason("new"))]).toEqual(["red", null, "other"]);
});

test("what has not run when the line is blocked is left out", () => {
  const steps = cutShort(changed(changed(ALL_WAITING, "devices", { state: "done" }), "connection", { state: "done" }));
  expect(Object.values(steps).map(({ state }) => state)).toEqual(["done", "done", "skipped", "skipped", "skipped"]);
});

test.each([
  ["Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36", "Chrome 140, Windows"],
  ["Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36 Edg/140.0.1", "Edge 140, Windows"],
  ["Mozilla/5.0 (iPhone; CPU iPhone OS 18_1 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.1 Mobile/15E148 Safari/604.1", "Safari 18, iOS"],
  ["Mozilla/5.0 (X11; Linux x86_64; rv:143.0) Gecko/20100101 Firefox/143.0", "Firefox 143, Linux"],
  ["Mozilla/5.0 (Linux; Android 14) AppleWebKit/537.36 (KHTML, like Gecko) SamsungBrowser/27.0 Chrome/125.0.0.0 Mobile Safari/537.36", "Samsung Internet 27, Android"],
  ["curl/8", ""],
])("%s is %s", (agent, name) => {
  expect(browserName(agent)).toBe(name);
});

// ---- letting go

test("a page that is hidden ends the check with a reason, and lets go of the devices", async () => {
  const stopped: string[] = [];
  class FakeStream {
    constructor(private readonly tracks: readonly { kind: string; stop: () => void }[] = []) {}
    getTracks = () => this.tracks;
    getVideoTracks = () => this.tracks.filter(({ kind }) => kind === "video");
    getAudioTracks = () => this.tracks.filter(({ kind }) => kind === "audio");
  }
  vi.stubGlobal("MediaStream", FakeStream);
  const tracks = ["video", "audio"].map((kind) => ({ kind, stop: () => stopped.push(kind) }));
  const ended: string[] = [];
  let begun: (check: string) => void = () => undefined;
  const check = new LineCheck(
    {
      begin: () => new Promise((resolve) => (begun = resolve)),
      end: (id) => Promise.resolve(void ended.push(id)),
      up: () => Promise.reject(new Error("not reached")),
      back: () => Promise.reject(new Error("not reached")),
      result: () => Promise.reject(new Error("not reached")),
    },
    {
      media: { getUserMedia: () => Promise.resolve(new FakeStream(tracks)) } as unknown as MediaDevices,
      secure: true,
      userAgent: "",
      createPeer: () => ({ close: () => undefined }) as RTCPeerConnection,
      webSocketOpens: () => Promise.resolve(true),
      audioContext: () => null,
      nowMs: () => 0,
    },
  );
  check.start();
  check.hidden();
  expect(check.phase.value.name).toBe("running");
  await vi.waitUntil(() => check.steps.value.devices.state === "done");
  check.hidden();
  expect(check.phase.value).toEqual({ name: "failed", code: "hidden" });
  expect(stopped.sort()).toEqual(["audio", "video"]);
  expect(check.camera.value).toBeNull();
  // What the server began meanwhile is ended, too.
  begun("c1");
  await vi.waitUntil(() => ended.length > 0);
  expect([ended, check.phase.value.name]).toEqual([["c1"], "failed"]);
  vi.unstubAllGlobals();
});
