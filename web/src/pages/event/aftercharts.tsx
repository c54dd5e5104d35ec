// Owns the two plots of an event's summary, drawn as SVG in the ink of the page: readable in black and white.

import type { JSX } from "preact";
import { formatNumber, t } from "../../i18n";
import { clockTicks, stairs, ticks } from "./aftermodel";
import type { Attendance, ProvinceRow, Step } from "./aftermodel";
import { formatClock } from "./when";

const WIDTH = 720;
const HEIGHT = 230;
const LEFT = 44;
const RIGHT = 96;
const TOP = 12;
const BOTTOM = 26;
/** Two names at the end of their lines need as much room. */
const LABEL_GAP = 17;
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
  const last = timeline.at(-1) ?? { atMs: from, points: 0, people: 0 };
  const [peopleY, pointsY] = apart(y(last.people), y(last.points));
  return (
    <svg class="chart" viewBox={`0 0 ${WIDTH} ${HEIGHT}`} role="img" aria-label={t("after.sum.overTimeSaid", { people: peak.people, points: peak.points })}>
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
      <text class="chart-name" x={WIDTH - RIGHT + 8} y={peopleY + 4}>
        {t("after.view.people")}
      </text>
      <text class="chart-name" x={WIDTH - RIGHT + 8} y={pointsY + 4}>
        {t("after.view.points")}
      </text>
    </svg>
  );
}

/** The upper one goes up and the lower one down until both can be read. */
function apart(upper: number, lower: number): readonly [number, number] {
  const missing = Math.max(0, LABEL_GAP - (lower - upper)) / 2;
  const shift = Math.max(0, lower + missing - (HEIGHT - BOTTOM));
  return [upper - missing - shift, lower + missing - shift];
}

const ROW = 20;
const NAME_WIDTH = 132;
const COUNT_WIDTH = 62;
const COLUMN_GAP = 28;
const NAME_LETTERS = 21;
/** More than these go into two columns. */
const ONE_COLUMN_ROWS = 10;

export function ProvinceChart({ provinces }: { readonly provinces: readonly ProvinceRow[] }): JSX.Element | null {
  if (provinces.length === 0) return null;
  const columns = provinces.length > ONE_COLUMN_ROWS ? 2 : 1;
  const perColumn = Math.ceil(provinces.length / columns);
  const width = (WIDTH - COLUMN_GAP * (columns - 1)) / columns;
  const most = Math.max(1, ...provinces.map(({ invited }) => invited));
  const length = (count: number): number => (count / most) * (width - NAME_WIDTH - COUNT_WIDTH);
  return (
    <svg class="chart" viewBox={`0 0 ${WIDTH} ${perColumn * ROW}`} role="img" aria-label={t("after.sum.byProvince")}>
      {provinces.map((row, index) => {
        const left = Math.floor(index / perColumn) * (width + COLUMN_GAP);
        const top = (index % perColumn) * ROW;
        return (
          <g key={row.province} transform={`translate(${left} ${top})`}>
            <text class="chart-name" x={NAME_WIDTH - 8} y={14} text-anchor="end">
              {shortened(row.province || t("checks.noProvince"))}
            </text>
            <rect class="chart-bar" x={NAME_WIDTH} y={4} width={length(row.came)} height={ROW - 8} />
            <rect class="chart-frame" x={NAME_WIDTH} y={4} width={length(row.invited)} height={ROW - 8} />
            <text class="chart-number" x={NAME_WIDTH + length(row.invited) + 6} y={14}>
              {`${formatNumber(row.came)} / ${formatNumber(row.invited)}`}
            </text>
          </g>
        );
      })}
    </svg>
  );
}

function shortened(name: string): string {
  const letters = Array.from(name);
  return letters.length <= NAME_LETTERS ? name : `${letters.slice(0, NAME_LETTERS - 1).join("")}…`;
}
