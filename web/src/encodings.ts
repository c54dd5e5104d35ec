// Owns how each source is sent: layers, rates, priorities, content hints, codec order. Pure tables and arithmetic.
// Ultrasound: frame rate before resolution, and it gives way last (docs/protocol.md, Publishing; RFC 8853 for the rids).

import { sourceKind } from "./protocol";
import type { Source } from "./protocol";

/** What a thumbnail is scaled to. */
const THUMBNAIL_LINES = 180;
const MIDDLE_LINES = 360;

const KBIT = 1_000;
const MBIT = 1_000_000;

/** Enough to see who sits there; 200 points of an event together send 12 Mbit/s so, and not 30. */
const WALL = { maxBitrate: 60 * KBIT, maxFramerate: 8 };

/**
 * A full picture costs by its pixels: 7 Mbit/s at 1080p30, and at 640×480 the 1 Mbit/s above which little is gained, so
 * that a clinic's 1.5 Mbit/s line carries it. Below the floor motion suffers.
 */
const FULL_BPS_PER_PIXEL = (7 * MBIT) / (1920 * 1080);
const FULL_FLOOR_BPS = 600 * KBIT;
const FULL_CEILING_BPS = 8 * MBIT;
/** libwebrtc sends three layers only of pictures from this size on: of smaller ones it would leave out the full one. */
const THREE_LAYERS_PX = 960 * 540;
const MIDDLE_CEILING_BPS = 1.2 * MBIT;

export interface PictureSize {
  /** 0 where not known yet. */
  readonly widthPx: number;
  readonly heightPx: number;
}

export interface SendPlan {
  readonly contentHint: "motion" | "detail" | "speech" | "music";
  readonly degradation: RTCDegradationPreference | null;
  readonly priority: RTCPriorityType;
}

export const SEND_PLANS: Readonly<Record<Source, SendPlan>> = {
  ultrasound: { contentHint: "motion", degradation: "maintain-framerate", priority: "high" },
  microscope: { contentHint: "motion", degradation: "balanced", priority: "medium" },
  screen: { contentHint: "detail", degradation: "maintain-resolution", priority: "medium" },
  camera: { contentHint: "motion", degradation: "maintain-framerate", priority: "low" },
  microphone: { contentHint: "speech", degradation: null, priority: "high" },
  ultrasoundSound: { contentHint: "music", degradation: null, priority: "medium" },
};

/** Doppler sound is judged by ear: both channels, and no speech codec's thrift. */
export const ULTRASOUND_SOUND_BITRATE_BPS = 128 * KBIT;

/** What a thumbnail is for. `wall`: nobody sees this camera but in small among hundreds, and each of them sends one. */
export type Thumbnails = "people" | "wall";

/** Layers for a picture of this size, lowest quality first. */
export function encodings(source: Source, size: PictureSize, seen: Thumbnails = "people"): RTCRtpEncodingParameters[] {
  const priority = SEND_PLANS[source].priority;
  const lines = size.heightPx > 0 ? size.heightPx : 720;
  // A priority is the whole sender's; Chromium takes it on the first layer only and refuses it on others.
  const thumbnail = { rid: "l", scaleResolutionDownBy: scale(lines, THUMBNAIL_LINES), maxBitrate: 150 * KBIT, priority };
  switch (source) {
    case "microphone":
      return [{ maxBitrate: 40 * KBIT, priority }];
    case "ultrasoundSound":
      return [{ maxBitrate: ULTRASOUND_SOUND_BITRATE_BPS, priority }];
    case "ultrasound":
    case "microscope":
      return diagnostic(lines, size, priority);
    case "screen":
      return [
        { ...thumbnail, maxFramerate: 5 },
        { rid: "h", scaleResolutionDownBy: 1, maxBitrate: 2.5 * MBIT, maxFramerate: 15 },
      ];
    case "camera":
      return [
        { ...thumbnail, ...(seen === "wall" ? WALL : { maxFramerate: 15 }) },
        { rid: "m", scaleResolutionDownBy: scale(lines, MIDDLE_LINES), maxBitrate: 500 * KBIT, maxFramerate: 30 },
        { rid: "h", scaleResolutionDownBy: scale(lines, 720), maxBitrate: 1.5 * MBIT, maxFramerate: 30 },
      ];
  }
}

/**
 * Each layer is one that a doctor could still work with, for it is what a thin line gets: frames before pixels. Where there
 * are only two, the lower one is half the picture at the full frame rate.
 */
function diagnostic(lines: number, size: PictureSize, priority: RTCPriorityType): RTCRtpEncodingParameters[] {
  const pixels = (size.widthPx > 0 ? size.widthPx : (lines * 16) / 9) * lines;
  const fullBps = Math.round(Math.min(FULL_CEILING_BPS, Math.max(FULL_FLOOR_BPS, pixels * FULL_BPS_PER_PIXEL)));
  const full = { rid: "h", scaleResolutionDownBy: 1, maxBitrate: fullBps, maxFramerate: 30 };
  if (pixels < THREE_LAYERS_PX) {
    return [{ rid: "l", scaleResolutionDownBy: 2, maxBitrate: 300 * KBIT, maxFramerate: 30, priority }, full];
  }
  const middleBps = Math.round(Math.min(MIDDLE_CEILING_BPS, fullBps / 3));
  return [
    { rid: "l", scaleResolutionDownBy: scale(lines, THUMBNAIL_LINES), maxBitrate: 150 * KBIT, maxFramerate: 15, priority },
    { rid: "m", scaleResolutionDownBy: 2, maxBitrate: middleBps, maxFramerate: 30 },
    full,
  ];
}

/** The codecs of this browser in the order in which we would send them; resilience formats stay behind their codecs. */
export function orderCodecs<C extends { mimeType: string }>(codecs: readonly C[], first: "video/VP8" | "video/H264"): C[] {
  const rank = (codec: C) => {
    const type = codec.mimeType.toLowerCase();
    if (type === first.toLowerCase()) return 0;
    if (type === "video/vp8" || type === "video/h264") return 1;
    if (/\/(rtx|red|ulpfec|flexfec-03)$/.test(type)) return 3;
    return 2;
  };
  return [...codecs].sort((a, b) => rank(a) - rank(b));
}

/** H.264 for the large pictures where this device encodes it without effort, VP8 otherwise. */
export async function firstCodec(
  source: Source,
  capabilities: Pick<MediaCapabilities, "encodingInfo"> | undefined,
): Promise<"video/VP8" | "video/H264"> {
  if (!capabilities || sourceKind(source) !== "video" || (source !== "ultrasound" && source !== "microscope")) {
    return "video/VP8";
  }
  try {
    const info = await capabilities.encodingInfo({
      type: "webrtc",
      video: {
        contentType: "video/H264;profile-level-id=42e028;packetization-mode=1",
        width: 1920,
        height: 1080,
        bitrate: 8 * MBIT,
        framerate: 30,
      },
    });
    return info.supported && info.smooth && info.powerEfficient ? "video/H264" : "video/VP8";
  } catch {
    return "video/VP8";
  }
}

/** Whole factors: every layer keeps the picture's shape exactly, which libvpx asks of simulcast. */
function scale(lines: number, toLines: number): number {
  return Math.max(1, Math.round(lines / toLines));
}
