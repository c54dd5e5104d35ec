// Owns the tab for after the event: who was there, as lists, as files and as a page to print.

import { useSignal } from "@preact/signals";
import type { Signal } from "@preact/signals";
import type { JSX } from "preact";
import { useCallback } from "preact/hooks";
import { toldAs } from "../../components/context";
import { Icon } from "../../components/icons";
import { Problem } from "../../components/problem";
import { formatNumber, t } from "../../i18n";
import { useLoading } from "../loading";
import { Downloads } from "./afterfiles";
import { PeopleTable, PointsTable, ProvincesTable } from "./afterlists";
import { figuresOf } from "./aftermodel";
import type { Attendance } from "./aftermodel";
import { Summary } from "./aftersummary";
import { lengthText, percentText } from "./afterwords";
import type { EventDesk } from "./desk";
import { formatClock } from "./when";

/** Each look at names is in the audit, a line a minute: no more often than that. */
const REFRESH_MS = 60_000;
const VIEWS = ["provinces", "points", "people"] as const;
type View = (typeof VIEWS)[number];

export function After({ desk }: { readonly desk: EventDesk }): JSX.Element {
  const { api, event } = desk;
  const ask = useCallback(() => api.call<Attendance>("GET", `${api.path}/attendance`), [api]);
  const goesOn = useCallback(() => event.peek().state !== "ended", [event]);
  const { found, fault } = useLoading(ask, REFRESH_MS, goesOn);
  const view = useSignal<View>("points");
  const search = useSignal("");
  const printing = useSignal(false);
  const attendance = found.value;
  if (attendance !== null && printing.value) {
    return <Summary event={event.value} attendance={attendance} onClose={() => (printing.value = false)} />;
  }
  return (
    <div class="after">
      {fault.value !== null && (
        <Problem code={fault.value}>
          {/* The event itself was found: what is gone is the list. */}
          <p>
            {fault.value === "notFound"
              ? t("after.removed")
              : t("said.failed", { reason: t(`refused.${toldAs(fault.value)}`) })}
          </p>
        </Problem>
      )}
      {attendance === null && fault.value === null && <p role="status">{t("app.loading")}</p>}
      {attendance?.rows.length === 0 && <p class="note">{t("after.nobody")}</p>}
      {attendance !== null && attendance.rows.length > 0 && (
        <>
          <FigureCards attendance={attendance} />
          <div class="event-tools">
            <button type="button" class="button primary" data-testid="summary" onClick={() => (printing.value = true)}>
              <Icon name="print" />
              {t("after.summary")}
            </button>
            <Downloads api={api} />
          </div>
          <p class="note">{t("after.personal")}</p>
          <div class="event-tools after-choose">
            <Views view={view} />
            <Search search={search} />
          </div>
          <Lists attendance={attendance} view={view.value} search={search.value} />
        </>
      )}
    </div>
  );
}

function FigureCards({ attendance }: { readonly attendance: Attendance }): JSX.Element {
  const figures = figuresOf(attendance);
  const { peak } = attendance;
  const cards: readonly (readonly [string, string, string])[] = [
    [t("after.pointsCame"), formatNumber(figures.came), t("after.ofCount", { count: formatNumber(figures.invited) })],
    [t("after.people"), formatNumber(figures.people), ""],
    [t("after.most"), formatNumber(peak.people), peak.at === null ? "" : t("after.mostAt", { time: formatClock(peak.at) })],
    [t("after.lasted"), lengthText(figures.lastedMs), ""],
    [t("after.lineGood"), percentText(figures.lineGood), figures.lineGood === null ? "" : t("after.ofTime")],
  ];
  return (
    <dl class="figures" data-testid="figures">
      {cards
        .filter(([, value]) => value !== "")
        .map(([name, value, more]) => (
          <div key={name}>
            <dt>{name}</dt>
            <dd>
              <strong>{value}</strong> {more}
            </dd>
          </div>
        ))}
    </dl>
  );
}

function Views({ view }: { readonly view: Signal<View> }): JSX.Element {
  return (
    <div class="after-views" role="group" aria-label={t("after.views")}>
      {VIEWS.map((one) => (
        <button
          key={one}
          type="button"
          class="button"
          data-testid={`after-${one}`}
          aria-pressed={view.value === one}
          onClick={() => (view.value = one)}
        >
          {t(`after.view.${one}`)}
        </button>
      ))}
    </div>
  );
}

function Search({ search }: { readonly search: Signal<string> }): JSX.Element {
  return (
    <label class="event-search">
      <Icon name="zoom" />
      <span class="unseen">{t("after.search")}</span>
      <input
        type="search"
        data-testid="after-search"
        placeholder={t("after.search")}
        value={search.value}
        onInput={(event) => (search.value = event.currentTarget.value)}
      />
    </label>
  );
}

interface ListsProps {
  readonly attendance: Attendance;
  readonly view: View;
  readonly search: string;
}

function Lists({ attendance, view, search }: ListsProps): JSX.Element {
  switch (view) {
    case "provinces":
      return <ProvincesTable rows={attendance.byProvince} search={search} />;
    case "points":
      return <PointsTable rows={attendance.byPoint} search={search} />;
    case "people":
      return <PeopleTable rows={attendance.rows} search={search} />;
  }
}
