// Owns the line above a curve or a document that says whose it is: on pictures it stands in the corners.

import type { JSX } from "preact";
import { formatDay, t } from "../i18n";
import type { ObjectHead } from "./head";

export function HeadLine({ head }: { readonly head: ObjectHead }): JSX.Element {
  const { patient, patientId, birthDate, date, time } = head;
  const when = [date === "" ? "" : formatDay(date), time.replace(/^(\d{2})(\d{2})$/, "$1:$2")].filter((each) => each !== "").join(" ");
  return (
    <p class="object-head" data-testid="object-head">
      <strong>
        <bdi>{patient || t("reader.nameless")}</bdi>
      </strong>
      {[patientId, birthDate === "" ? "" : formatDay(birthDate), when].filter((each) => each !== "").map((each) => (
        <span key={each}>{each}</span>
      ))}
    </p>
  );
}
