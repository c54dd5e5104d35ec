// Owns whose an object is and when it was made, for what is shown without corners of its own. Pure.

import { personName, text } from "./dataset";
import type { Dataset } from "./dataset";

export interface ObjectHead {
  readonly patient: string;
  readonly patientId: string;
  /** YYYYMMDD or "". */
  readonly birthDate: string;
  /** YYYYMMDD, and HHMM if it is known; "" for nothing. */
  readonly date: string;
  readonly time: string;
}

/** When it was taken, else when its content was made, else when the study was. */
export function headOf(dataset: Dataset): ObjectHead {
  const taken = text(dataset, "0008002A");
  const [date, time] =
    taken !== ""
      ? [taken.slice(0, 8), taken.slice(8)]
      : text(dataset, "00080023") !== ""
        ? [text(dataset, "00080023"), text(dataset, "00080033")]
        : [text(dataset, "00080020"), text(dataset, "00080030")];
  return {
    patient: personName(dataset, "00100010"),
    patientId: text(dataset, "00100020"),
    birthDate: text(dataset, "00100030"),
    date,
    time: /^\d{4}/.exec(time)?.[0] ?? "",
  };
}
