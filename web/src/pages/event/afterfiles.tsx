// Owns taking an event's attendance out as files.

import { useSignal } from "@preact/signals";
import type { JSX } from "preact";
import { Icon } from "../../components/icons";
import { language, t } from "../../i18n";
import { offer } from "../../replay/download";
import type { Fault } from "../loading";
import type { EventApi } from "./api";
import { Failed, faultOf } from "./deeds";

const KINDS = ["csv", "xlsx"] as const;
type Kind = (typeof KINDS)[number];

export function Downloads({ api }: { readonly api: EventApi }): JSX.Element {
  const busy = useSignal<Kind | null>(null);
  const fault = useSignal<Fault>(null);
  const save = async (kind: Kind): Promise<void> => {
    if (busy.value !== null) return;
    busy.value = kind;
    fault.value = null;
    try {
      offer(await api.file("GET", `${api.path}/attendance.${kind}?${asked()}`), `attendance.${kind}`);
    } catch (error) {
      fault.value = faultOf(error);
    } finally {
      busy.value = null;
    }
  };
  return (
    <>
      {KINDS.map((kind) => (
        <button
          key={kind}
          type="button"
          class="button"
          data-testid={`download-${kind}`}
          aria-disabled={busy.value !== null}
          onClick={() => void save(kind)}
        >
          <Icon name="download" />
          <span role="status">{busy.value === kind ? t("after.preparing") : t(`after.${kind}`)}</span>
        </button>
      ))}
      {fault.value !== null && <Failed fault={fault.value} />}
    </>
  );
}

/** Words of the page's language, times of the clock here. */
function asked(): string {
  return new URLSearchParams({ language: language.peek(), offset: String(-new Date().getTimezoneOffset()) }).toString();
}
