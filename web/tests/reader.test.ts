// The reader's pure parts: what a study is made of, order, planes, slots, what is fetched next, measures, decoding of plain pixels.

import { describe, expect, it, vi } from "vitest";
import { Changes, TOLD_EVERY_MS } from "../src/reading/changes";
import { calibrationOf } from "../src/reading/calibration";
import { personName } from "../src/reading/dataset";
import type { Dataset } from "../src/reading/dataset";
import { enlarged, fromRunLengths, meant, nativeOf, roomFor } from "../src/reading/decoding/form";
import type { Meaning } from "../src/reading/decoding/form";
import { Beginning, Shelf, wayOf } from "../src/reading/loading/held";
import { outwards, wishes } from "../src/reading/loading/plan";
import { angle, area, distance, valuesIn } from "../src/reading/measure";
import { picturesOf, seriesOf } from "../src/reading/model";
import type { Picture, PixelForm } from "../src/reading/model";
import { crossing, nearest, ordered, volumeOf } from "../src/reading/order";
import { edgeLetters, flatOf, fromCell, mirrored, place, spaceCamera, toCell, toPixel, turned, zoomedAt } from "../src/reading/placement";
import { boundsOf, planeFlat, reach } from "../src/reading/planes";
import { STRAIGHT, changed, cleaned } from "../src/reading/slots";
import { PRESETS, autoLevels, rangeOf } from "../src/reading/windows";

const GREY: PixelForm = { bitsAllocated: 16, bitsStored: 16, signed: true, samples: 1, planar: false, photometric: "MONOCHROME2", isFloat: false };

function element(...Value: unknown[]): { readonly Value: readonly unknown[] } {
  return { Value };
}

function slice(number: number, z: number, more: Dataset = {}): Dataset {
  return {
    "00080018": element(`1.2.${number}`),
    "00080060": element("CT"),
    "00200013": element(number),
    "00200032": element(-10, -20, z),
    "00200037": element(1, 0, 0, 0, 1, 0),
    "00200052": element("1.9"),
    "00280002": element(1),
    "00280004": element("MONOCHROME2"),
    "00280010": element(40),
    "00280011": element(20),
    "00280030": element(0.5, 0.25),
    "00280100": element(16),
    "00280101": element(12),
    "00280103": element(0),
    "00281052": element("-1024"),
    "00281053": element("1"),
    ...more,
  };
}

const head = { study: "1", uid: "1.2" };
const picture = (dataset: Dataset): Picture => {
  const [first] = picturesOf(dataset, head);
  if (!first) throw new Error("no picture");
  return first;
};
const stack = (...places: readonly number[]): readonly Picture[] => places.map((z, index) => picture(slice(index + 1, z)));

describe("a study's parts", () => {
  it("reads names in every writing", () => {
    const name = { "00100010": element({ Alphabetic: "Nguyễn^Văn^An", Ideographic: "阮^文安" }) };
    expect(personName(name, "00100010")).toBe("Nguyễn Văn An (阮 文安)");
    expect(personName({}, "00100010")).toBe("");
  });

  it("takes what each frame says before what all share", () => {
    const [first, second] = picturesOf(
      slice(1, 0, {
        "00280008": element(2),
        "00280030": element(9, 9),
        "52009229": element({ "00289110": element({ "00280030": element(2, 3) }), "00209116": element({ "00200037": element(0, 1, 0, 0, 0, -1) }) }),
        "52009230": element({ "00209113": element({ "00200032": element(1, 2, 3) }) }, { "00209113": element({ "00200032": element(4, 5, 6) }) }),
      }),
      head,
    );
    expect(first?.spacing).toEqual([3, 2]);
    expect(first?.plane?.position).toEqual([1, 2, 3]);
    expect(second?.plane?.position).toEqual([4, 5, 6]);
    expect(second?.plane?.right).toEqual([0, 1, 0]);
    expect(second?.id).toBe("1.2.1/2");
  });

  it("knows a loop's own rate, and what is no picture", () => {
    const series = (...metadata: readonly Dataset[]) =>
      seriesOf({ ...head, modality: "US", description: "", bodyPart: "", number: 1, instances: 1 }, metadata, new Set());
    expect(series(slice(1, 0, { "00280008": element(30), "00181063": element(40) })).framesPerSecond).toBe(25);
    expect(series(slice(1, 0)).framesPerSecond).toBeNull();
    expect(series({ "00080016": element("1.2.840.10008.5.1.4.1.1.9.1.1") }).kind).toBe("waveform");
    expect(series({ "00080016": element("1.2.840.10008.5.1.4.1.1.104.1") }).kind).toBe("document");
    expect(series({ "00080016": element("1.2.840.10008.5.1.4.1.1.66") }).kind).toBe("none");
  });
});

describe("millimetres", () => {
  it("come from pixel spacing, rows first", () => {
    expect(calibrationOf(slice(1, 0), slice(1, 0))).toEqual({ spacing: [0.25, 0.5], isMillimetre: true });
  });

  it("are not taken from the shadow on a detector", () => {
    const shot = { ...slice(1, 0), "00080060": element("DX"), "00181164": element(0.5, 0.25) };
    expect(calibrationOf(shot, shot).isMillimetre).toBe(false);
    expect(calibrationOf({ ...shot, "00280A02": element("FIDUCIAL") }, shot).isMillimetre).toBe(true);
  });

  it("come from ultrasound regions only where all are the same", () => {
    const region = (deltaX: number, format = 1): Dataset => ({
      "00186012": element(format),
      "00186024": element(3),
      "00186026": element(3),
      "0018602C": element(deltaX),
      "0018602E": element(0.02),
    });
    const scan = (...regions: readonly Dataset[]): Dataset => ({ "00080060": element("US"), "00186011": element(...regions) });
    expect(calibrationOf(scan(region(0.01), region(0.01)), {})).toEqual({ spacing: [0.1, 0.2], isMillimetre: true });
    expect(calibrationOf(scan(region(0.01), region(0.03)), {}).isMillimetre).toBe(false);
    expect(calibrationOf(scan(region(0.01), region(0.01, 2)), {}).isMillimetre).toBe(false);
  });
});

describe("the order of slices", () => {
  it("goes along the body, not by number", () => {
    const shuffled = [slice(1, 0), slice(2, 10), slice(3, 5)].map(picture);
    expect(ordered(shuffled).map(({ instanceNumber }) => instanceNumber)).toEqual([1, 3, 2]);
  });

  it("begins where the machine began", () => {
    expect(ordered(stack(10, 5, 0)).map(({ instanceNumber }) => instanceNumber)).toEqual([1, 2, 3]);
  });

  it("goes by number where two lie in one place", () => {
    const twice = [slice(2, 0), slice(1, 5), slice(3, 5)].map(picture);
    expect(ordered(twice).map(({ instanceNumber }) => instanceNumber)).toEqual([1, 2, 3]);
  });

  it("fills a volume only with even distances, places and millimetres", () => {
    const volume = volumeOf(stack(8, 6, 4, 2, 0));
    expect(volume).toMatchObject({ origin: [-10, -20, 0], size: [20, 40, 5], spacing: [0.25, 0.5, 2] });
    expect(volumeOf(stack(0, 2, 4, 9))).toBe("uneven");
    expect(volumeOf(stack(0, 2))).toBe("fewPictures");
    expect(volumeOf([1, 2, 3].map((number) => picture({ ...slice(number, number), "00200032": element() })))).toBe("noPlace");
    expect(volumeOf([1, 2, 3].map((number) => picture({ ...slice(number, number), "00280002": element(3) })))).toBe("colour");
  });

  it("finds the nearest slice to a place, and where planes cross", () => {
    expect(nearest(stack(0, 2, 4, 6), [99, 99, 4.6])).toBe(2);
    const axial = picture(slice(1, 3));
    const coronal = picture({ ...slice(2, 0), "00200032": element(-10, -10, 20), "00200037": element(1, 0, 0, 0, 0, -1) });
    const line = crossing(coronal, axial);
    expect(line?.map(([, row]) => row)).toEqual([20, 20]);
    expect(crossing(axial, axial)).toBeNull();
    expect(crossing({ ...coronal, frameOfReference: "1.8" }, axial)).toBeNull();
  });
});

describe("slots", () => {
  it.each([
    ["layout", "2x2", "2x2"],
    ["layout", "9x9", undefined],
    ["study", "1.2.3", "1.2.3"],
    ["study", "../1", undefined],
    ["at.0", 3.5, 3.5],
    ["at.4", 3, undefined],
    ["at.0", Infinity, undefined],
    ["window.1", [40, 80, 1], [40, 80, 1]],
    ["window.1", [40, 0, 0], undefined],
    ["window.1", "wide", undefined],
    ["camera.0", [2, 0.1, 0, -90, 1], [2, 0.1, 0, 270, 1]],
    ["camera.0", [0, 0, 0, 0, 0], undefined],
    ["cine.0", 500, undefined],
    ["pointer", [0, 1, 2], [0, 1, 2]],
    ["pointer", [7, 1, 2], undefined],
    ["cell.2", { series: "1.2", plane: "axial", more: 1 }, { series: "1.2", plane: "axial" }],
    ["cell.2", { series: "<b>" }, undefined],
    ["__proto__", {}, undefined],
    ["mark.a", null, null],
  ])("%s %j", (name, value, kept) => {
    expect(cleaned(name, value)).toEqual(kept);
  });

  it("keeps marks that are marks", () => {
    const mark = { tool: "length", series: "1", instance: "2", frame: 1, points: [[0, 0, 0]], text: "", by: "" };
    expect(cleaned("mark.x", mark)).toEqual(mark);
    expect(cleaned("mark.x", { ...mark, points: [[0, 0]] })).toBeUndefined();
    expect(cleaned("mark.x", { ...mark, tool: "<svg>" })).toBeUndefined();
  });

  it("are all empty in a new study", () => {
    const view = changed({ study: "1", layout: "2x2", "at.0": 4 }, { study: "2", "at.1": 1 });
    expect(view).toEqual({ study: "2", "at.1": 1 });
    expect(changed(view, { study: "2", "at.1": null })).toEqual({ study: "2" });
    expect(changed(view, { "at.1": "nonsense" })).toEqual(view);
  });

  it("are told on at once, then gathered, then the last of them", () => {
    vi.useFakeTimers();
    const told: unknown[] = [];
    let now = 0;
    const changes = new Changes((each) => told.push(each), () => now);
    for (let at = 1; at <= 5; at++) changes.add({ "at.0": at });
    expect(told).toEqual([{ "at.0": 1 }]);
    now = TOLD_EVERY_MS;
    vi.advanceTimersByTime(TOLD_EVERY_MS);
    expect(told).toEqual([{ "at.0": 1 }, { "at.0": 5 }]);
    vi.useRealTimers();
  });
});

describe("what is fetched", () => {
  const shown = [{ pictures: stack(0, 1, 2, 3, 4), at: 2 }];
  const order = (isMoving: boolean, sharpLimit = 9, smallLimit = 9): readonly string[] =>
    [...wishes({ shown, isMoving, smallLimit, sharpLimit })].map(({ picture: each, grade }) => `${grade} ${each.instanceNumber}`);

  it("begins small where the reader stands, is sharp there, then goes outwards", () => {
    expect(order(false).slice(0, 4)).toEqual(["preview 3", "sharp 3", "preview 3", "preview 4"]);
    expect([...outwards(shown)].map(({ instanceNumber }) => instanceNumber)).toEqual([3, 4, 2, 5, 1]);
    expect(order(false).slice(-2)).toEqual(["sharp 5", "sharp 1"]);
  });

  it("leaves sharp pictures for later while the reader moves, and what has no room for ever", () => {
    expect(order(true).indexOf("sharp 3")).toBeGreaterThan(order(true).lastIndexOf("preview 1"));
    expect(order(false, 2).filter((each) => each.startsWith("sharp"))).toEqual(["sharp 3", "sharp 3", "sharp 4"]);
    expect(order(false, 0, 2).slice(2)).toEqual(["preview 3", "preview 4"]);
  });

  it("has no small picture of what a mean would spoil", () => {
    const large = { ...picture(slice(1, 0)), columns: 512, rows: 512 };
    expect(wayOf(large)).toBe("progressive");
    expect(wayOf({ ...large, isLossy: true })).toBe("stored");
    expect(wayOf({ ...large, form: { ...GREY, photometric: "PALETTE COLOR" } })).toBe("stored");
  });

  describe("keeps to its memory", () => {
    const SHARP_BYTES = 20 * 40 * 2;
    const sharp = { data: new Int16Array(800), columns: 20, rows: 40, samples: 1 } as const;
    const small = { data: new Int16Array(50), columns: 5, rows: 10, samples: 1 } as const;
    const isComing = (): boolean => false;

    it("by letting go of sharp pictures that lie furthest, while their small ones stay", () => {
      const pictures = stack(0, 1, 2);
      const shelf = new Shelf(2 * SHARP_BYTES + 3 * small.data.byteLength);
      for (const each of pictures) {
        shelf.keepSmall(each, small);
        shelf.keep(each, sharp);
      }
      shelf.trim(outwards([{ pictures, at: 0 }]), 9, isComing);
      expect(pictures.map((each) => shelf.of(each).full !== null)).toEqual([true, true, false]);
      expect(pictures.every((each) => shelf.of(each).small !== null)).toBe(true);
    });

    it("by letting go of all of a study that nobody has before them any more, before anything of the one that is shown", () => {
      const [former, shown] = [stack(0, 1), stack(0, 1).map((each) => ({ ...each, id: `other ${each.id}` }))];
      const shelf = new Shelf(2 * SHARP_BYTES + 200);
      for (const each of former) {
        const held = shelf.of(each);
        held.beginning = new Beginning();
        held.beginning.add(new Uint8Array(100));
        shelf.keepSmall(each, small);
      }
      for (const each of shown) shelf.keep(each, sharp);
      expect(shelf.usedBytes).toBe(2 * SHARP_BYTES + 400);
      shelf.trim(outwards([{ pictures: shown, at: 0 }]), 9, isComing);
      expect(shelf.usedBytes).toBe(2 * SHARP_BYTES + 200);
      expect(shown.every((each) => shelf.of(each).full !== null)).toBe(true);
      expect(former.map((each) => shelf.of(each).small !== null)).toEqual([false, true]);
    });

    it("by letting go of what came of codestreams beyond their small pictures, but not of what is coming", () => {
      const pictures = stack(0, 1, 2);
      const shelf = new Shelf(300);
      for (const each of pictures) {
        const held = shelf.of(each);
        held.beginning = new Beginning();
        held.beginning.add(new Uint8Array(150).fill(7));
        held.previewEnd = 100;
        shelf.keepSmall(each, { ...small, data: new Int16Array(0) });
      }
      const [first, , last] = pictures;
      shelf.trim(outwards([{ pictures, at: 0 }]), 9, (id) => id === last?.id);
      expect(pictures.map((each) => shelf.of(each).beginning?.length)).toEqual([100, 100, 150]);
      expect(first && shelf.of(first).beginning?.bytes()).toEqual(new Uint8Array(100).fill(7));
    });

    it("by asking for no more than stays", () => {
      const large = { ...picture(slice(1, 0)), columns: 512, rows: 512 };
      const shelf = new Shelf(100 * 512 * 512 * 2);
      expect(shelf.limits(large, 300)).toEqual({ small: 500, sharp: 60 });
      expect(shelf.limits(large, 9000)).toEqual({ small: 500, sharp: 40 });
    });
  });
});

describe("measures", () => {
  const made = picture(slice(1, 0));

  it("are in the units of the picture", () => {
    expect(distance(made, [0, 0], [12, 8])).toBe(5);
    expect(distance({ ...made, isMillimetre: false }, [0, 0], [3, 4])).toBe(5);
    expect(angle({ spacing: [1, 1] }, [1, 0], [0, 0], [0, 1])).toBeCloseTo(90);
    expect(angle({ spacing: [1, 1] }, [-1, -0.001], [0, 0], [-1, 0.001])).toBeLessThan(1);
    expect(area(made, "rectangle", [0, 0], [4, 4])).toBe(2);
    expect(area(made, "ellipse", [0, 0], [4, 4])).toBeCloseTo(Math.PI / 2);
  });

  it("count the pixels whose middles lie within", () => {
    const data = Int16Array.from({ length: 25 }, (_, at) => (at === 12 ? 100 : 0));
    const pixels = { data, columns: 5, rows: 5 };
    expect(valuesIn(pixels, "rectangle", [1, 1], [3, 3])).toMatchObject({ pixels: 9, most: 100, least: 0 });
    expect(valuesIn(pixels, "rectangle", [1, 1], [3, 3])?.mean).toBeCloseTo(100 / 9);
    expect(valuesIn(pixels, "ellipse", [1, 1], [3, 3])?.pixels).toBe(5);
    expect(valuesIn(pixels, "rectangle", [2.1, 2.1], [2.4, 2.4])).toBeNull();
    expect(valuesIn(pixels, "rectangle", [-9, -9], [99, 99])?.pixels).toBe(25);
  });
});

describe("a picture in its cell", () => {
  const made = { ...picture(slice(1, 0)), columns: 100, rows: 50, spacing: [1, 1] as const };
  const flat = flatOf(made);
  const cell = { width: 400, height: 400 };
  const pixelAt = (camera: Parameters<typeof place>[2], x: number, y: number) => toPixel(made, fromCell(place(flat, cell, camera), [x, y])).map((each) => Math.round(each * 10) / 10 + 0);

  it("fits, turns clockwise and is mirrored as seen", () => {
    expect(pixelAt(STRAIGHT, 200, 200)).toEqual([49.5, 24.5]);
    expect(pixelAt(STRAIGHT, 2, 200)).toEqual([0, 24.5]);
    // A quarter clockwise: what was left is on top.
    expect(pixelAt(turned(STRAIGHT), 200, 2)).toEqual([0, 24.5]);
    expect(pixelAt(mirrored(STRAIGHT), 398, 200)).toEqual([0, 24.5]);
    expect(pixelAt(mirrored(turned(STRAIGHT)), 200, 2)).toEqual([0, 24.5]);
  });

  it("stays under the finger that zooms", () => {
    const zoomed = zoomedAt([1, 0.1, 0, 90, 1], 2.5, flat, cell, [120, 260]);
    expect(pixelAt(zoomed, 120, 260)).toEqual(pixelAt([1, 0.1, 0, 90, 1], 120, 260));
  });

  it("is seen alike by a camera in space", () => {
    const camera = spaceCamera(flat, cell, place(flat, cell, STRAIGHT));
    expect(camera.viewUp).toEqual([-0, -1, -0]);
    expect(camera.viewPlaneNormal).toEqual([0, 0, -1]);
    expect(camera.parallelScale).toBe(50);
    expect(spaceCamera(flat, cell, place(flat, cell, mirrored(STRAIGHT))).viewPlaneNormal[2]).toBe(1);
  });

  it("says where the patient's sides are", () => {
    expect(edgeLetters(flat, place(flat, cell, STRAIGHT))).toEqual(["R", "A"]);
    expect(edgeLetters(flat, place(flat, cell, mirrored(STRAIGHT)))).toEqual(["L", "A"]);
    expect(edgeLetters(flat, place(flat, cell, turned(STRAIGHT)))).toEqual(["P", "R"]);
  });

  it("has planes that reach from end to end of the volume", () => {
    const volume = volumeOf(stack(0, 2, 4, 6));
    if (typeof volume === "string") throw new Error(volume);
    const bounds = boundsOf(volume);
    expect(reach(bounds, "axial")).toEqual([-1, 7]);
    expect(planeFlat(bounds, "coronal", -15)).toMatchObject({ width: 5, height: 8 });
    const there = toCell(place(planeFlat(bounds, "axial", 3), cell, STRAIGHT), [0, 0]);
    expect(there).toEqual([200, 200]);
  });
});

describe("windows", () => {
  it("have the edges of the standard", () => {
    expect(rangeOf([127.5 + 0.5, 256])).toEqual({ lower: 0, upper: 255 });
    expect(rangeOf(PRESETS.brain)).toEqual({ lower: 0, upper: 79 });
  });

  it("pass over what is there only now and then", () => {
    const values = Int16Array.from({ length: 1000 }, (_, at) => (at === 5 ? 30_000 : at % 100));
    const [centre, width] = autoLevels(values);
    expect(centre - width / 2).toBeLessThan(5);
    expect(centre + width / 2).toBeLessThan(110);
  });
});

describe("plain pixels", () => {
  const meaning = (form: PixelForm, more: Partial<Meaning> = {}): Meaning => ({ form, slope: 1, intercept: 0, modalityLut: null, palette: null, ...more });

  it("are signed, rescaled, and free of overlays in their upper bits", () => {
    const bytes = new Uint8Array(Uint16Array.of(0x0fff, 0xf001).buffer);
    const form = { ...GREY, bitsStored: 12 };
    expect([...meant(nativeOf(bytes, form, 2, 1, false), meaning(form, { intercept: -1024 })).data]).toEqual([-1025, -1023]);
    expect([...meant(nativeOf(Uint8Array.of(1, 2, 3, 4), GREY, 2, 1, true), meaning(GREY)).data]).toEqual([0x0102, 0x0304]);
  });

  it("take no more room than they need", () => {
    expect(roomFor({ ...GREY, bitsStored: 8, signed: false }, 1, 0, false)).toBe("Uint8Array");
    expect(roomFor({ ...GREY, bitsStored: 12, signed: false }, 1, -1024, false)).toBe("Int16Array");
    expect(roomFor(GREY, 1, -1024, false)).toBe("Int16Array");
    expect(roomFor({ ...GREY, signed: false }, 1, 0, false)).toBe("Uint16Array");
    expect(roomFor(GREY, 0.5, 0, false)).toBe("Float32Array");
  });

  it("come out of run lengths, the upper byte first", () => {
    const header = new Uint8Array(64);
    new DataView(header.buffer).setUint32(0, 2, true);
    new DataView(header.buffer).setUint32(4, 64, true);
    new DataView(header.buffer).setUint32(8, 66, true);
    // Three times 1 above, then 2, 3, 4 below.
    const bytes = Uint8Array.of(...header, 254, 1, 2, 2, 3, 4);
    expect([...fromRunLengths(bytes, GREY, 3, 1).data]).toEqual([0x0102, 0x0103, 0x0104]);
    expect(() => fromRunLengths(new Uint8Array(10), GREY, 3, 1)).toThrow();
  });

  it("become colours", () => {
    const form = { ...GREY, bitsAllocated: 8, bitsStored: 8, signed: false, samples: 3, photometric: "YBR_FULL" };
    expect([...meant(nativeOf(Uint8Array.of(76, 85, 255), form, 1, 1, false), meaning(form)).data]).toEqual([254, 0, 0]);
    const planar = { ...form, photometric: "RGB", planar: true };
    expect([...meant(nativeOf(Uint8Array.of(1, 2, 3, 4, 5, 6), planar, 2, 1, false), meaning(planar)).data]).toEqual([1, 3, 5, 2, 4, 6]);
  });

  it("are smooth where they were few", () => {
    const small = { data: Int16Array.of(0, 100), columns: 2, rows: 1, samples: 1 as const };
    expect([...enlarged(small, 4, 1).data]).toEqual([0, 50, 100, 100]);
  });
});
