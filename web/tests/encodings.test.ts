import { expect, test } from "vitest";
import { encodings, firstCodec, orderCodecs } from "../src/encodings";
import { SOURCES } from "../src/protocol";

test("the ultrasound is sent full at up to 8 Mbit/s and 30 frames, with a thumbnail", () => {
  expect(encodings("ultrasound", 1080)).toMatchObject([
    { rid: "l", scaleResolutionDownBy: 6, maxBitrate: 150_000, priority: "high" },
    { rid: "h", scaleResolutionDownBy: 1, maxBitrate: 8_000_000, maxFramerate: 30 },
  ]);
});

test.each([
  [1080, [6, 3, 2]],
  [720, [4, 2, 1]],
  [480, [3, 1, 1]],
  [120, [1, 1, 1]],
])("a camera of %d lines is sent in three layers, none larger than 720 lines if it can be helped", (height, scales) => {
  expect(encodings("camera", height).map(({ scaleResolutionDownBy }) => scaleResolutionDownBy)).toEqual(scales);
  expect(encodings("camera", height).map(({ rid }) => rid)).toEqual(["l", "m", "h"]);
});

test.each(SOURCES)("%s names its priority on the first layer only, as Chromium asks", (source) => {
  const [first, ...others] = encodings(source, 720);
  expect(first?.priority).toBeDefined();
  expect(others.filter((layer) => layer.priority !== undefined || layer.networkPriority !== undefined)).toEqual([]);
});

test("codecs are ordered, and resilience formats stay at the end", () => {
  const types = ["video/rtx", "video/AV1", "video/VP8", "video/VP9", "video/H264", "video/ulpfec"];
  const ordered = orderCodecs(types.map((mimeType) => ({ mimeType })), "video/H264").map(({ mimeType }) => mimeType);
  expect(ordered).toEqual(["video/H264", "video/VP8", "video/AV1", "video/VP9", "video/rtx", "video/ulpfec"]);
});

const capable = (info: object) => ({ encodingInfo: () => Promise.resolve(info as MediaCapabilitiesEncodingInfo) });

test.each([
  ["ultrasound", { supported: true, smooth: true, powerEfficient: true }, "video/H264"],
  ["ultrasound", { supported: true, smooth: true, powerEfficient: false }, "video/VP8"],
  ["camera", { supported: true, smooth: true, powerEfficient: true }, "video/VP8"],
] as const)("%s with %j is sent as %s", async (source, info, codec) => {
  await expect(firstCodec(source, capable(info))).resolves.toBe(codec);
});

test("a browser that cannot say sends VP8", async () => {
  await expect(firstCodec("ultrasound", undefined)).resolves.toBe("video/VP8");
  const broken = { encodingInfo: () => Promise.reject(new TypeError("webrtc is not a type")) };
  await expect(firstCodec("ultrasound", broken)).resolves.toBe("video/VP8");
});
