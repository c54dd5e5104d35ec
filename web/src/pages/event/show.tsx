// Owns the tab of the run of show.

import type { JSX } from "preact";
import { t } from "../../i18n";
import type { EventDesk } from "./desk";

export function RunOfShow({ desk }: { readonly desk: EventDesk }): JSX.Element {
  return <p class="note">{t("event.items", { count: desk.event.value.agenda.items.length })}</p>;
}
