// Tests what is understood of what a person drops (src/studies): headers in every form, names in every alphabet, ZIP files, DICOMDIRs.

import { describe, expect, test } from "vitest";
import { decodeText, shownName } from "../src/studies/alphabets";
import { readDirectory } from "../src/studies/dicomdir";
import { examine, withUnlisted } from "../src/studies/findings";
import type { Findings } from "../src/studies/findings";
import { readHeader } from "../src/studies/header";
import { fileSource } from "../src/studies/sources";
import { isZip, readZip, startOfEntry, wholeEntry, ZipError } from "../src/studies/zip";
import type { ZipEntry } from "../src/studies/zip";
import { dataset, deflated, delimiter, dicomdir, dicomFile, element, fileOf, item, joined, part10, zip } from "./making";

const BIG = "1.2.840.10008.1.2.2";
const IMPLICIT = "1.2.840.10008.1.2";
const DEFLATED = "1.2.840.10008.1.2.1.99";
const text = (value: string): Uint8Array => new TextEncoder().encode(value);
const bytes = (...values: number[]): Uint8Array => Uint8Array.from(values);

const deflatedFile = part10(await deflated(dataset({ pixels: 200_000 })), DEFLATED);

describe("headers", () => {
  test.each([
    ["explicit little endian", part10(dataset())],
    ["implicit little endian", part10(dataset({}, { explicit: false }), IMPLICIT)],
    ["big endian", part10(dataset({}, { littleEndian: false }), BIG)],
    ["deflated", deflatedFile],
  ])("are read in %s", async (_, file) => {
    expect(await readHeader(file, true)).toMatchObject({
      kind: "object",
      header: { study: "1.2.3", series: "1.2.3.1", sopInstance: "1.2.3.4", modality: "CT", patient: "Nguyen Lan", date: "20260504" },
    });
  });

  test("are read over sequences with and without a length, one in another", async () => {
    const inner = joined([element(0x00081140, "SQ", joined([item(element(0x00081155, "UI", "9.9"), 0xffffffff), delimiter(0xfffee00d), delimiter(0xfffee0dd)]), {}, 0xffffffff)]);
    const before = element(0x00081115, "SQ", joined([item(inner, 0xffffffff), delimiter(0xfffee00d), delimiter(0xfffee0dd)]), {}, 0xffffffff);
    expect(await readHeader(dicomFile({ before }), true)).toMatchObject({ kind: "object", header: { study: "1.2.3" } });
  });

  test("need more where they are cut off, and are foreign where there is no more", async () => {
    const file = dicomFile({ before: element(0x00090010, "OB", new Uint8Array(5000)) });
    for (const at of [140, 200, 300, 4000, 5300]) {
      expect((await readHeader(file.subarray(0, at), false)).kind, String(at)).toBe("more");
      expect((await readHeader(file.subarray(0, at), true)).kind, String(at)).toBe("foreign");
    }
  });

  test.each([
    ["nothing", new Uint8Array(0)],
    ["a picture", joined([bytes(0xff, 0xd8, 0xff), new Uint8Array(1000)])],
    ["zeros", new Uint8Array(4000)],
    ["no UIDs", part10(element(0x00100010, "PN", "A"))],
    ["UIDs that are none", dicomFile({ study: "../../etc" })],
    ["a length that lies", part10(element(0x00080016, "UI", "1.2", {}, 0xfffe))],
    ["a broken deflated stream", part10(new Uint8Array(100).fill(0xee), DEFLATED)],
  ])("%s is foreign", async (_, file) => {
    expect(await readHeader(file, true)).toEqual({ kind: "foreign" });
  });

  test("sequences within sequences without an end are not followed for ever", async () => {
    const open = element(0x00081140, "SQ", item(new Uint8Array(0), 0xffffffff), {}, 0xffffffff);
    expect((await readHeader(part10(joined(Array.from({ length: 5000 }, () => open))), true)).kind).toBe("foreign");
  });

  test("any bytes changed give an answer", async () => {
    const file = dicomFile({ before: element(0x00081140, "SQ", item(element(0x00081155, "UI", "9.9"))) });
    for (let at = 132; at < file.length; at++) {
      const broken = file.slice();
      broken[at] = 0xff;
      expect(["object", "foreign", "directory", "more"]).toContain((await readHeader(broken, true)).kind);
    }
  });
});

describe("alphabets", () => {
  test.each([
    ["UTF-8", "ISO_IR 192", text("Nguyễn^Thị Lan"), "Nguyễn^Thị Lan"],
    ["UTF-8 that is not named", "", text("Đặng"), "Đặng"],
    ["Latin 1 that is not named", "", bytes(0x4a, 0xe9), "Jé"],
    ["Cyrillic", "ISO_IR 144", bytes(0xbb, 0xee, 0xda, 0x63, 0xdc), "Люкcм"],
    ["Japanese, PS3.5 H.3.1", "\\ISO 2022 IR 87", bytes(0x1b, 0x24, 0x42, 0x3b, 0x33, 0x45, 0x44, 0x1b, 0x28, 0x42, 0x5e), "山田^"],
    ["Korean, PS3.5 I.2", "\\ISO 2022 IR 149", bytes(0x48, 0x3d, 0x1b, 0x24, 0x29, 0x43, 0xfb, 0xf3), "H=洪"],
    ["Chinese", "GB18030", bytes(0xcd, 0xf5), "王"],
    ["a set that nobody knows", "ISO_IR 999", text("Lan"), "Lan"],
  ])("%s", (_, sets, value, shown) => {
    expect(decodeText(value, sets)).toBe(shown);
  });

  test("names are shown in the order in which they were written", () => {
    expect(shownName("Nguyễn^Thị Lan^^BS")).toBe("Nguyễn Thị Lan BS");
    expect(shownName("=山田^太郎=やまだ^たろう")).toBe("山田 太郎");
    expect(shownName("")).toBe("");
  });
});

const torn = (await zip([{ name: "a", content: dicomFile() }])).subarray(0, 150);

describe("ZIP files", () => {
  const open = async (content: Uint8Array): Promise<readonly ZipEntry[]> => readZip(new Blob([content as Uint8Array<ArrayBuffer>]));
  const file = dicomFile({ pixels: 300_000 });

  const same = async (found: Uint8Array | Blob, wanted: Uint8Array): Promise<void> => {
    const bytes = found instanceof Blob ? new Uint8Array(await found.arrayBuffer()) : found;
    // Cheaper than comparing hundreds of thousands of numbers with words for each.
    expect(bytes.length === wanted.length && bytes.every((byte, at) => byte === wanted[at])).toBe(true);
  };

  test("give every entry as it was put in, stored or deflated", async () => {
    const blob = new Blob([await zip([{ name: "a/b.dcm", content: file }, { name: "c", content: file, stored: true }, { name: "a/", content: new Uint8Array(0) }], "a comment")]);
    expect(await isZip(blob)).toBe(true);
    const entries = await readZip(blob);
    expect(entries.map(({ name }) => name)).toEqual(["a/b.dcm", "c"]);
    for (const entry of entries) {
      await same(await wholeEntry(blob, entry), file);
      await same(await startOfEntry(blob, entry, 1000), file.subarray(0, 1000));
    }
  });

  test("that were damaged say so", async () => {
    const blob = new Blob([await zip([{ name: "a", content: file, crc: 12 }, { name: "b", content: file, stored: true, crc: 12 }])]);
    for (const entry of await readZip(blob)) await expect(wholeEntry(blob, entry)).rejects.toEqual(new ZipError("broken"));
    const bent = await zip([{ name: "a", content: file }]);
    bent.fill(0xff, 50, 80);
    const [entry] = await open(bent);
    if (entry === undefined) throw new Error("no entry");
    await expect(wholeEntry(new Blob([bent]), entry)).rejects.toBeInstanceOf(ZipError);
  });

  test.each([
    ["nothing", new Uint8Array(0)],
    ["no end", text("PK\u0003\u0004 and so on")],
    ["a cut off file", torn],
  ])("%s is refused", async (_, content) => {
    await expect(open(content)).rejects.toEqual(new ZipError("broken"));
  });

  test("a bomb is not opened: neither one that says more than can be, nor one that inflates to more than it says", async () => {
    await expect(open(await zip([{ name: "a", content: new Uint8Array(1000), sizeBytes: 2 ** 31 }]))).rejects.toEqual(new ZipError("lying"));
    const small = new Blob([await zip([{ name: "a", content: new Uint8Array(5_000_000), sizeBytes: 10_000 }])]);
    const [entry] = await readZip(small);
    if (entry === undefined) throw new Error("no entry");
    await expect(wholeEntry(small, entry)).rejects.toEqual(new ZipError("lying"));
  });

  test("entries that share their bytes are not opened", async () => {
    const bomb = await zip([{ name: "a", content: file }, { name: "b", content: file }]);
    const view = new DataView(bomb.buffer);
    const directory = view.getUint32(bomb.length - 6, true);
    // The second begins where the first does.
    view.setUint32(directory + 47 + 42, 0, true);
    await expect(open(bomb)).rejects.toEqual(new ZipError("lying"));
  });
});

describe("DICOMDIR", () => {
  test("names its files", () => {
    expect(readDirectory(dicomdir(["DICOM\\ST1\\IM1", "DICOM\\ST1\\IM2"]))).toEqual([
      ["DICOM", "ST1", "IM1"],
      ["DICOM", "ST1", "IM2"],
    ]);
  });

  test.each(["..\\..\\ETC\\PASSWD", ".\\A", "C:\\A", "A\\\\B", "/ETC/A", Array.from({ length: 20 }, () => "A").join("\\"), "A\u0001B"])("%j leads nowhere", (path) => {
    expect(readDirectory(dicomdir([path, "GOOD"]))).toEqual([["GOOD"]]);
  });

  test("that is broken is none", () => {
    expect(readDirectory(dicomdir(["A", "B"]).subarray(0, 250))).toBeNull();
    expect(readDirectory(new Uint8Array(10))).toBeNull();
  });
});

describe("what was dropped", () => {
  const look = (files: Record<string, Uint8Array>): Promise<Findings> =>
    examine(
      Object.entries(files).map(([path, content]) => fileSource(fileOf(content, path))),
      { signal: new AbortController().signal, onProgress: () => undefined },
    );
  const why = (findings: Findings): Record<string, string> => Object.fromEntries(findings.leftOut.map(({ path, why }) => [path, why]));
  const paths = (findings: Findings): string[] => findings.studies.flatMap(({ pictures }) => pictures.map(({ source }) => source.path));

  test("is sorted into studies, in the order in which a person counts", async () => {
    const found = await look({
      "d/IM10": dicomFile({ instance: "1.10" }),
      "d/IM2": dicomFile({ instance: "1.2", modality: "SR" }),
      "d/other": dicomFile({ instance: "2.1", study: "9.9" }),
      "d/readme.txt": text("hello"),
    });
    expect(paths(found)).toEqual(["d/IM2", "d/IM10", "d/other"]);
    expect(found.studies.map(({ uid, modalities }) => [uid, Object.fromEntries(modalities)])).toEqual([
      ["1.2.3", { SR: 1, CT: 1 }],
      ["9.9", { CT: 1 }],
    ]);
    expect(why(found)).toEqual({ "d/readme.txt": "foreign" });
  });

  test("is looked into where it is a ZIP, but not in a ZIP in it, and not without its password", async () => {
    const file = dicomFile();
    const inner = await zip([{ name: "x", content: file }]);
    const found = await look({
      "d/study.ZIP": await zip([
        { name: "cd/IM1", content: file },
        { name: "more.zip", content: inner },
        { name: "secret", content: file, flags: 1 },
      ]),
      "d/broken.zip": torn,
    });
    expect(paths(found)).toEqual(["d/study.ZIP/cd/IM1"]);
    expect(why(found)).toEqual({ "d/study.ZIP/more.zip": "inner", "d/study.ZIP/secret": "locked", "d/broken.zip": "broken" });
  });

  test("is of a disc what its DICOMDIR lists, whatever its letters' case; what is missing is named", async () => {
    const found = await look({
      "cd/DICOMDIR": dicomdir(["DICOM\\IM1", "DICOM\\IM2", "..\\OUTSIDE"]),
      "cd/dicom/im1": dicomFile({ instance: "1.1" }),
      "cd/extra": dicomFile({ instance: "1.5" }),
      outside: dicomFile({ instance: "1.6" }),
    });
    expect(paths(found)).toEqual(["cd/dicom/im1", "outside"]);
    expect(found.unlisted.map(({ source }) => source.path)).toEqual(["cd/extra"]);
    expect(why(found)).toEqual({ "cd/DICOM/IM2": "missing" });
    expect(paths(withUnlisted(found))).toEqual(["cd/dicom/im1", "cd/extra", "outside"]);
  });

  test("is taken once where it lies there twice", async () => {
    const found = await look({ a: dicomFile(), b: dicomFile() });
    expect(paths(found)).toEqual(["a"]);
    expect(why(found)).toEqual({ b: "twice" });
  });

  test("that cannot be read is named", async () => {
    const source = { path: "x", sizeBytes: 10, head: () => Promise.reject(new Error("the disc is gone")), open: () => Promise.reject(new Error("gone")), file: null };
    const found = await examine([source], { signal: new AbortController().signal, onProgress: () => undefined });
    expect(why(found)).toEqual({ x: "unreadable" });
  });

  test("is looked at no more when the person stops it", async () => {
    const stop = new AbortController();
    const sources = Array.from({ length: 50 }, (_, index) => fileSource(fileOf(dicomFile({ instance: `1.${index}` }), `f${index}`)));
    const looking = examine(sources, { signal: stop.signal, onProgress: () => stop.abort() });
    await expect(looking).rejects.toMatchObject({ name: "AbortError" });
  });
});
