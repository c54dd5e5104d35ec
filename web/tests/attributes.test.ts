// Tests src/reading/attributes.ts: what is asked for of a series is all that is read of it.

import { expect, test } from "vitest";
import calibration from "../src/reading/calibration.ts?raw";
import { NEEDED, OF_FIRST } from "../src/reading/attributes";
import type { Dataset } from "../src/reading/dataset";
import { createStudyApi, videosAmong } from "../src/reading/loading/api";
import api from "../src/reading/loading/api.ts?raw";
import { seriesOf } from "../src/reading/model";
import model from "../src/reading/model.ts?raw";
import order from "../src/reading/order.ts?raw";

const HEAD = { study: "1", uid: "1.2", modality: "", description: "", bodyPart: "", number: 1, instances: 1 };
const element = (...Value: unknown[]) => ({ Value });
const SIZE: Dataset = { "00280010": element(8), "00280011": element(8), "00280002": element(1), "00280100": element(16) };
const PLACED: Dataset = { "00200032": element(0, 0, 0), "00200037": element(1, 0, 0, 0, 1, 0) };
const LUT = { "00283002": element(2, 0, 8), "00283006": element(1, 2) };

/** Between them they go every way through what reads a series. */
const OBJECTS: Readonly<Record<string, Dataset>> = {
  ct: { ...SIZE, ...PLACED, "00080060": element("CT"), "00280004": element("MONOCHROME2"), "00280030": element(1, 1) },
  film: { ...SIZE, "00080060": element("DX"), "00280004": element("MONOCHROME1"), "00280030": element(1, 1), "00181164": element(1, 1), "00283000": element(LUT), "00283010": element(LUT) },
  ultrasound: { ...SIZE, "00080060": element("US"), "00280004": element("RGB"), "00280002": element(3), "00280008": element(5), "00186011": element({}) },
  loop: { ...SIZE, "00280004": element("PALETTE COLOR"), "00280008": element(5), "00281101": element(2, 0, 8), "00281201": element(1), "00281202": element(1), "00281203": element(1) },
  enhanced: { ...SIZE, ...PLACED, "00280004": element("MONOCHROME2"), "00280008": element(2), "52009229": element({}), "52009230": element({}, {}) },
  ecg: { "00080016": element("1.2.840.10008.5.1.4.1.1.9.1.1") },
  nothing: {},
};

/** Of the lists of studies and series, and of what lies within sequences. */
const ELSEWHERE = [
  ...["00080020", "00080061", "00081030", "0008103E", "00100020", "00100030", "0020000D", "0020000E", "00200011", "00201208", "00201209"],
  ...["00186012", "00186024", "00186026", "0018602C", "0018602E", "00209113", "00209116", "00283002", "00283006", "00289110", "00289132", "00289145"],
];

test("names every attribute that is read, and no other", () => {
  const read = new Set([api, calibration, model, order].flatMap((source) => [...source.matchAll(/"([0-9A-F]{8})"/g)].map(([, tag]) => tag)));
  expect([...read].filter((tag) => !ELSEWHERE.includes(tag ?? "")).sort()).toEqual([...NEEDED].sort());
});

test("asks of the first objects of all series for nothing that may be large", () => {
  const left = NEEDED.filter((tag) => !OF_FIRST.includes(tag));
  expect(left).toEqual(["00181065", "00186011", "00281101", "00281201", "00281202", "00281203", "00283000", "00283010", "52009229", "52009230", "7FE00008", "7FE00009"]);
});

test.each(Object.keys(OBJECTS))("a series of %s is the same from these attributes alone", (name) => {
  const dataset = { ...OBJECTS[name], "00080018": element("1.2.3"), "00080005": element("ISO_IR 192"), "00081090": element("Machine") };
  const needed = Object.fromEntries(Object.entries(dataset).filter(([tag]) => NEEDED.includes(tag)));
  expect(seriesOf(HEAD, [needed], new Set())).toEqual(seriesOf(HEAD, [dataset], new Set()));
});

test("a video is known by how it is stored, without a second question", async () => {
  const asked: string[] = [];
  const studies = createStudyApi("token", (url) => {
    asked.push(url as string);
    const object = { ...OBJECTS.ultrasound, "00080018": element("1.2.3"), "00083002": element("1.2.840.10008.1.2.4.102") };
    return Promise.resolve(new Response(JSON.stringify([object])));
  });
  const metadata = await studies.metadata("1", "1.2");
  expect(seriesOf(HEAD, metadata, videosAmong(metadata)).kind).toBe("video");
  expect(asked).toEqual([`/dicom-web/studies/1/series/1.2/metadata?includefield=${NEEDED.join(",")}`]);
});
