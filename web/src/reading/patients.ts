// Owns whether two studies are of one patient, as far as can be told from what they say of him. Pure.

import type { StudyHead } from "./model";

/** `doubtful`: the name agrees, but number or day of birth do not say that it is the same person. */
export type Kinship = "same" | "doubtful" | "other";

type Person = Pick<StudyHead, "patient" | "patientId" | "birthDate">;

export function kinship(one: Person, other: Person): Kinship {
  const name = plainName(one.patient);
  if (name === "" || name !== plainName(other.patient)) return "other";
  const bornApart = one.birthDate !== "" && other.birthDate !== "" && one.birthDate !== other.birthDate;
  if (bornApart) return "other";
  const number = one.patientId.trim();
  return number !== "" && number === other.patientId.trim() ? "same" : "doubtful";
}

/** Machines leave out diacritics, or write all in capitals. */
function plainName(name: string): string {
  return name
    .normalize("NFD")
    .replace(/\p{Mark}/gu, "")
    .replace(/[đĐ]/g, "d")
    .toLowerCase()
    .split(/[\s^=,]+/)
    .filter((part) => part !== "")
    .join(" ");
}
