// Owns the two plots of an event's summary, drawn as SVG in the ink of the page: readable in black and white.

import type { JSX } from "preact";
import { formatNumber, t } from "../../i18n";
import { clockTicks, stairs, ticks } from "./aftermodel";
import type { Attendance, ProvinceRow, Step } from "./aftermodel";
import { formatClock } from "./when";

const WIDTH = 720;
const HEIGHT = 220;
const LEFT = 44;
const RIGHT = 12;
/** With room for the legend. */
const TOP = 30;
const BOTTOM = 26;
const MINUTE_MS = 60_000;

export function TimelineChart({ attendance }: { readonly attendance: Attendance }): JSX.Element | null {
  const { timeline, from, until, peak } = attendance;
  if (from === null || until === null || timeline.length === 0) return null;
  const endMs = Math.max(until, from + MINUTE_MS);
  const scale = ticks(Math.max(peak.people, peak.points));
  const top = scale.at(-1) ?? 1;
  const x = (atMs: number): number => LEFT + ((atMs - from) / (endMs - from)) * (WIDTH - LEFT - RIGHT);
  const y = (count: number): number => HEIGHT - BOTTOM - (count / top) * (HEIGHT - TOP - BOTTOM);
  const path = (value: (step: Step) => number): string =>
    stairs(timeline, endMs, value)
      .map(([atMs, count], index) => `${index === 0 ? "M" : "L"}${x(Math.max(atMs, from)).toFixed(1)} ${y(count).toFixed(1)}`)
      .join("");
  // As a list, it needs no plural.
  const said = `${t("after.most")}. ${t("after.view.people")}: ${formatNumber(peak.people)}. ${t("after.view.points")}: ${formatNumber(peak.points)}.`;
  return (
    <svg class="chart" viewBox={`0 0 ${WIDTH} ${HEIGHT}`} role="img" aria-label={said}>
      {scale.map((count) => (
        <g key={count}>
          <path class="chart-grid" d={`M${LEFT} ${y(count)}H${WIDTH - RIGHT}`} />
          <text class="chart-number" x={LEFT - 8} y={y(count) + 4} text-anchor="end">
            {formatNumber(count)}
          </text>
        </g>
      ))}
      {clockTicks(from, endMs, -new Date(from).getTimezoneOffset() * MINUTE_MS).map((atMs) => (
        <g key={atMs}>
          <path class="chart-tick" d={`M${x(atMs)} ${HEIGHT - BOTTOM}v5`} />
          <text class="chart-number" x={x(atMs)} y={HEIGHT - 6} text-anchor="middle">
            {formatClock(atMs)}
          </text>
        </g>
      ))}
      <path class="chart-area" d={`${path(({ people }) => people)}V${y(0)}H${LEFT}Z`} />
      <path class="chart-line" d={path(({ people }) => people)} />
      <path class="chart-line dashed" d={path(({ points }) => points)} />
      <Legend />
    </svg>
  );
}

/** Above the plot, where no line comes. */
function Legend(): JSX.Element {
  return (
    <>
      <path class="chart-line" d={`M${LEFT} 11h26`} />
      <text class="chart-name" x={LEFT + 32} y={15}>
        {t("after.view.people")}
      </text>
      <path class="chart-line dashed" d={`M${LEFT + 180} 11h26`} />
      <text class="chart-name" x={LEFT + 212} y={15}>
        {t("after.view.points")}
      </text>
    </>
  );
}

const ROW = 18;
const COUNT_WIDTH = 58;
const COLUMN_GAP = 20;

/** As many columns as all provinces of a country need on one page, with names as long as then fit. */
const COLUMNS = [
  { upTo: 10, columns: 1, nameWidth: 160, letters: 26 },
  { upTo: 40, columns: 2, nameWidth: 132, letters: 21 },
  { upTo: Infinity, columns: 3, nameWidth: 104, letters: 17 },
] as const;

export function ProvinceChart({ provinces }: { readonly provinces: readonly ProvinceRow[] }): JSX.Element {
  const { columns, nameWidth, letters } = COLUMNS.find(({ upTo }) => provinces.length <= upTo) ?? COLUMNS[0];
  const perColumn = Math.ceil(provinces.length / columns);
  const width = (WIDTH - COLUMN_GAP * (columns - 1)) / columns;
  const most = Math.max(1, ...provinces.map(({ invited }) => invited));
  const length = (count: number): number => (count / most) * (width - nameWidth - COUNT_WIDTH);
  return (
    <svg class="chart" viewBox={`0 0 ${WIDTH} ${perColumn * ROW}`} role="img" aria-label={t("after.sum.byProvince")}>
      {provinces.map((row, index) => {
        const left = Math.floor(index / perColumn) * (width + COLUMN_GAP);
        const top = (index % perColumn) * ROW;
        return (
          <g key={row.province} transform={`translate(${left} ${top})`}>
            <text class="chart-name" x={nameWidth - 8} y={13} text-anchor="end">
              {shortened(row.province || t("checks.noProvince"), letters)}
            </text>
            <rect class="chart-bar" x={nameWidth} y={4} width={length(row.came)} height={ROW - 8} />
            <rect class="chart-frame" x={nameWidth} y={4} width={length(row.invited)} height={ROW - 8} />
            <text class="chart-number" x={nameWidth + length(row.invited) + 6} y={13}>
              {`${formatNumber(row.came)} / ${formatNumber(row.invited)}`}
            </text>
          </g>
        );
      })}
    </svg>
  );
}

function shortened(name: string, most: number): string {
  const letters = Array.from(name);
  return letters.length <= most ? name : `${letters.slice(0, most - 1).join("")}…`;
}
