// Owns what is asked of devices: constraints for each source, which device to choose, and what a refusal means in one
// word. Pure, but for the two calls into MediaDevices.

import type { Source } from "./protocol";
import type { DeviceChoice, DeviceProblem, Devices } from "./state";

/** Names under which capture cards for HDMI, S-Video and the like are known to report themselves. */
const CAPTURE_CARD =
  /capture|grabber|hdmi|dvi|sdi|cam ?link|magewell|epiphan|av\.?io|elgato|avermedia|usb ?video|easycap|ultraso|video (in|dongle)/i;

export const NO_DEVICES: Devices = { cameras: [], microphones: [], speakers: [], named: false };

export async function listDevices(media: MediaDevices | undefined): Promise<Devices> {
  if (!media) return NO_DEVICES;
  const all = await media.enumerateDevices().catch(() => []);
  const of = (kind: MediaDeviceKind): DeviceChoice[] =>
    all
      .filter((device) => device.kind === kind && device.deviceId !== "")
      .map((device) => ({ id: device.deviceId, label: device.label }));
  return {
    cameras: of("videoinput"),
    microphones: of("audioinput"),
    speakers: of("audiooutput"),
    named: all.some((device) => device.label !== ""),
  };
}

/** The device to open for a source: the remembered one if it is there, else the likeliest that nobody else uses. */
export function pickDevice(
  source: Source,
  devices: Devices,
  remembered: string | null,
  taken: readonly string[],
): string | null {
  const choices = source === "microphone" || source === "ultrasoundSound" ? devices.microphones : devices.cameras;
  if (remembered !== null && choices.some((choice) => choice.id === remembered)) return remembered;
  const free = choices.filter((choice) => !taken.includes(choice.id));
  const fromCard = (choice: DeviceChoice) => CAPTURE_CARD.test(choice.label);
  switch (source) {
    case "ultrasound":
    case "microscope":
    case "ultrasoundSound":
      return (free.find(fromCard) ?? free[0])?.id ?? null;
    case "camera":
      return (free.find((choice) => !fromCard(choice)) ?? free[0])?.id ?? null;
    case "microphone":
    case "screen":
      return null;
  }
}

export function constraintsOf(source: Source, deviceId: string | null): MediaStreamConstraints {
  const device = deviceId === null ? {} : { deviceId: { exact: deviceId } };
  switch (source) {
    case "microphone":
      return { audio: { ...device, echoCancellation: true, noiseSuppression: true, autoGainControl: true } };
    case "ultrasoundSound":
      return {
        audio: {
          ...device,
          echoCancellation: false,
          noiseSuppression: false,
          autoGainControl: false,
          channelCount: { ideal: 2 },
        },
      };
    case "camera":
      return { video: { ...device, width: { ideal: 1280 }, height: { ideal: 720 }, frameRate: { ideal: 30 } } };
    case "ultrasound":
    case "microscope":
      return { video: { ...device, width: { ideal: 1920 }, height: { ideal: 1080 }, frameRate: { ideal: 30 } } };
    case "screen":
      return { video: { frameRate: { ideal: 15, max: 30 } }, audio: false };
  }
}

/** The stream of one source. Rejects as the browser does: see problemOf. */
export async function openDevice(
  media: MediaDevices | undefined,
  source: Source,
  deviceId: string | null,
): Promise<MediaStream> {
  if (!media) throw new DOMException("no media devices without a secure origin", "SecurityError");
  if (source === "screen") return media.getDisplayMedia(constraintsOf(source, null));
  return media.getUserMedia(constraintsOf(source, deviceId));
}

export function problemOf(error: unknown, source: Source): DeviceProblem {
  const name = error instanceof Error ? error.name : "";
  switch (name) {
    case "NotAllowedError":
    case "PermissionDeniedError":
      return source === "screen" ? "cancelled" : "noPermission";
    case "NotFoundError":
    case "DevicesNotFoundError":
      return "noDevice";
    case "NotReadableError":
    case "TrackStartError":
    case "AbortError":
      return "inUse";
    case "OverconstrainedError":
      return "overconstrained";
    case "SecurityError":
      return "insecure";
    default:
      return "unknown";
  }
}
