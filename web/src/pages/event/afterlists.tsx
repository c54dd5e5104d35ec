// Owns the three lists of who was there: by province, point and person.

import type { JSX } from "preact";
import { formatNumber, formatWhen, t } from "../../i18n";
import { GradeSign } from "../check/grade";
import { matches } from "./aftermodel";
import type { PersonRow, PointRow, ProvinceRow, Quality } from "./aftermodel";
import { SortTable } from "./aftertable";
import type { Column } from "./aftertable";
import { percentText, sharesText } from "./afterwords";
import { shownName } from "./model";
import type { Grade } from "./model";

interface ListProps<T> {
  readonly rows: readonly T[];
  readonly search: string;
}

const GRADES: readonly Grade[] = ["red", "amber", "green"];

export function ProvincesTable({ rows, search }: ListProps<ProvinceRow>): JSX.Element {
  const columns: readonly Column<ProvinceRow>[] = [
    { head: t("after.col.province"), value: ({ province }) => province, shown: ({ province }) => province || t("checks.noProvince") },
    { head: t("after.col.invited"), value: ({ invited }) => invited, isNumber: true },
    { head: t("after.col.came"), value: ({ came }) => came, isNumber: true },
    { head: t("after.col.people"), value: ({ people }) => people, isNumber: true },
    { head: t("after.col.minutes"), value: ({ minutes }) => minutes, shown: ({ minutes }) => formatNumber(minutes), isNumber: true },
  ];
  const shown = rows.filter(({ province }) => matches(search, province));
  return <SortTable label={t("after.view.provinces")} rows={shown} columns={columns} keyOf={({ province }) => province} testId="provinces-table" />;
}

export function PointsTable({ rows, search }: ListProps<PointRow>): JSX.Element {
  const columns: readonly Column<PointRow>[] = [
    { head: t("after.col.point"), value: nameOf },
    { head: t("after.col.province"), value: ({ province }) => province },
    { head: t("after.col.people"), value: ({ people }) => people, isNumber: true },
    { head: t("after.col.joined"), value: ({ joinedAt }) => joinedAt, shown: cameText },
    { head: t("after.col.left"), value: ({ leftAt }) => leftAt, shown: leftText },
    { head: t("after.col.minutes"), value: ({ minutes }) => minutes, shown: ({ minutes }) => formatNumber(minutes), isNumber: true },
    { head: t("after.col.comings"), value: ({ comings }) => comings, isNumber: true },
    { head: t("after.col.line"), value: ({ quality }) => quality?.good ?? null, shown: ({ quality }) => <LineShares quality={quality} />, isNumber: true },
    {
      head: t("after.col.check"),
      value: ({ check }) => (check === null ? null : GRADES.indexOf(check.grade)),
      shown: ({ check }) => <GradeSign grade={check?.grade ?? "none"} />,
    },
  ];
  const shown = rows.filter((row) => matches(search, nameOf(row), row.province));
  return <SortTable label={t("after.view.points")} rows={shown} columns={columns} keyOf={({ id }) => id} testId="points-table" />;
}

export function PeopleTable({ rows, search }: ListProps<PersonRow>): JSX.Element {
  const columns: readonly Column<PersonRow>[] = [
    { head: t("after.col.name"), value: ({ name }) => name },
    { head: t("after.col.point"), value: pointOf },
    { head: t("after.col.province"), value: ({ province }) => province },
    { head: t("after.col.role"), value: ({ role }) => t(`role.${role}`) },
    { head: t("after.col.joined"), value: ({ joinedAt }) => joinedAt, shown: cameText },
    { head: t("after.col.left"), value: ({ leftAt }) => leftAt, shown: leftText },
    { head: t("after.col.minutes"), value: ({ minutes }) => minutes, shown: ({ minutes }) => formatNumber(minutes), isNumber: true },
    { head: t("after.col.comings"), value: ({ comings }) => comings, isNumber: true },
    { head: t("after.col.line"), value: ({ quality }) => quality?.good ?? null, shown: ({ quality }) => <LineShares quality={quality} />, isNumber: true },
  ];
  const shown = rows.filter((row) => matches(search, row.name, pointOf(row), row.province));
  return <SortTable label={t("after.view.people")} rows={shown} columns={columns} keyOf={(row) => `${row.name} ${row.point} ${row.joinedAt}`} testId="people-table" />;
}

/** The share in words, and drawn. */
function LineShares({ quality }: { readonly quality: Quality | null }): JSX.Element | null {
  if (quality === null) return null;
  return (
    <span class="line-shares" title={sharesText(quality)}>
      {percentText(quality.good)}
      <span class="line-bar" aria-hidden="true">
        <span class="good" style={{ flexGrow: quality.good }} />
        <span class="weak" style={{ flexGrow: quality.weak }} />
        <span class="bad" style={{ flexGrow: quality.bad }} />
      </span>
    </span>
  );
}

function nameOf(point: PointRow): string {
  return shownName({ ...point, contact: "" });
}

function pointOf({ province, organisation, point }: PersonRow): string {
  return shownName({ province, organisation, name: point, contact: "" });
}

function cameText({ joinedAt }: { readonly joinedAt: number | null }): string {
  return joinedAt === null ? t("after.absent") : formatWhen(joinedAt, Date.now());
}

function leftText({ joinedAt, leftAt }: { readonly joinedAt: number | null; readonly leftAt: number | null }): string {
  if (joinedAt === null) return "";
  return leftAt === null ? t("after.here") : formatWhen(leftAt, Date.now());
}
