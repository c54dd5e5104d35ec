// Tests src/reading/comparing.ts and src/reading/patients.ts: what is laid beside what, and whose it is.

import { expect, test } from "vitest";
import { nextLookMs } from "../src/pages/read/growing";
import { earlierStudy, likePlace, likeSeries, linkedPlace } from "../src/reading/comparing";
import type { Picture, Series, SeriesHead, StudyHead } from "../src/reading/model";
import { kinship } from "../src/reading/patients";
import { changed, cleaned } from "../src/reading/slots";

const READ: StudyHead = { uid: "1", patient: "Nguyễn Văn Bình", patientId: "P-17", birthDate: "19700101", date: "20261120", description: "CT ngực", modalities: ["CT"], instances: 20 };

test.each([
  [{}, "same"],
  [{ patient: "NGUYEN VAN BINH" }, "same"],
  [{ patient: "Nguyễn^Văn^Bình", birthDate: "" }, "same"],
  [{ patientId: "X-1" }, "doubtful"],
  [{ patientId: "" }, "doubtful"],
  [{ birthDate: "19710101" }, "other"],
  [{ patient: "Trần Thị Hoa" }, "other"],
  [{ patient: "" }, "other"],
] as const)("with %j it is the %s patient", (change, expected) => {
  expect(kinship(READ, { ...READ, ...change })).toBe(expected);
});

test("two studies without a name are not of one patient", () => {
  expect(kinship({ ...READ, patient: "" }, { ...READ, patient: "" })).toBe("other");
});

test("the earlier study is the newest one before of the same patient, of the same modality first", () => {
  const older = { ...READ, uid: "2", date: "20250101" };
  const newer = { ...READ, uid: "3", date: "20260312" };
  const ecg = { ...READ, uid: "4", date: "20261001", modalities: ["ECG"] };
  const stranger = { ...READ, uid: "5", date: "20260901", patient: "Trần Thị Hoa" };
  const later = { ...READ, uid: "6", date: "20261201" };
  const undated = { ...READ, uid: "7", date: "" };
  expect(earlierStudy([later, stranger, ecg, older, newer, undated, READ], READ, "CT")?.uid).toBe("3");
  expect(earlierStudy([ecg, later], READ, "CT")?.uid).toBe("4");
  expect(earlierStudy([later, stranger, undated, READ], READ, "CT")).toBeNull();
});

const HEAD: SeriesHead = { study: "1", uid: "1.1", modality: "CT", description: "Axial 5 mm", bodyPart: "CHEST", number: 2, instances: 60 };

test("the like series is of the same modality, and by its words, part of the body and length the nearest", () => {
  const scout = { ...HEAD, uid: "a", description: "Scout", instances: 2, number: 1 };
  const thin = { ...HEAD, uid: "b", description: "Axial 1 mm", instances: 300, number: 3 };
  const like = { ...HEAD, uid: "c", description: "axial 5 mm", instances: 58, number: 4 };
  const report = { ...HEAD, uid: "d", modality: "SR" };
  expect(likeSeries([scout, thin, report, like], HEAD)?.uid).toBe("c");
  expect(likeSeries([scout, thin], HEAD)?.uid).toBe("b");
  expect(likeSeries([report, { ...like, instances: 0 }], HEAD)).toBeNull();
});

function stack(count: number, stepMm: number, more: { readonly frame?: string; readonly from?: number; readonly isFlat?: boolean } = {}): Series {
  const { frame = "", from = 0, isFlat = false } = more;
  const pictures = Array.from({ length: count }, (_, index) => ({
    columns: 10,
    rows: 10,
    spacing: [1, 1],
    frameOfReference: frame,
    plane: isFlat ? null : { position: [0, 0, from + index * stepMm], right: [1, 0, 0], down: [0, 1, 0], normal: [0, 0, 1] },
  })) as unknown as Picture[];
  return { ...HEAD, kind: "pictures", patient: "", instancesOf: [], pictures, frameOfReference: frame, framesPerSecond: null };
}

test("in one frame of reference linked series show the same place of the body, wherever they were linked", () => {
  const [one, other] = [stack(20, 5, { frame: "9" }), stack(100, 1, { frame: "9" })];
  expect(linkedPlace({ series: one, anchor: 3 }, 6, { series: other, anchor: 80 })).toBe(30);
  expect(likePlace(one, 6, other)).toBe(30);
});

test("in two frames of reference they go as many millimetres, and come back to where they were", () => {
  const [one, other] = [stack(20, 5, { frame: "8" }), stack(40, 2.5, { frame: "9", from: 700 })];
  const [a, b] = [{ series: one, anchor: 10 }, { series: other, anchor: 21 }];
  expect(linkedPlace(a, 14, b)).toBe(29);
  expect(linkedPlace(a, 19, b)).toBe(39);
  expect(linkedPlace(a, 10, b)).toBe(21);
  expect(linkedPlace(b, 23, a)).toBe(11);
  expect(likePlace(one, 10, other)).toBe(21);
});

test("pictures that lie in no body go one by one, and stop at the end", () => {
  const [one, other] = [stack(20, 1, { isFlat: true }), stack(8, 1, { isFlat: true })];
  expect(linkedPlace({ series: one, anchor: 2 }, 5, { series: other, anchor: 1 })).toBe(4);
  expect(linkedPlace({ series: one, anchor: 2 }, 19, { series: other, anchor: 1 })).toBe(7);
});

test("how cells are linked is part of the view, and nonsense in it is passed over", () => {
  expect(cleaned("link", [3, null, 0])).toEqual([3, null, 0]);
  expect(cleaned("link", [3, "x"])).toBeUndefined();
  expect(cleaned("link", [1, 2, 3, 4, 5])).toBeUndefined();
  expect(changed({ study: "1", link: [1, 2] }, { study: "2" })).toEqual({ study: "2" });
});

test("a study that grows is looked at again soon, one that rests ever more seldom", () => {
  expect(nextLookMs(true, 40_000)).toBe(5_000);
  expect(nextLookMs(false, 5_000)).toBe(10_000);
  expect(nextLookMs(false, 60_000)).toBe(60_000);
});
