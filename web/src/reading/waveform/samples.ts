// Owns turning a group's bytes into values of its channels (PS3.3 C.10.9.1.5), interleaved as they lie there. Pure.

import { base64 } from "./base64";
import type { Channel, Group } from "./model";

/** More is days of recording, which no page holds. */
export const SIZE_BYTES_MAX = 256 << 20;

export class Samples {
  readonly seconds: number;
  private readonly raw: ArrayLike<number>;
  private readonly padding: number | null;

  constructor(
    readonly group: Group,
    bytes: ArrayBuffer,
  ) {
    const held = Math.floor(bytes.byteLength / (group.bits / 8));
    this.raw = arrayOf(group, bytes.slice(0, held * (group.bits / 8)));
    this.seconds = group.samples / group.rateHz;
    this.padding = paddingOf(group);
  }

  /** In the channel's unit; NaN where nothing was recorded. */
  at(channel: number, sample: number): number {
    const { channels } = this.group;
    const known = channels[channel];
    const raw = sample < 0 || sample >= this.group.samples ? undefined : this.raw[sample * channels.length + channel];
    if (known === undefined || raw === undefined || raw === this.padding) return NaN;
    return raw * known.perSample + known.baseline;
  }

  /** The sample of a channel at a time of the group's clock. */
  sampleAt(channel: Channel, timeS: number): number {
    return Math.round((timeS - channel.skewS) * this.group.rateHz);
  }

  /** Least and most from one time to another; null where nothing was recorded. */
  range(channel: number, fromS: number, toS: number): { readonly least: number; readonly most: number } | null {
    const known = this.group.channels[channel];
    if (known === undefined) return null;
    let least = Infinity;
    let most = -Infinity;
    const last = Math.min(this.group.samples - 1, this.sampleAt(known, toS));
    for (let sample = Math.max(0, this.sampleAt(known, fromS)); sample <= last; sample++) {
      const value = this.at(channel, sample);
      if (value < least) least = value;
      if (value > most) most = value;
    }
    return least <= most ? { least, most } : null;
  }
}

/** Whether this can be drawn; sound that is stored in logarithmic form is not. */
export function isDrawable(group: Group): boolean {
  return arrays[`${group.interpretation}${group.bits}`] !== undefined && group.sizeBytes <= SIZE_BYTES_MAX;
}

const arrays: Readonly<Record<string, (bytes: ArrayBuffer) => ArrayLike<number>>> = {
  SB8: (bytes) => new Int8Array(bytes),
  UB8: (bytes) => new Uint8Array(bytes),
  SS16: (bytes) => new Int16Array(bytes),
  US16: (bytes) => new Uint16Array(bytes),
  SL32: (bytes) => new Int32Array(bytes),
  UL32: (bytes) => new Uint32Array(bytes),
};

/** Values come in little endian, which every browser's arrays are in. */
function arrayOf({ interpretation, bits }: Group, bytes: ArrayBuffer): ArrayLike<number> {
  return arrays[`${interpretation}${bits}`]?.(bytes) ?? [];
}

function paddingOf(group: Group): number | null {
  const inline = group.padding?.InlineBinary;
  const [value] = group.padding?.Value ?? [];
  if (typeof value === "number") return value;
  if (inline === undefined) return null;
  const bytes = base64(inline);
  return bytes.byteLength < group.bits / 8 ? null : (arrayOf(group, bytes.slice(0, group.bits / 8))[0] ?? null);
}
