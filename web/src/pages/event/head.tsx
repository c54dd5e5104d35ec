// Owns the head of an event's page: title, when it begins, how many points there are.

import { useSignal } from "@preact/signals";
import type { JSX } from "preact";
import { isStaff } from "../../claims";
import { Icon } from "../../components/icons";
import { t } from "../../i18n";
import type { Fault } from "../loading";
import { Failed, faultOf } from "./deeds";
import type { EventDesk } from "./desk";
import { countsOf } from "./model";
import { formatBegin, fromLocalField, toLocalField } from "./when";

export function EventHead({ desk }: { readonly desk: EventDesk }): JSX.Element {
  const { title, state, points, startsAt } = desk.event.value;
  const counts = countsOf(points);
  return (
    <div class="event-head">
      {isStaff(desk.token) && (
        <a class="button quiet small event-back" href={`/#${desk.token}`} data-testid="to-sessions">
          <Icon name="back" />
          {t("sessions.title")}
        </a>
      )}
      {!isStaff(desk.token) && state === "open" && (
        <a class="button quiet small event-back" href={`/join#${desk.token}`} data-testid="to-live">
          <Icon name="live" />
          {t("event.toLive")}
        </a>
      )}
      <h1 data-testid="event-title">{title}</h1>
      {(state !== "ended" || startsAt !== null) && <Begin desk={desk} />}
      <p class="event-facts" data-testid="event-facts">
        <span>{t("event.points", { count: counts.points })}</span>
        {counts.provinces > 0 && <span>{t("event.provinces", { count: counts.provinces })}</span>}
        {state === "open" && counts.connected > 0 && <span>{t("event.connected", { count: counts.connected })}</span>}
        {counts.checked > 0 && <span>{t("event.checked", { count: counts.checked })}</span>}
        {state === "ended" && <span>{t("event.over")}</span>}
      </p>
    </div>
  );
}

function Begin({ desk }: { readonly desk: EventDesk }): JSX.Element {
  /** What is being typed; null: nothing. */
  const typed = useSignal<string | null>(null);
  const fault = useSignal<Fault>(null);
  const { startsAt } = desk.event.value;
  const set = async (wish: number | null): Promise<void> => {
    try {
      await desk.api.setStart(wish);
      await desk.load();
      fault.value = null;
      typed.value = null;
    } catch (error) {
      fault.value = faultOf(error);
    }
  };
  if (typed.value === null) {
    return (
      <p class="event-begin">
        <Icon name="clock" />
        <span data-testid="event-begin">{startsAt === null ? t("event.noStart") : formatBegin(startsAt)}</span>
        {desk.changes && (
          <button
            type="button"
            class="button small"
            data-testid="change-begin"
            onClick={() => {
              fault.value = null;
              typed.value = startsAt === null ? "" : toLocalField(startsAt);
            }}
          >
            <Icon name="note" />
            {t(startsAt === null ? "event.setStart" : "event.changeStart")}
          </button>
        )}
      </p>
    );
  }
  const wish = fromLocalField(typed.value);
  return (
    <form
      class="event-begin"
      onSubmit={(event) => {
        event.preventDefault();
        if (wish !== null) void set(wish);
      }}
    >
      <label class="field">
        <span>{t("event.begins")}</span>
        <input
          type="datetime-local"
          data-testid="begin"
          value={typed.value}
          onInput={(event) => (typed.value = event.currentTarget.value)}
        />
      </label>
      <button type="submit" class="button primary" data-testid="save-begin" aria-disabled={wish === null}>
        <Icon name="check" />
        {t("event.save")}
      </button>
      {startsAt !== null && (
        <button type="button" class="button" onClick={() => void set(null)}>
          {t("event.clearStart")}
        </button>
      )}
      <button type="button" class="button quiet" onClick={() => (typed.value = null)}>
        {t("app.cancel")}
      </button>
      {fault.value !== null && <Failed fault={fault.value} />}
    </form>
  );
}
