// Owns what a waveform object holds (PS3.3 C.10.9 to C.10.11): groups of channels on one clock, their units, leads and filters, and what the
// device says of them. Pure: the JSON model in, plain values out. Bytes are read by `samples.ts`.

import { headOf } from "../head";
import type { ObjectHead } from "../head";
import { item, items, number, text } from "../dataset";
import type { Dataset, DicomElement } from "../dataset";

export interface Channel {
  /** As people call it: "V1", "aVR", or what the device wrote. */
  readonly label: string;
  /** One of the twelve, or null. */
  readonly lead: Lead | null;
  /** value = sample × perSample + baseline, in `unit`. */
  readonly perSample: number;
  readonly baseline: number;
  /** "mV" for every voltage; else as it is written, "" where nothing is said. */
  readonly unit: string;
  /** How much later than the group's first sample its own first one was taken. */
  readonly skewS: number;
  readonly filters: Filters;
}

/** As recorded, in Hz; null where nothing is said. */
export interface Filters {
  readonly lowHz: number | null;
  readonly highHz: number | null;
  readonly notchHz: number | null;
}

export interface Group {
  readonly label: string;
  readonly channels: readonly Channel[];
  readonly samples: number;
  readonly rateHz: number;
  readonly bits: number;
  readonly interpretation: string;
  readonly padding: DicomElement | null;
  readonly data: DicomElement;
  readonly sizeBytes: number;
}

/** "QRS duration: 75 ms", or a sentence of the device such as "Sinus rhythm". */
export interface Finding {
  readonly name: string;
  readonly value: string;
}

export interface WaveformObject {
  readonly head: ObjectHead;
  readonly groups: readonly Group[];
  readonly findings: readonly Finding[];
}

export type Lead = (typeof LEADS)[number];
export const LEADS = ["I", "II", "III", "aVR", "aVL", "aVF", "V1", "V2", "V3", "V4", "V5", "V6"] as const;

const CHANNELS_MAX = 256;
const GROUPS_MAX = 64;
const FINDINGS_MAX = 100;
const RATE_MAX_HZ = 1e6;
const VOLTS_TO_MV: Readonly<Record<string, number>> = { V: 1000, mV: 1, uV: 0.001, "µV": 0.001, "μV": 0.001, nV: 0.000001 };
/** SCP-ECG (5.6.3-9-N) and ISO/IEEE 11073 (2:N) number leads alike. */
const CODED: Readonly<Record<string, Lead>> = {
  1: "I", 2: "II", 3: "V1", 4: "V2", 5: "V3", 6: "V4", 7: "V5", 8: "V6", 61: "III", 62: "aVR", 63: "aVL", 64: "aVF",
};
const CODE = /^(?:5\.6\.3-9-|2:)(\d+)$/;
const SPOKEN = /(?:^|[^a-z])(aVR|aVL|aVF|V[1-6]|III|II|I)(?![a-z0-9])/i;

export function waveformOf(dataset: Dataset): WaveformObject {
  const groups = items(dataset, "54000100").slice(0, GROUPS_MAX).flatMap((each) => groupOf(each) ?? []);
  return { head: headOf(dataset), groups, findings: findingsOf(dataset) };
}

function groupOf(dataset: Dataset): Group | null {
  const channels = items(dataset, "003A0200").slice(0, CHANNELS_MAX);
  const samples = number(dataset, "003A0010") ?? 0;
  const rateHz = number(dataset, "003A001A") ?? 0;
  const bits = number(dataset, "54001004") ?? 0;
  const data = dataset["54001010"];
  const told = number(dataset, "003A0005") ?? channels.length;
  if (data === undefined || channels.length === 0 || told !== channels.length || samples <= 0 || !Number.isInteger(samples)) return null;
  if (!(rateHz > 0 && rateHz <= RATE_MAX_HZ) || ![8, 16, 32].includes(bits)) return null;
  return {
    label: text(dataset, "003A0020"),
    channels: channels.map((each, index) => channelOf(each, index, rateHz)),
    samples,
    rateHz,
    bits,
    interpretation: text(dataset, "54001006"),
    padding: dataset["5400100A"] ?? null,
    data,
    sizeBytes: samples * channels.length * (bits / 8),
  };
}

function channelOf(dataset: Dataset, index: number, rateHz: number): Channel {
  const source = item(dataset, "003A0208");
  const lead = leadOf(text(dataset, "003A0203"), text(source, "00080100"), text(source, "00080104"));
  const said = text(item(dataset, "003A0211"), "00080100");
  const toMv = VOLTS_TO_MV[said];
  const factor = toMv ?? 1;
  const sensitivity = (number(dataset, "003A0210") ?? 1) * (number(dataset, "003A0212") ?? 1);
  return {
    label: lead ?? (text(dataset, "003A0203") || text(source, "00080104") || String(index + 1)),
    lead,
    perSample: sensitivity * factor,
    baseline: (number(dataset, "003A0213") ?? 0) * factor,
    unit: toMv === undefined ? said : "mV",
    skewS: (number(dataset, "003A0214") ?? 0) + (number(dataset, "003A0215") ?? 0) / rateHz,
    filters: { lowHz: number(dataset, "003A0220"), highHz: number(dataset, "003A0221"), notchHz: number(dataset, "003A0222") },
  };
}

/** By its label, its code, or what its code means: devices fill in one or the other. */
export function leadOf(label: string, code: string, meaning: string): Lead | null {
  const coded = CODED[CODE.exec(code)?.[1] ?? ""];
  if (coded !== undefined) return coded;
  for (const words of [label.trim(), meaning]) {
    const spoken = SPOKEN.exec(words)?.[1]?.toLowerCase();
    const found = LEADS.find((lead) => lead.toLowerCase() === spoken);
    if (found !== undefined) return found;
  }
  return null;
}

/** What the device measured or wrote of the whole recording; marks at single samples are not for reading. */
function findingsOf(dataset: Dataset): readonly Finding[] {
  const found: Finding[] = [];
  for (const each of items(dataset, "0040B020")) {
    if (found.length >= FINDINGS_MAX) break;
    if (each["0040A130"] !== undefined) continue;
    const name = text(item(each, "0040A043"), "00080104");
    const value = number(each, "0040A30A");
    const words = text(each, "00700006");
    const unit = text(item(each, "004008EA"), "00080100");
    if (value !== null && value !== 0) found.push({ name, value: `${value} ${unit}`.trim() });
    else if (words !== "") found.push({ name: "", value: words });
  }
  return found;
}

