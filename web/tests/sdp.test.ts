import { expect, test } from "vitest";
import { withOpusParameters, withStream } from "../src/sdp";

const SDP = [
  "v=0",
  "s=-",
  "m=audio 9 UDP/TLS/RTP/SAVPF 111",
  "a=mid:0",
  "a=msid:old track0",
  "a=rtpmap:111 opus/48000/2",
  "a=fmtp:111 minptime=10;useinbandfec=1",
  "m=audio 9 UDP/TLS/RTP/SAVPF 109",
  "a=mid:10",
  "a=rtpmap:109 opus/48000/2",
  "a=sendonly",
  "m=video 9 UDP/TLS/RTP/SAVPF 96",
  "a=mid:1",
  "a=msid:- track1",
  "a=rtpmap:96 VP8/90000",
  "",
].join("\r\n");

test("adds Opus parameters to one section's own and leaves the rest alone", () => {
  const changed = withOpusParameters(SDP, "0", { stereo: "1", minptime: "20" });
  expect(changed).toContain("a=fmtp:111 minptime=20;useinbandfec=1;stereo=1\r\n");
  expect(changed.replace("minptime=20;useinbandfec=1;stereo=1", "minptime=10;useinbandfec=1")).toBe(SDP);
});

test("writes the line where there was none", () => {
  expect(withOpusParameters(SDP, "10", { stereo: "1" })).toContain("a=rtpmap:109 opus/48000/2\r\na=fmtp:109 stereo=1\r\n");
});

test("does nothing to a section without Opus, or to none", () => {
  expect(withOpusParameters(SDP, "1", { stereo: "1" })).toBe(SDP);
  expect(withOpusParameters(SDP, "7", { stereo: "1" })).toBe(SDP);
});

test("puts a track into a stream", () => {
  expect(withStream(SDP, "1", "with-x")).toBe(SDP.replace("a=msid:- track1", "a=msid:with-x track1"));
});
