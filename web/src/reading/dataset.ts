// Owns how values are read out of the DICOM JSON model (PS3.18 annex F). What is absent or of another shape reads as empty. Pure.

export interface DicomElement {
  readonly vr?: string;
  readonly Value?: readonly unknown[];
  readonly InlineBinary?: string;
  readonly BulkDataURI?: string;
}

/** Elements by tag, eight hexadecimal digits in capitals. */
export type Dataset = Readonly<Record<string, DicomElement | undefined>>;

export function texts(dataset: Dataset, tag: string): readonly string[] {
  return values(dataset, tag).flatMap((value) => (typeof value === "string" ? [value] : typeof value === "number" ? [String(value)] : []));
}

export function text(dataset: Dataset, tag: string): string {
  return texts(dataset, tag)[0] ?? "";
}

/** Numbers; a text that holds one counts, as some servers keep decimal strings as they are. */
export function numbers(dataset: Dataset, tag: string): readonly number[] {
  return values(dataset, tag).flatMap((value) => {
    const number = typeof value === "string" && value.trim() !== "" ? Number(value) : value;
    return typeof number === "number" && Number.isFinite(number) ? [number] : [];
  });
}

export function number(dataset: Dataset, tag: string): number | null {
  return numbers(dataset, tag)[0] ?? null;
}

export function items(dataset: Dataset, tag: string): readonly Dataset[] {
  return values(dataset, tag).filter((value): value is Dataset => typeof value === "object" && value !== null && !Array.isArray(value));
}

export function item(dataset: Dataset, tag: string): Dataset {
  return items(dataset, tag)[0] ?? {};
}

/** A person's name as people write it, with the groups that are other writings of it in brackets (PS3.5 6.2.1). */
export function personName(dataset: Dataset, tag: string): string {
  const said = items(dataset, tag)[0] as Readonly<Record<string, unknown>> | undefined;
  const groups = [said?.Alphabetic, said?.Ideographic, said?.Phonetic]
    .map((group) => (typeof group === "string" ? group.split("^").filter((part) => part.trim() !== "").join(" ") : ""))
    .filter((group) => group !== "");
  const [first = "", ...others] = groups;
  return others.length === 0 ? first : `${first} (${others.join(", ")})`;
}

function values(dataset: Dataset, tag: string): readonly unknown[] {
  const value = dataset[tag]?.Value;
  return Array.isArray(value) ? value : [];
}
