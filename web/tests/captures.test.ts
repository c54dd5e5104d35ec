import { expect, test } from "vitest";
import { Captures } from "../src/captures";
import type { KeyValueStore } from "../src/captures";
import { FakeClock } from "./fakes";

class FakeTrack extends EventTarget {
  enabled = true;
  readyState = "live";
  constructor(
    readonly kind: string,
    readonly deviceId: string,
  ) {
    super();
  }
  readonly label = "label";
  getSettings() {
    return { deviceId: this.deviceId, height: 1080, frameRate: 30 };
  }
  stop(): void {
    this.readyState = "ended";
  }
}

function memory(): KeyValueStore & { readonly values: Map<string, string> } {
  const values = new Map<string, string>();
  return {
    values,
    get: (key) => values.get(key) ?? null,
    set: (key, value) => void values.set(key, value),
    remove: (key) => void values.delete(key),
  };
}

function setUp() {
  const opened: FakeTrack[] = [];
  const refusals: string[] = [];
  const listeners: (() => void)[] = [];
  const media = {
    addEventListener: (_type: string, listener: () => void) => listeners.push(listener),
    enumerateDevices: () =>
      Promise.resolve(["web", "card"].map((id) => ({ deviceId: id, kind: "videoinput", label: id === "card" ? "HDMI Capture" : "Webcam" }))),
    getUserMedia: (constraints: MediaStreamConstraints) => {
      const refusal = refusals.shift();
      if (refusal) return Promise.reject(new DOMException("", refusal));
      const kind = constraints.video ? "video" : "audio";
      const wanted = (constraints.video as { deviceId?: { exact: string } } | undefined)?.deviceId?.exact;
      const track = new FakeTrack(kind, wanted ?? "web");
      opened.push(track);
      return Promise.resolve({ getTracks: () => [track], getVideoTracks: () => [track] });
    },
  };
  const lost: string[] = [];
  const kept = memory();
  const clock = new FakeClock();
  const captures = new Captures(
    {
      media: media as unknown as MediaDevices,
      memory: kept,
      after: clock.after,
      audioContext: () => null,
      grab: () => Promise.resolve(new Uint8ClampedArray(64 * 36 * 4)),
    },
    (source) => lost.push(source),
  );
  const plug = async () => {
    for (const listener of listeners) listener();
    await clock.advance(0);
    await clock.advance(0);
  };
  return { captures, opened, refusals, lost, kept, plug };
}

test("opens the likeliest device and shows it; a choice is remembered", async () => {
  const { captures, kept } = setUp();
  await captures.start("ultrasound");
  expect(captures.get("ultrasound")).toMatchObject({ state: "live", deviceId: "card", problem: null });
  await captures.start("ultrasound", "web");
  expect(captures.get("ultrasound").deviceId).toBe("web");
  expect(kept.values.get("bridge.device.ultrasound")).toBe("web");
});

test("another device replaces the first only when it is there", async () => {
  const { captures, opened } = setUp();
  await captures.start("ultrasound", "card");
  await captures.start("ultrasound", "web");
  expect(opened.map(({ readyState }) => readyState)).toEqual(["ended", "live"]);
});

test("what the browser refuses is said in one word", async () => {
  const { captures, refusals } = setUp();
  refusals.push("NotAllowedError");
  await captures.start("camera");
  expect(captures.get("camera")).toMatchObject({ state: "failed", problem: "noPermission", stream: null });
});

test("a remembered device that cannot be had gives way to any", async () => {
  const { captures, refusals } = setUp();
  refusals.push("OverconstrainedError");
  await captures.start("camera", "gone");
  expect(captures.get("camera").state).toBe("live");
});

test("a camera that is off is released, a muted microphone is kept", async () => {
  const { captures, opened } = setUp();
  await captures.start("camera");
  await captures.start("microphone");
  await captures.setMuted("camera", true);
  await captures.setMuted("microphone", true);
  expect(opened[0]?.readyState).toBe("ended");
  expect(captures.get("camera")).toMatchObject({ state: "live", muted: true, stream: null });
  expect(opened[1]).toMatchObject({ readyState: "live", enabled: false });
  await captures.setMuted("camera", false);
  await captures.setMuted("microphone", false);
  expect(captures.get("camera").stream).not.toBeNull();
  expect(opened[1]?.enabled).toBe(true);
});

test("a device that is pulled out is told, and comes back when it is plugged in again", async () => {
  const { captures, opened, lost, plug } = setUp();
  await captures.start("ultrasound");
  opened[0]?.dispatchEvent(new Event("ended"));
  expect(captures.get("ultrasound")).toMatchObject({ state: "failed", problem: "unplugged" });
  expect(lost).toEqual(["ultrasound"]);
  await plug();
  expect(captures.get("ultrasound").state).toBe("live");
});

test("a reload begins again what was on, as muted as it was", async () => {
  const first = setUp();
  await first.captures.start("microphone");
  await first.captures.setMuted("microphone", true);
  await first.captures.start("camera");
  await first.captures.setMuted("camera", true);
  await first.captures.start("ultrasound");
  const second = setUp();
  await second.captures.restore(first.captures.wishes());
  expect(second.captures.get("microphone")).toMatchObject({ state: "live", muted: true });
  expect(second.captures.get("camera")).toMatchObject({ state: "live", muted: true, stream: null });
  expect(second.captures.get("ultrasound")).toMatchObject({ state: "live", muted: false });
  expect(second.opened.find(({ kind }) => kind === "audio")?.enabled).toBe(false);
});

test("looks at what the card delivers", async () => {
  const { captures } = setUp();
  await captures.start("ultrasound");
  await captures.inspect("ultrasound", 12);
  expect(captures.get("ultrasound").warnings).toEqual(["slow", "black"]);
});

test("stopping lets go of the device", async () => {
  const { captures, opened } = setUp();
  await captures.start("camera");
  await captures.stop("camera");
  expect(opened[0]?.readyState).toBe("ended");
  expect(captures.get("camera").state).toBe("off");
  expect(captures.wishes()).toEqual([]);
});
