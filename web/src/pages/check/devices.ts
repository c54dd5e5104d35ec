// Owns opening camera and microphone for a line check, and what it means when one of them does not open.

import { constraintsOf, problemOf } from "../../devices";
import type { DeviceState } from "./api";

export interface Opened {
  readonly camera: DeviceState;
  readonly microphone: DeviceState;
  readonly stream: MediaStream;
}

/** Both at once, so that the person is asked once; each by itself where that fails. */
export async function openDevices(media: MediaDevices | undefined): Promise<Opened> {
  const both = { ...constraintsOf("camera", null), ...constraintsOf("microphone", null) };
  const stream = await media?.getUserMedia(both).catch(() => undefined);
  if (stream) return { camera: "ok", microphone: "ok", stream };
  const found = new MediaStream();
  const open = async (source: "camera" | "microphone"): Promise<DeviceState> => {
    try {
      if (!media) throw new DOMException("no media devices without a secure origin", "SecurityError");
      const one = await media.getUserMedia(constraintsOf(source, null));
      for (const track of one.getTracks()) found.addTrack(track);
      return "ok";
    } catch (error) {
      return stateOf(error, source);
    }
  };
  return { camera: await open("camera"), microphone: await open("microphone"), stream: found };
}

export function stateOf(error: unknown, source: "camera" | "microphone"): DeviceState {
  switch (problemOf(error, source)) {
    case "noPermission":
    case "insecure":
      return "denied";
    case "noDevice":
      return "none";
    default:
      return "busy";
  }
}
