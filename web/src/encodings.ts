// Owns how each source is sent: layers, rates, priorities, content hints, codec order. Pure tables and arithmetic.
// Ultrasound: frame rate before resolution, and it gives way last (docs/protocol.md, Publishing; RFC 8853 for the rids).

import { sourceKind } from "./protocol";
import type { Source } from "./protocol";

/** What a thumbnail is scaled to. */
const THUMBNAIL_LINES = 180;
const MIDDLE_LINES = 360;

const KBIT = 1_000;
const MBIT = 1_000_000;

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

/** Layers for a picture of this height, lowest quality first; height 0 if it is not known yet. */
export function encodings(source: Source, heightPx: number): RTCRtpEncodingParameters[] {
  const priority = SEND_PLANS[source].priority;
  const lines = heightPx > 0 ? heightPx : 720;
  // A priority is the whole sender's; Chromium takes it on the first layer only and refuses it on others.
  const thumbnail = { rid: "l", scaleResolutionDownBy: scale(lines, THUMBNAIL_LINES), maxBitrate: 150 * KBIT, priority };
  switch (source) {
    case "microphone":
      return [{ maxBitrate: 40 * KBIT, priority }];
    case "ultrasoundSound":
      return [{ maxBitrate: ULTRASOUND_SOUND_BITRATE_BPS, priority }];
    case "ultrasound":
      return [
        { ...thumbnail, maxFramerate: 15 },
        { rid: "h", scaleResolutionDownBy: 1, maxBitrate: 8 * MBIT, maxFramerate: 30 },
      ];
    case "microscope":
      return [
        { ...thumbnail, maxFramerate: 15 },
        { rid: "h", scaleResolutionDownBy: 1, maxBitrate: 6 * MBIT, maxFramerate: 30 },
      ];
    case "screen":
      return [
        { ...thumbnail, maxFramerate: 5 },
        { rid: "h", scaleResolutionDownBy: 1, maxBitrate: 2.5 * MBIT, maxFramerate: 15 },
      ];
    case "camera":
      return [
        { ...thumbnail, maxFramerate: 15 },
        { rid: "m", scaleResolutionDownBy: scale(lines, MIDDLE_LINES), maxBitrate: 500 * KBIT, maxFramerate: 30 },
        { rid: "h", scaleResolutionDownBy: scale(lines, 720), maxBitrate: 1.5 * MBIT, maxFramerate: 30 },
      ];
  }
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
