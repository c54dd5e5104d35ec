// Owns the tab for after the event: who was there.

import type { JSX } from "preact";
import { t } from "../../i18n";
import type { EventDesk } from "./desk";

export function After({ desk }: { readonly desk: EventDesk }): JSX.Element {
  return <p class="note">{t(desk.event.value.state === "ended" ? "event.afterLater" : "event.afterNotYet")}</p>;
}
