// Owns the first guess of which video device is the ultrasound's capture card, from the names that browsers give. Pure.

import type { DeviceChoice } from "../state";

/** Words in the names of HDMI and analogue capture devices; webcams have none of them. */
const CAPTURE_WORDS =
  /capture|grabber|hdmi|dvi|sdi|video ?2? ?usb|usb ?(2\.0|3\.[0-2])? (hd )?video\b|cam link|game ?link|magewell|avermedia|elgato|epiphan|av\.?io|blackmagic|ultrasound|easycap/i;

export interface Guess {
  /** Null: no device looks like a capture card, the person has to choose. */
  readonly ultrasound: string | null;
  /** Null: whatever the browser takes by itself is right. */
  readonly camera: string | null;
}

export function looksLikeCapture(label: string): boolean {
  return CAPTURE_WORDS.test(label);
}

/** `cameraNow` is the device that the room camera runs on: a capture card that was taken for it is given up. */
export function guessDevices(cameras: readonly DeviceChoice[], cameraNow: string | null): Guess {
  const capture = cameras.find(({ label }) => looksLikeCapture(label));
  if (!capture) return { ultrasound: null, camera: null };
  const other = cameras.find(({ label }) => !looksLikeCapture(label));
  return { ultrasound: capture.id, camera: cameraNow === capture.id ? (other?.id ?? null) : null };
}
