// Owns the head of an event's page: title, when it begins, how many points there are.

import type { JSX } from "preact";
import { isStaff } from "../../claims";
import { Icon } from "../../components/icons";
import { t } from "../../i18n";
import type { EventDesk } from "./desk";
import { countsOf } from "./model";
import { formatBegin } from "./when";

export function EventHead({ desk }: { readonly desk: EventDesk }): JSX.Element {
  const { title, state, startsAt, points } = desk.event.value;
  const counts = countsOf(points);
  return (
    <div class="event-head">
      {isStaff(desk.token) && (
        <a class="button quiet small event-back" href={`/#${desk.token}`} data-testid="to-sessions">
          <Icon name="undo" />
          {t("sessions.title")}
        </a>
      )}
      <h1 data-testid="event-title">{title}</h1>
      <p class="event-facts">
        <span>{startsAt === null ? t("event.noStart") : formatBegin(startsAt)}</span>
        <span>{t("event.points", { count: counts.points })}</span>
        {counts.provinces > 0 && <span>{t("event.provinces", { count: counts.provinces })}</span>}
        {state === "open" && counts.connected > 0 && <span>{t("event.connected", { count: counts.connected })}</span>}
        {counts.checked > 0 && <span>{t("event.checked", { count: counts.checked })}</span>}
        {state === "ended" && <span>{t("event.over")}</span>}
      </p>
    </div>
  );
}
