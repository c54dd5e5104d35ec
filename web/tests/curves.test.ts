// Tests what is understood of waveforms and reports (src/reading/waveform, src/reading/document): leads, units, gaps, paper, calipers, trees.

import { describe, expect, test } from "vitest";
import { reportOf } from "../src/reading/document/report";
import type { Dataset } from "../src/reading/dataset";
import { headOf } from "../src/reading/head";
import { calipersOn, measure, pointsOf } from "../src/reading/waveform/calipers";
import { leadOf, LEADS, waveformOf } from "../src/reading/waveform/model";
import type { Group } from "../src/reading/waveform/model";
import { isTwelveLead, paperOf, placeAt, xOf, yOf } from "../src/reading/waveform/paper";
import { isDrawable, Samples } from "../src/reading/waveform/samples";

const SCALE = { speed: 25, gain: 10 } as const;
const of = (...Value: unknown[]) => ({ Value });
const code = (value: string, meaning = ""): Dataset => ({ "00080100": of(value), "00080104": of(meaning) });

interface Wish {
  readonly unit?: string;
  readonly sensitivity?: number;
  readonly baseline?: number;
  readonly skew?: number;
  readonly label?: string;
}

const channel = ({ unit = "uV", sensitivity = 5, baseline = 0, skew = 0, label = "II" }: Wish = {}): Dataset => ({
  "003A0203": of(label),
  "003A0208": of(code("x")),
  "003A0210": of(sensitivity),
  "003A0211": of(code(unit)),
  "003A0212": of(1),
  "003A0213": of(baseline),
  "003A0215": of(skew),
});

function dataset(channels: readonly Dataset[], samples: number, more: Dataset = {}): Dataset {
  const group: Dataset = {
    "003A0005": of(channels.length),
    "003A0010": of(samples),
    "003A001A": of(500),
    "003A0200": of(...channels),
    "54001004": of(16),
    "54001006": of("SS"),
    "54001010": { BulkDataURI: "/x" },
    ...more,
  };
  return { "54000100": of(group) };
}

function groupOf(channels: readonly Dataset[], samples: number, more: Dataset = {}): Group {
  const [group] = waveformOf(dataset(channels, samples, more)).groups;
  if (group === undefined) throw new Error("no group");
  return group;
}

const twelve = (samples = 5000): Group => groupOf(LEADS.map((label) => channel({ label })), samples);
const flat = (group: Group): (null)[] => group.channels.map(() => null);

describe("leads", () => {
  test.each([
    ["V1", "", "", "V1"],
    ["", "5.6.3-9-1", "", "I"],
    ["", "5.6.3-9-64", "", "aVF"],
    ["", "2:3", "", "V1"],
    ["", "", "Lead aVR, augmented", "aVR"],
    ["", "", "Lead III (derived)", "III"],
    ["avl", "", "", "aVL"],
    ["ART", "", "Arterial pressure", null],
    ["V10", "", "", null],
    ["", "", "", null],
  ])("label %j, code %j, meaning %j is %s", (label, value, meaning, lead) => {
    expect(leadOf(label, value, meaning)).toBe(lead);
  });
});

describe("values", () => {
  test.each([
    ["uV", 5, 0.5],
    ["mV", 5, 500],
    ["V", 0.001, 100],
    ["mm[Hg]", 0.1, 10],
  ])("of 100 in %s with %s each are %s", (unit, sensitivity, value) => {
    const group = groupOf([channel({ unit, sensitivity })], 1);
    expect(new Samples(group, Int16Array.of(100).buffer).at(0, 0)).toBeCloseTo(value);
    expect(group.channels[0]?.unit).toBe(unit.endsWith("V") ? "mV" : unit);
  });

  test("lie interleaved, above their baseline, later by their skew", () => {
    const group = groupOf([channel(), channel({ unit: "mm[Hg]", sensitivity: 1, baseline: 80, skew: 250 })], 2);
    const samples = new Samples(group, Int16Array.of(1, 2, 3, 4).buffer);
    expect([samples.at(1, 0), samples.at(1, 1)]).toEqual([82, 84]);
    expect(group.channels[1]?.skewS).toBe(0.5);
    expect(samples.range(1, 0.5, 0.6)).toEqual({ least: 82, most: 84 });
    expect(samples.range(1, 2, 3)).toBeNull();
  });

  test("that are padding, or were cut off, are gaps", () => {
    const group = groupOf([channel()], 4, { "5400100A": { InlineBinary: btoa("\u0000\u0080") } });
    const samples = new Samples(group, Int16Array.of(100, -32768, 200).buffer);
    expect([0, 1, 2, 3, 4, -1].map((sample) => Number.isNaN(samples.at(0, sample)))).toEqual([false, true, false, true, true, true]);
  });

  test.each([
    ["no samples", { "003A0010": of(0) }],
    ["no rate", { "003A001A": of(0) }],
    ["another number of channels than it says", { "003A0005": of(2) }],
    ["samples of 12 bits", { "54001004": of(12) }],
    ["no data", { "54001010": undefined }],
    ["nonsense", { "003A0010": of("many"), "003A0200": of(1, "x", null) }],
  ])("of a group with %s are not read", (_, more) => {
    expect(waveformOf(dataset([channel()], 10, more as Dataset)).groups).toEqual([]);
  });

  test("of sound, or without end, are not drawn", () => {
    expect(isDrawable(groupOf([channel()], 10))).toBe(true);
    expect(isDrawable(groupOf([channel()], 10, { "54001004": of(8), "54001006": of("MB") }))).toBe(false);
    expect(isDrawable(groupOf([channel()], 1e9))).toBe(false);
  });

  test("that the device measured are told; marks at samples are not", () => {
    const annotations = of(
      { "00700006": of("Sinus rhythm") },
      { "0040A043": of(code("x", "QRS duration")), "0040A30A": of(75), "004008EA": of(code("ms")) },
      { "0040A043": of(code("x", "P onset")), "0040A130": of("POINT"), "0040A30A": of(1) },
    );
    expect(waveformOf({ "0040B020": annotations }).findings).toEqual([
      { name: "", value: "Sinus rhythm" },
      { name: "QRS duration", value: "75 ms" },
    ]);
  });
});

describe("the paper", () => {
  test("of twelve leads has three rows of four, one after the other in time, and a long one", () => {
    const group = twelve();
    const paper = paperOf(group, "standard", SCALE, 0, flat(group));
    expect(isTwelveLead(group)).toBe(true);
    expect(paper.strips.map(({ channel: index }) => group.channels[index]?.label)).toEqual(
      ["I", "aVR", "V1", "V4", "II", "aVL", "V2", "V5", "III", "aVF", "V3", "V6", "II"],
    );
    expect(paper.strips.slice(0, 4).map(({ fromS, toS }) => [fromS, toS])).toEqual([[0, 2.5], [2.5, 5], [5, 7.5], [7.5, 10]]);
    expect(paper.width).toBeCloseTo(15 + 250 + 2);
  });

  test("is 25 mm a second and 10 mm a millivolt, and what lies under a point is what was drawn there", () => {
    const group = twelve();
    const paper = paperOf(group, "rows", SCALE, 0, flat(group));
    const [first] = paper.strips;
    if (first === undefined) throw new Error("no strip");
    expect(xOf(first, 25, 1) - xOf(first, 25, 0)).toBe(25);
    expect(yOf(first, 0) - yOf(first, 1)).toBe(10);
    const place = placeAt(paper, SCALE, xOf(first, 25, 3.2), yOf(first, 0.4));
    expect(place?.strip.channel).toBe(0);
    expect(place?.timeS).toBeCloseTo(3.2);
    expect(place?.value).toBeCloseTo(0.4);
    expect(placeAt(paper, SCALE, 2, 2)).toBeNull();
  });

  test("has room for the highest and the deepest wave", () => {
    const group = groupOf([channel()], 5000);
    const paper = paperOf(group, "rows", SCALE, 0, [{ least: -3, most: 4 }]);
    const [strip] = paper.strips;
    if (strip === undefined) throw new Error("no strip");
    expect(yOf(strip, 4)).toBeGreaterThan(0);
    expect(yOf(strip, -3)).toBeLessThan(paper.height);
  });

  test("fits another unit than volts into its row", () => {
    const group = groupOf([channel({ unit: "mm[Hg]", label: "ART" })], 5000);
    const [strip] = paperOf(group, "rows", SCALE, 0, [{ least: 60, most: 120 }]).strips;
    if (strip === undefined) throw new Error("no strip");
    expect(yOf(strip, 60) - yOf(strip, 120)).toBeCloseTo(27 * 0.8);
  });

  test("ends where the recording ends", () => {
    const group = groupOf([channel()], 7000);
    expect(paperOf(group, "rows", SCALE, 10, [null]).strips[0]).toMatchObject({ fromS: 10, toS: 14 });
  });
});

describe("calipers", () => {
  const group = groupOf([channel(), channel({ unit: "mm[Hg]" })], 5000);
  const caliper = { channel: 0, fromS: 1, toS: 1.8, fromValue: 0, toValue: 1.2 };
  const mark = { id: "a", tool: "caliper", series: "1", instance: "9", frame: 1, points: pointsOf(caliper), text: "", by: "Lan" };

  test("go through the common view and come back", () => {
    expect(calipersOn([mark], "9", 0, group)).toEqual([{ id: "a", by: "Lan", ...caliper }]);
  });

  test.each([
    ["another object", { instance: "8" }],
    ["another group", { frame: 2 }],
    ["another tool", { tool: "length" }],
    ["one point", { points: mark.points.slice(1) }],
    ["a channel that is not there", { points: pointsOf({ ...caliper, channel: 7 }) }],
    ["two channels", { points: mark.points.map(([time, value], index) => [time, value, index] as const) }],
  ])("of %s are passed over", (_, changed) => {
    expect(calipersOn([{ ...mark, ...changed }], "9", 0, group)).toEqual([]);
  });

  test("come to milliseconds, beats a minute and millivolts", () => {
    const measured = measure(caliper, group);
    expect(measured.ms).toBeCloseTo(800);
    expect(measured.perMinute).toBeCloseTo(75);
    expect(measured).toMatchObject({ difference: 1.2, unit: "mV" });
    expect(measure({ ...caliper, toS: 1.001 }, group).perMinute).toBeNull();
  });
});

describe("reports", () => {
  const line = (type: string, name: string, more: Dataset): Dataset => ({ "0040A040": of(type), "0040A043": of(code("1", name)), ...more });

  test.each([
    ["NUM", { "0040A300": of({ "0040A30A": of("54"), "004008EA": of(code("%")) }) }, "54 %"],
    ["NUM", { "0040A300": of({ "0040A30A": of("1.5"), "004008EA": of(code("1")) }) }, "1.5"],
    ["NUM", { "0040A301": of(code("1", "Measurement failed")) }, "Measurement failed"],
    ["TEXT", { "0040A160": of("so") }, "so"],
    ["CODE", { "0040A168": of(code("N", "Normal")) }, "Normal"],
    ["DATE", { "0040A121": of("20260504") }, "2026-05-04"],
    ["TIME", { "0040A122": of("101530.5") }, "10:15:30"],
    ["DATETIME", { "0040A120": of("202605041015+0700") }, "2026-05-04 10:15"],
    ["PNAME", { "0040A123": of({ Alphabetic: "Hà^Trần" }) }, "Hà Trần"],
    ["UIDREF", { "0040A124": of("1.2") }, "1.2"],
    ["NEW", {}, ""],
  ])("have a line of %s", (type, more, value) => {
    const [read] = reportOf({ "0040A730": of(line(type, "what", more)) }).lines;
    expect(read).toMatchObject({ title: "what", value, lines: [] });
  });

  test("are cut where they go on for ever", () => {
    let deep: Dataset = line("CONTAINER", "end", {});
    for (let depth = 0; depth < 100; depth++) deep = line("CONTAINER", String(depth), { "0040A730": of(deep) });
    expect(reportOf({ "0040A730": of(deep) }).isCut).toBe(true);
    const wide = Array.from({ length: 20_000 }, () => line("TEXT", "x", {}));
    const report = reportOf({ "0040A730": of(...wide) });
    expect(report.isCut).toBe(true);
    expect(report.lines.length).toBe(5000);
  });
});

test("whose an object is, and when it was made", () => {
  const patient = { "00100010": of({ Alphabetic: "Nguyễn^Lan" }), "00100020": of("7") };
  expect(headOf({ ...patient, "0008002A": of("20260504101530") })).toEqual({ patient: "Nguyễn Lan", patientId: "7", birthDate: "", date: "20260504", time: "1015" });
  expect(headOf({ "00080020": of("20260504"), "00080030": of("") })).toMatchObject({ patient: "", date: "20260504", time: "" });
});
