import { expect, test } from "vitest";
import document from "../../docs/protocol.md?raw";
import { asErrorCode, CLOSE_CODES, decode, encode, ERROR_CODES, isChange, MalformedMessage, sourceKind } from "../src/protocol";
import { joined, participant, track } from "./fakes";


test("a snapshot passes through unchanged", () => {
  const message = joined({ participants: [participant("p1", { quality: 2, rttMs: 40.5, loss: 0.01 })], tracks: [track("t1")] });
  expect(decode(JSON.stringify(message))).toEqual(message);
});

test("unknown fields are kept out of the way, unknown messages are null", () => {
  expect(decode('{"type":"stageChanged","seq":1,"stage":[],"later":true}')).toMatchObject({ type: "stageChanged" });
  expect(decode('{"type":"inventedLater"}')).toBeNull();
  expect(decode('{"type":"toString"}')).toBeNull();
});

test.each([
  ["not text", new ArrayBuffer(1)],
  ["not JSON", "{"],
  ["no object", "[]"],
  ["no type", "{}"],
  ["type of another kind", '{"type":1}'],
  ["a change without its number", '{"type":"stageChanged","stage":[]}'],
  ["a change with half a number", '{"type":"stageChanged","seq":1.5,"stage":[]}'],
  ["ids that are none", '{"type":"stageChanged","seq":1,"stage":[1]}'],
  ["a track of an unknown source", JSON.stringify({ type: "trackPublished", seq: 1, track: { ...track("t"), source: "x" } })],
  ["an offer without its number", '{"type":"subscribeOffer","sdp":"","tracks":[],"fresh":false}'],
  ["a snapshot without people", JSON.stringify({ ...joined(), participants: undefined })],
  ["a bad request number", '{"type":"ok","request":-1}'],
])("refuses %s", (_what, data) => {
  expect(() => decode(data)).toThrow(MalformedMessage);
});

test("a request carries its number, news does not", () => {
  expect(JSON.parse(encode({ type: "sendChat", text: "a" }, 7))).toEqual({ type: "sendChat", text: "a", request: 7 });
  expect(JSON.parse(encode({ type: "leave" }))).toEqual({ type: "leave" });
});

test("knows every error and close code of the document, and no other", () => {
  const rows = [...document.matchAll(/^\| `(\w+)` \| \d{3} \| (\d{4}|-) \|/gm)];
  expect(rows.length).toBeGreaterThan(15);
  expect(rows.map(([, code]) => code).sort()).toEqual([...ERROR_CODES].sort());
  const closes = rows.filter(([, , close]) => close !== "-").map(([, code, close]) => [close, code]);
  expect(Object.entries(CLOSE_CODES).sort()).toEqual(closes.sort());
});

test("knows every change and piece of news of the document", () => {
  const section = document.slice(document.indexOf("### Changes"), document.indexOf("## HTTP"));
  const [numbered = "", other = ""] = section.split("Not numbered");
  const names = (text: string) => [...text.matchAll(/^\| `(\w+)` \|/gm)].map(([, name]) => name ?? "");
  expect(names(numbered).length).toBeGreaterThan(10);
  expect(names(numbered).filter((name) => !isChange({ type: name }))).toEqual([]);
  for (const name of names(other)) {
    // Known types are checked (and found wanting here); unknown ones would be passed over as null.
    const bare = () => decode(JSON.stringify({ type: name }));
    if (name === "ok" || name === "publisherDown") expect(bare()).toEqual({ type: name });
    else expect(bare).toThrow(MalformedMessage);
  }
});

test("an error code of a newer server is shown as internal", () => {
  expect(asErrorCode("sessionFull")).toBe("sessionFull");
  expect(asErrorCode("inventedLater")).toBe("internal");
});

test("sources are sound or picture", () => {
  expect(sourceKind("ultrasoundSound")).toBe("audio");
  expect(sourceKind("microphone")).toBe("audio");
  expect(sourceKind("ultrasound")).toBe("video");
});
