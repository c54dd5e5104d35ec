import { expect, test } from "vitest";
import { constraintsOf, listDevices, openDevice, pickDevice, problemOf } from "../src/devices";
import type { Devices } from "../src/state";

const DEVICES: Devices = {
  cameras: [
    { id: "web", label: "Integrated Webcam" },
    { id: "card", label: "USB3 HDMI Capture" },
    { id: "web2", label: "Logitech C920" },
  ],
  microphones: [{ id: "mic", label: "Headset" }],
  speakers: [],
  named: true,
};

test.each([
  ["ultrasound", null, [], "card"],
  ["ultrasound", "web2", [], "web2"],
  ["ultrasound", "gone", [], "card"],
  ["ultrasound", null, ["card"], "web"],
  ["camera", null, [], "web"],
  ["camera", null, ["web"], "web2"],
  ["camera", "card", [], "card"],
  ["microphone", null, [], null],
  ["microphone", "mic", [], "mic"],
] as const)("%s with %s remembered and %j taken opens %s", (source, remembered, taken, device) => {
  expect(pickDevice(source, DEVICES, remembered, taken)).toBe(device);
});

test("the sound of the machine is left as it is, speech is not", () => {
  expect(constraintsOf("ultrasoundSound", null).audio).toMatchObject({
    echoCancellation: false,
    noiseSuppression: false,
    autoGainControl: false,
  });
  expect(constraintsOf("microphone", null).audio).toMatchObject({ echoCancellation: true });
  expect(constraintsOf("ultrasound", "card").video).toMatchObject({
    deviceId: { exact: "card" },
    width: { ideal: 1920 },
    frameRate: { ideal: 30 },
  });
});

test.each([
  ["NotAllowedError", "camera", "noPermission"],
  ["NotAllowedError", "screen", "cancelled"],
  ["NotFoundError", "camera", "noDevice"],
  ["NotReadableError", "ultrasound", "inUse"],
  ["OverconstrainedError", "camera", "overconstrained"],
  ["SecurityError", "camera", "insecure"],
  ["SomethingNewError", "camera", "unknown"],
] as const)("%s of the %s is %s", (name, source, problem) => {
  expect(problemOf(new DOMException("", name), source)).toBe(problem);
});

test("an insecure page has no devices, and says so", async () => {
  expect(await listDevices(undefined)).toMatchObject({ cameras: [], named: false });
  const refused = await openDevice(undefined, "camera", null).catch((error: unknown) => problemOf(error, "camera"));
  expect(refused).toBe("insecure");
});
