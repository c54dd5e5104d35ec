// Owns the tab of line checks: which points tried their line, what came out, and whom to call.

import { useComputed, useSignal } from "@preact/signals";
import type { Signal } from "@preact/signals";
import type { JSX } from "preact";
import { useCallback } from "preact/hooks";
import { formatNumber, formatWhen, language, t } from "../../i18n";
import { GradeSign } from "../check/grade";
import { reasonText } from "../check/words";
import { useLoading } from "../loading";
import { bitrate } from "../view";
import { CopyList } from "./checkscopy";
import { countOf, FILTERS, passes, stateOf, withChecks } from "./checksmodel";
import type { Filter } from "./checksmodel";
import type { EventDesk } from "./desk";
import { byProvince, shownName } from "./model";
import type { EventPoint, LineCheck, Province } from "./model";

/** Results alone, without names: nothing that the audit has to know. */
const REFRESH_MS = 10_000;

interface CheckList {
  readonly points: readonly { readonly point: string; readonly check: LineCheck | null }[];
}

export function Checks({ desk }: { readonly desk: EventDesk }): JSX.Element {
  const { api } = desk;
  const ask = useCallback(() => api.call<CheckList>("GET", `${api.path}/checks`), [api]);
  const { found, fault } = useLoading(ask, REFRESH_MS);
  const filter = useSignal<Filter>("all");
  const points = useComputed(() =>
    withChecks(desk.event.value.points, new Map(found.value?.points.map(({ point, check }) => [point, check]))),
  );
  const shown = useComputed(() => points.value.filter((point) => passes(point, filter.value)));
  const groups = useComputed(() => byProvince(shown.value, language.value));
  if (points.value.length === 0) return <p class="note">{t("checks.noPoints")}</p>;
  return (
    <div class="checks">
      <Filters points={points.value} filter={filter} />
      <div class="event-tools">
        <CopyList points={filter.value === "all" ? points.value.filter((point) => passes(point, "none")) : shown.value} missing={filter.value === "all"} />
        {fault.value !== null && (
          <p class="note" role="status">
            {t("checks.stale")}
          </p>
        )}
      </div>
      {shown.value.length === 0 && <p class="note">{t("checks.nothing")}</p>}
      <div class="point-groups">
        {groups.value.map((province) => (
          <ProvinceChecks key={province.name} province={province} all={points.value} />
        ))}
      </div>
    </div>
  );
}

interface FiltersProps {
  readonly points: readonly EventPoint[];
  readonly filter: Signal<Filter>;
}

/** The counts are the filters. */
function Filters({ points, filter }: FiltersProps): JSX.Element {
  return (
    <div class="checks-filters" role="group" aria-label={t("checks.counts")}>
      {FILTERS.map((one) => (
        <button
          key={one}
          type="button"
          class="checks-filter"
          data-testid={`checks-${one}`}
          aria-pressed={filter.value === one}
          onClick={() => (filter.value = one)}
        >
          <strong>{formatNumber(countOf(points, one))}</strong>
          {one === "all" || one === "trouble" ? <span>{t(`checks.${one}`)}</span> : <GradeSign grade={one} />}
        </button>
      ))}
    </div>
  );
}

function ProvinceChecks({ province, all }: { readonly province: Province; readonly all: readonly EventPoint[] }): JSX.Element {
  const { name, points } = province;
  const ofIt = all.filter((point) => point.province.toLocaleLowerCase() === name.toLocaleLowerCase());
  const checked = ofIt.filter(({ check }) => check !== null).length;
  return (
    <section aria-label={name === "" ? t("checks.noProvince") : name}>
      <h2 class="point-province">
        {name === "" ? t("checks.noProvince") : name}
        <small>{t("checks.ofProvince", { checked, count: ofIt.length })}</small>
      </h2>
      <ul>
        {points.map((point) => (
          <CheckRow key={point.id} point={point} />
        ))}
      </ul>
    </section>
  );
}

function CheckRow({ point }: { readonly point: EventPoint }): JSX.Element {
  const { check } = point;
  return (
    <li class="check-row" data-testid="check-row" data-point={point.id} data-grade={stateOf(point)}>
      <span class="check-row-name">
        <strong>{shownName(point)}</strong>
        {check === null && point.contact !== "" && <small>{point.contact}</small>}
      </span>
      <GradeSign grade={stateOf(point)} />
      <span class="check-row-why">
        {check?.reasons.map((reason) => <span key={reason.code}>{reasonText(reason)}</span>)}
        {check && <small>{figures(check)}</small>}
      </span>
      <span class="check-row-when">{check ? formatWhen(check.at, Date.now()) : ""}</span>
    </li>
  );
}

/** What an engineer wants to know before calling. */
function figures({ measured }: LineCheck): string {
  const { upBps, downBps, rttMs, browser } = measured;
  return [
    typeof upBps === "number" ? t("checks.up", { speed: bitrate(upBps) }) : "",
    typeof downBps === "number" ? t("checks.down", { speed: bitrate(downBps) }) : "",
    typeof rttMs === "number" ? t("unit.ms", { value: formatNumber(rttMs) }) : "",
    typeof browser === "string" ? browser : "",
  ]
    .filter((part) => part !== "")
    .join(" · ");
}
