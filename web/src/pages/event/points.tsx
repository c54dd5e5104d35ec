// Owns the tab of points.

import type { JSX } from "preact";
import { t } from "../../i18n";
import type { EventDesk } from "./desk";

export function Points({ desk }: { readonly desk: EventDesk }): JSX.Element {
  return <p class="note">{t("event.points", { count: desk.event.value.points.length })}</p>;
}
