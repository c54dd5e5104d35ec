// Owns what a study is made of for who reads it: series, and the pictures of each, as the metadata of DICOMweb tell. Pure.

import { calibrationOf } from "./calibration";
import { item, items, number, numbers, personName, text, texts } from "./dataset";
import type { Dataset, DicomElement } from "./dataset";
import { ordered } from "./order";
import { cross, unit, vectorOf } from "./vectors";
import type { Vector } from "./vectors";

/** `pictures` can be drawn, `video` is played, the others are shown by parts of their own. */
export type SeriesKind = "pictures" | "video" | "waveform" | "document" | "none";

export interface StudyHead {
  readonly uid: string;
  readonly patient: string;
  readonly patientId: string;
  readonly birthDate: string;
  readonly date: string;
  readonly description: string;
  readonly modalities: readonly string[];
  readonly instances: number;
}

export interface SeriesHead {
  readonly study: string;
  readonly uid: string;
  readonly modality: string;
  readonly description: string;
  readonly bodyPart: string;
  readonly number: number | null;
  readonly instances: number;
}

/** How pixels are stored (PS3.3 C.7.6.3). */
export interface PixelForm {
  readonly bitsAllocated: number;
  readonly bitsStored: number;
  readonly signed: boolean;
  readonly samples: number;
  readonly planar: boolean;
  readonly photometric: string;
  readonly isFloat: boolean;
}

/** A table of values: modality LUT, or the three of a palette. */
export interface LookUp {
  readonly first: number;
  readonly count: number;
  readonly bits: number;
  readonly data: readonly DicomElement[];
}

export interface PicturePlane {
  /** Centre of the first pixel, in millimetres of the patient. */
  readonly position: Vector;
  readonly right: Vector;
  readonly down: Vector;
  readonly normal: Vector;
}

/** One frame of one instance. */
export interface Picture {
  readonly id: string;
  readonly study: string;
  readonly series: string;
  readonly instance: string;
  /** From 1 on. */
  readonly frame: number;
  readonly instanceNumber: number;
  readonly columns: number;
  readonly rows: number;
  readonly spacing: readonly [x: number, y: number];
  readonly isMillimetre: boolean;
  readonly plane: PicturePlane | null;
  readonly frameOfReference: string;
  readonly form: PixelForm;
  readonly slope: number;
  readonly intercept: number;
  readonly modalityLut: LookUp | null;
  readonly palette: LookUp | null;
  /** Centre and width that the object asks for. */
  readonly window: readonly [number, number] | null;
  readonly modality: string;
  /** Unit of the values: "HU", or "" where nothing is known of it. */
  readonly unit: string;
  /** What was lost when it was stored small is lost: storing it again without loss would only make it larger. */
  readonly isLossy: boolean;
}

export interface Instance {
  readonly uid: string;
  readonly sopClass: string;
  readonly frames: number;
}

export interface Series extends SeriesHead {
  readonly kind: SeriesKind;
  readonly patient: string;
  readonly instancesOf: readonly Instance[];
  /** In the order in which they are looked through. */
  readonly pictures: readonly Picture[];
  readonly frameOfReference: string;
  /** Of a loop; null for what is no loop. */
  readonly framesPerSecond: number | null;
}

const FRAMES_LIMIT = 20_000;
const SIDE_LIMIT = 65_535;
const USUAL_RATE = 15;
const RATE_LIMIT = 120;
const COLOURS: readonly string[] = ["RGB", "PALETTE COLOR", "YBR_FULL", "YBR_FULL_422", "YBR_PARTIAL_422", "YBR_PARTIAL_420", "YBR_ICT", "YBR_RCT"];
const WAVEFORMS = "1.2.840.10008.5.1.4.1.1.9.";
const REPORTS = ["1.2.840.10008.5.1.4.1.1.88.", "1.2.840.10008.5.1.4.1.1.104."];

export const isColour = (form: PixelForm): boolean => COLOURS.includes(form.photometric);
export const isInverse = (form: PixelForm): boolean => form.photometric === "MONOCHROME1";

export function studyHead(row: Dataset): StudyHead {
  return {
    uid: text(row, "0020000D"),
    patient: personName(row, "00100010"),
    patientId: text(row, "00100020"),
    birthDate: text(row, "00100030"),
    date: text(row, "00080020"),
    description: text(row, "00081030"),
    modalities: texts(row, "00080061"),
    instances: number(row, "00201208") ?? 0,
  };
}

export function seriesHead(row: Dataset, study: string): SeriesHead {
  return {
    study,
    uid: text(row, "0020000E"),
    modality: text(row, "00080060"),
    description: text(row, "0008103E"),
    bodyPart: text(row, "00180015"),
    number: number(row, "00200011"),
    instances: number(row, "00201209") ?? 0,
  };
}

/** By their numbers, as the machine counted them. */
export function inOrder(series: readonly SeriesHead[]): readonly SeriesHead[] {
  return [...series].sort((a, b) => (a.number ?? Infinity) - (b.number ?? Infinity) || (a.uid < b.uid ? -1 : 1));
}

/** `videos` names the instances whose pixels are a video stream. */
export function seriesOf(head: SeriesHead, metadata: readonly Dataset[], videos: ReadonlySet<string>): Series {
  const [first = {}] = metadata;
  const instancesOf = metadata.map((each) => ({
    uid: text(each, "00080018"),
    sopClass: text(each, "00080016"),
    frames: Math.max(1, number(each, "00280008") ?? 1),
  }));
  const kind = kindOf(metadata, instancesOf, videos);
  const pictures = kind === "pictures" ? ordered(metadata.flatMap((each) => picturesOf(each, head)).slice(0, FRAMES_LIMIT)) : [];
  return {
    ...head,
    modality: head.modality === "" ? text(first, "00080060") : head.modality,
    bodyPart: head.bodyPart === "" ? text(first, "00180015") : head.bodyPart,
    kind,
    patient: personName(first, "00100010"),
    instancesOf,
    pictures,
    frameOfReference: pictures[0]?.frameOfReference ?? "",
    framesPerSecond: rateOf(metadata),
  };
}

/**
 * A series as far as its first object tells, of which only attributes beside sequences and tables are known; null where that is
 * not enough for a picture. It may turn out that others come before it.
 */
export function beginningOf(head: SeriesHead, first: Dataset): Series | null {
  const isPlain = isSaid(first, "00281052") && isSaid(first, "00281053") && (number(first, "00280008") ?? 1) === 1;
  if (!isPlain || !text(first, "00280004").startsWith("MONOCHROME")) return null;
  const series = seriesOf(head, [first], new Set());
  return series.kind === "pictures" ? series : null;
}

const isSaid = (dataset: Dataset, tag: string): boolean => number(dataset, tag) !== null;

function kindOf(metadata: readonly Dataset[], instances: readonly Instance[], videos: ReadonlySet<string>): SeriesKind {
  if (instances.some(({ uid }) => videos.has(uid))) return "video";
  if (metadata.some((each) => sizeOf(each) !== null)) return "pictures";
  if (instances.some(({ sopClass }) => sopClass.startsWith(WAVEFORMS))) return "waveform";
  if (instances.some(({ sopClass }) => REPORTS.some((root) => sopClass.startsWith(root)))) return "document";
  return "none";
}

/** Frames of an instance with pixels; with functional groups each has its own (PS3.3 C.7.6.16). */
export function picturesOf(dataset: Dataset, head: Pick<SeriesHead, "study" | "uid">): readonly Picture[] {
  const size = sizeOf(dataset);
  if (size === null) return [];
  const count = Math.min(FRAMES_LIMIT, Math.max(1, number(dataset, "00280008") ?? 1));
  const shared = item(dataset, "52009229");
  const perFrame = items(dataset, "52009230");
  const form = formOf(dataset);
  const common = {
    study: head.study,
    series: head.uid,
    instance: text(dataset, "00080018"),
    instanceNumber: number(dataset, "00200013") ?? 0,
    ...size,
    frameOfReference: text(dataset, "00200052"),
    form,
    palette: form.photometric === "PALETTE COLOR" ? lookUp(dataset, "00281101", ["00281201", "00281202", "00281203"]) : null,
    modality: text(dataset, "00080060"),
    isLossy: text(dataset, "00282110") === "01",
  };
  return Array.from({ length: count }, (_, index) => {
    const own = perFrame[index] ?? {};
    const group = (tag: string): Dataset => {
      const found = item(own, tag);
      return Object.keys(found).length > 0 ? found : item(shared, tag);
    };
    const place = group("00209113");
    const turn = group("00209116");
    const values = { ...dataset, ...group("00289145") };
    const lut = items(values, "00283000")[0];
    return {
      ...common,
      id: `${common.instance}/${index + 1}`,
      frame: index + 1,
      ...calibrationOf(dataset, { ...dataset, ...group("00289110") }),
      plane: planeOf(numbers({ ...dataset, ...place }, "00200032"), numbers({ ...dataset, ...turn }, "00200037")),
      slope: number(values, "00281053") ?? 1,
      intercept: number(values, "00281052") ?? 0,
      modalityLut: lut ? lookUp(lut, "00283002", ["00283006"]) : null,
      window: windowOf({ ...dataset, ...group("00289132") }),
      unit: unitOf(values),
    };
  });
}

function sizeOf(dataset: Dataset): { readonly columns: number; readonly rows: number } | null {
  const columns = number(dataset, "00280011") ?? 0;
  const rows = number(dataset, "00280010") ?? 0;
  const isSize = columns > 0 && rows > 0 && columns <= SIDE_LIMIT && rows <= SIDE_LIMIT;
  return isSize && text(dataset, "00280004") !== "" ? { columns, rows } : null;
}

function formOf(dataset: Dataset): PixelForm {
  const bitsAllocated = number(dataset, "00280100") ?? 8;
  return {
    bitsAllocated,
    bitsStored: number(dataset, "00280101") ?? bitsAllocated,
    signed: number(dataset, "00280103") === 1,
    samples: number(dataset, "00280002") ?? 1,
    planar: number(dataset, "00280006") === 1,
    photometric: text(dataset, "00280004"),
    isFloat: dataset["7FE00008"] !== undefined || dataset["7FE00009"] !== undefined,
  };
}

function planeOf(position: readonly number[], orientation: readonly number[]): PicturePlane | null {
  const at = vectorOf(position);
  const right = unit(vectorOf(orientation) ?? [0, 0, 0]);
  const down = unit(vectorOf(orientation, 3) ?? [0, 0, 0]);
  const normal = right && down && unit(cross(right, down));
  return at && right && down && normal ? { position: at, right, down, normal } : null;
}

function lookUp(dataset: Dataset, descriptor: string, tags: readonly string[]): LookUp | null {
  const [count, first, bits] = numbers(dataset, descriptor);
  const data = tags.map((tag) => dataset[tag]);
  if (count === undefined || first === undefined || bits === undefined) return null;
  if (!data.every((each): each is DicomElement => each !== undefined)) return null;
  return { count: count === 0 ? 65_536 : count, first, bits, data };
}

/** A VOI LUT counts as the window over what it takes in. */
function windowOf(dataset: Dataset): readonly [number, number] | null {
  const centre = number(dataset, "00281050");
  const width = number(dataset, "00281051");
  if (centre !== null && width !== null && width > 0) return [centre, width];
  const [table] = items(dataset, "00283010");
  const [count, first] = table ? numbers(table, "00283002") : [];
  return count === undefined || first === undefined ? null : [first + count / 2, Math.max(1, count)];
}

function unitOf(dataset: Dataset): string {
  const said = text(dataset, "00281054");
  if (said !== "") return said === "US" ? "" : said;
  return text(dataset, "00080060") === "CT" ? "HU" : "";
}

/** The loop's own rate: recommended, cine, or by the time between frames (PS3.3 C.7.6.5). */
function rateOf(metadata: readonly Dataset[]): number | null {
  const loop = metadata.find((each) => (number(each, "00280008") ?? 1) > 1);
  if (!loop || items(loop, "52009229").length > 0) return null;
  const vector = numbers(loop, "00181065").slice(1);
  const frameMs = number(loop, "00181063") ?? (vector.length > 0 ? vector.reduce((sum, each) => sum + each, 0) / vector.length : 0);
  const rate = number(loop, "00082144") ?? number(loop, "00180040") ?? (frameMs > 0 ? 1000 / frameMs : USUAL_RATE);
  return rate > 0 && rate <= RATE_LIMIT ? rate : USUAL_RATE;
}
