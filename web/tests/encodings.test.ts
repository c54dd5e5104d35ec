import { expect, test } from "vitest";
import { encodings, firstCodec, orderCodecs } from "../src/encodings";
import { SOURCES } from "../src/protocol";

test("a large ultrasound is sent full at 7 Mbit/s and 30 frames, half for thin lines, and as a thumbnail", () => {
  expect(encodings("ultrasound", { widthPx: 1920, heightPx: 1080 })).toMatchObject([
    { rid: "l", scaleResolutionDownBy: 6, maxBitrate: 150_000, priority: "high" },
    { rid: "m", scaleResolutionDownBy: 2, maxBitrate: 1_200_000, maxFramerate: 30 },
    { rid: "h", scaleResolutionDownBy: 1, maxBitrate: 7_000_000, maxFramerate: 30 },
  ]);
});

test("a small ultrasound is sent in two layers, the full one in what a thin line carries", () => {
  const [half, full, ...more] = encodings("ultrasound", { widthPx: 640, heightPx: 480 });
  expect(half).toMatchObject({ rid: "l", scaleResolutionDownBy: 2, maxBitrate: 300_000, maxFramerate: 30 });
  expect(full).toMatchObject({ rid: "h", scaleResolutionDownBy: 1, maxFramerate: 30 });
  expect(full?.maxBitrate).toBeGreaterThan(1_000_000);
  expect(full?.maxBitrate).toBeLessThan(1_100_000);
  expect(more).toEqual([]);
});

test.each([
  [320, 240, 600_000],
  [720, 576, 1_400_000],
  [1280, 720, 3_111_111],
  [3840, 2160, 8_000_000],
])("an ultrasound of %d by %d costs by its pixels, within bounds", (widthPx, heightPx, bitrateBps) => {
  expect(encodings("ultrasound", { widthPx, heightPx }).at(-1)?.maxBitrate).toBe(bitrateBps);
});

test.each([
  [1080, [6, 3, 2]],
  [720, [4, 2, 1]],
  [480, [3, 1, 1]],
  [120, [1, 1, 1]],
])("a camera of %d lines is sent in three layers, none larger than 720 lines if it can be helped", (heightPx, scales) => {
  const layers = encodings("camera", { widthPx: 0, heightPx });
  expect(layers.map(({ scaleResolutionDownBy }) => scaleResolutionDownBy)).toEqual(scales);
  expect(layers.map(({ rid }) => rid)).toEqual(["l", "m", "h"]);
});

test("of a camera that is on a wall only, the thumbnail alone is thriftier", () => {
  const size = { widthPx: 1280, heightPx: 720 };
  const [people, wall] = [encodings("camera", size), encodings("camera", size, "wall")];
  expect(wall[0]).toEqual({ ...people[0], maxBitrate: 60_000, maxFramerate: 8 });
  expect(wall.slice(1)).toEqual(people.slice(1));
  expect(encodings("ultrasound", size, "wall")).toEqual(encodings("ultrasound", size));
});

test.each(SOURCES)("%s names its priority on the first layer only, as Chromium asks", (source) => {
  const [first, ...others] = encodings(source, { widthPx: 1280, heightPx: 720 });
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
