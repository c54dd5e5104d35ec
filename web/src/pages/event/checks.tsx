// Owns the tab of line checks: which points tried their line, and what came out.

import type { JSX } from "preact";
import { t } from "../../i18n";
import type { EventDesk } from "./desk";

export function Checks({ desk }: { readonly desk: EventDesk }): JSX.Element {
  const checked = desk.event.value.points.filter(({ check }) => check !== null).length;
  return <p class="note">{checked === 0 ? t("event.checksNone") : t("event.checked", { count: checked })}</p>;
}
