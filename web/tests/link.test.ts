// Tests src/pages/link.ts and src/components/guess.ts: what an address means, and which device is the capture card.

import { expect, test } from "vitest";
import { guessDevices, looksLikeCapture } from "../src/components/guess";
import { eventLink, readLink, replayLink, studyLink } from "../src/pages/link";

test.each([
  ["/", "", { page: "sessions", token: "", now: false }],
  ["/", "#aaa.bbb.ccc", { page: "sessions", token: "aaa.bbb.ccc", now: false }],
  ["/join", "#aaa.bbb.ccc", { page: "join", token: "aaa.bbb.ccc", now: false }],
  ["/join/", "#aaa.bbb.ccc&now", { page: "join", token: "aaa.bbb.ccc", now: true }],
  ["/check", "#aaa.bbb.ccc", { page: "check", token: "aaa.bbb.ccc", now: false }],
  ["/join", "", { page: "join", token: "", now: false }],
  ["/join", "#aaa&nowhere", { page: "join", token: "aaa", now: false }],
])("%s%s", (path, hash, expected) => {
  expect(readLink(path, hash)).toEqual({ recording: "", study: "", event: "", ...expected });
});

test.each([undefined, "01JABC", "odd & r=#%"])("a link to replay names the recording %s, and the token before it", (recording) => {
  const link = new URL(replayLink("aaa.bbb.ccc", recording), "https://hub.example");
  expect(link.search).toBe("");
  const read = readLink(link.pathname, link.hash);
  expect(read).toEqual({ page: "replay", token: "aaa.bbb.ccc", now: false, recording: recording ?? "", study: "", event: "" });
});

test.each([undefined, "1.2.840.1", "odd & s=#%"])("a link to the reader names the study %s, and the token before it", (study) => {
  const link = new URL(studyLink("aaa.bbb.ccc", study), "https://hub.example");
  expect(link.search).toBe("");
  const read = readLink(link.pathname, link.hash);
  expect(read).toEqual({ page: "read", token: "aaa.bbb.ccc", now: false, recording: "", study: study ?? "", event: "" });
});

test.each([undefined, "01jabc", "odd & e=#%"])("a link to an event's page names the event %s, and the token before it", (event) => {
  const link = new URL(eventLink("aaa.bbb.ccc", event), "https://hub.example");
  expect(link.search).toBe("");
  const read = readLink(link.pathname, link.hash);
  expect(read).toEqual({ page: "event", token: "aaa.bbb.ccc", now: false, recording: "", study: "", event: event ?? "" });
});

test("a fragment that is cut in an escape names no recording", () => {
  expect(readLink("/replay", "#aaa&r=%E0%A4").recording).toBe("");
});

test.each([
  ["USB3.0 HD VIDEO (534d:2109)", true],
  ["USB Video", true],
  ["Cam Link 4K (0fd9:0066)", true],
  ["Magewell USB Capture HDMI", true],
  ["AV.io HD", true],
  ["EasyCap", true],
  ["Integrated Webcam (0c45:6a06)", false],
  ["FaceTime HD Camera", false],
  ["Logitech BRIO", false],
  ["", false],
])("a device named %j is a capture card: %s", (label, expected) => {
  expect(looksLikeCapture(label)).toBe(expected);
});

const WEBCAM = { id: "w", label: "Integrated Webcam" };
const CARD = { id: "c", label: "USB Capture HDMI" };

test("the capture card is guessed for the ultrasound, and given up as camera", () => {
  expect(guessDevices([CARD, WEBCAM], "c")).toEqual({ ultrasound: "c", camera: "w" });
  expect(guessDevices([CARD, WEBCAM], "w")).toEqual({ ultrasound: "c", camera: null });
});

test("without anything like a capture card nothing is guessed", () => {
  expect(guessDevices([WEBCAM], "w")).toEqual({ ultrasound: null, camera: null });
});
