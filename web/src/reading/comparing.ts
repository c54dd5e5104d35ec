// Owns what is laid beside what: the earlier study of a patient, the series in it that is like another, and where a linked series goes. Pure.

import type { Series, SeriesHead, StudyHead } from "./model";
import { nearest } from "./order";
import { kinship } from "./patients";
import { flatOf } from "./placement";
import { add, dot, minus } from "./vectors";

/** Planes that lean no more than this to each other are gone through side by side. */
const ALIKE = 0.9;

/** The newest study of the same patient before another one, of its modality if there is one. */
export function earlierStudy(studies: readonly StudyHead[], than: StudyHead, modality: string): StudyHead | null {
  const before = studies
    .filter((each) => each.uid !== than.uid && kinship(than, each) === "same" && each.date !== "" && each.date < than.date)
    .sort((a, b) => (a.date < b.date ? 1 : -1));
  return before.find(({ modalities }) => modalities.includes(modality)) ?? before[0] ?? null;
}

/** The series that shows most nearly the same; null where none is of its modality. */
export function likeSeries(all: readonly SeriesHead[], to: SeriesHead): SeriesHead | null {
  const alike = all.filter(({ modality, instances }) => modality === to.modality && instances > 0);
  const rated = alike.map((series) => ({ series, points: likeness(series, to) }));
  return rated.reduce<(typeof rated)[number] | null>((best, each) => (best === null || each.points > best.points ? each : best), null)?.series ?? null;
}

/** What is called the same counts most, then the part of the body, then how many pictures there are. */
function likeness(one: SeriesHead, other: SeriesHead): number {
  const [few, many] = [one.instances, other.instances].sort((a, b) => a - b) as [number, number];
  const words = wordsOf(one.description);
  const shared = wordsOf(other.description).filter((word) => words.includes(word)).length;
  const all = new Set([...words, ...wordsOf(other.description)]).size;
  const isSamePart = one.bodyPart !== "" && one.bodyPart.toLowerCase() === other.bodyPart.toLowerCase();
  return (all > 0 ? (3 * shared) / all : 0) + (isSamePart ? 1 : 0) + (many > 0 ? few / many : 0) + (one.number === other.number ? 0.1 : 0);
}

const wordsOf = (description: string): readonly string[] => description.toLowerCase().split(/[\s,;/()]+/).filter((word) => word !== "");

/** Where a linked series stood when it was linked. */
export interface Stand {
  readonly series: Series;
  readonly anchor: number;
}

/**
 * The picture of another series that goes with picture `at` of one: in one frame of reference that in the same place of the body, else that
 * as far from where it was linked, in millimetres where both lie in a body, by pictures where they do not. Null: it stays.
 */
export function linkedPlace(one: Stand, at: number, other: Stand): number | null {
  const picture = one.series.pictures[at];
  const from = one.series.pictures[one.anchor];
  const to = other.series.pictures[other.anchor];
  if (!picture || !from || !to) return null;
  if (!picture.plane || !from.plane || !to.plane) return limited(other.anchor + at - one.anchor, other.series);
  const { centre } = flatOf(picture);
  if (picture.frameOfReference !== "" && picture.frameOfReference === to.frameOfReference) return nearest(other.series.pictures, centre);
  if (Math.abs(dot(from.plane.normal, to.plane.normal)) < ALIKE) return null;
  return nearest(other.series.pictures, add(flatOf(to).centre, minus(centre, flatOf(from).centre)));
}

/** Where a series begins beside another one: the same place of the body, else as far through it. */
export function likePlace(one: Series, at: number, other: Series): number {
  const picture = one.pictures[at];
  if (picture?.plane && picture.frameOfReference !== "" && picture.frameOfReference === other.frameOfReference) {
    return nearest(other.pictures, flatOf(picture).centre) ?? 0;
  }
  const share = one.pictures.length > 1 ? at / (one.pictures.length - 1) : 0;
  return limited(Math.round(share * (other.pictures.length - 1)), other);
}

const limited = (at: number, { pictures }: Series): number => Math.min(pictures.length - 1, Math.max(0, at));
