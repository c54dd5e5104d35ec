// Owns the page about an event that is printed or kept as PDF: what it was, how many were there, two plots, who did not come.

import type { JSX } from "preact";
import { Icon } from "../../components/icons";
import { formatNumber, t } from "../../i18n";
import { ProvinceChart, TimelineChart } from "./aftercharts";
import { fewNames, figuresOf } from "./aftermodel";
import type { Attendance } from "./aftermodel";
import { lengthText, percentText } from "./afterwords";
import type { EventFacts } from "./model";
import { formatBegin, formatClock } from "./when";

interface SummaryProps {
  readonly event: EventFacts;
  readonly attendance: Attendance;
  readonly onClose: () => void;
}

export function Summary({ event, attendance, onClose }: SummaryProps): JSX.Element {
  return (
    <section class="summary" aria-label={t("after.sum.title")} data-testid="event-summary">
      <div class="summary-tools">
        <div class="event-view-head">
          <h2>{t("after.summary")}</h2>
          <button type="button" class="button" data-testid="summary-close" onClick={onClose}>
            <Icon name="close" />
            {t("app.close")}
          </button>
        </div>
        <p class="note">{t("after.sum.hint")}</p>
        <button type="button" class="button primary" data-testid="summary-print" onClick={() => window.print()}>
          <Icon name="print" />
          {t("after.sum.print")}
        </button>
      </div>
      <SummarySheet event={event} attendance={attendance} />
    </section>
  );
}

function SummarySheet({ event, attendance }: Omit<SummaryProps, "onClose">): JSX.Element {
  const figures = figuresOf(attendance);
  const { from, until, peak } = attendance;
  const numbers: readonly (readonly [string, string])[] = [
    [t("after.pointsCame"), `${formatNumber(figures.came)} / ${formatNumber(figures.invited)}`],
    [t("after.people"), formatNumber(figures.people)],
    [t("after.most"), peak.at === null ? "" : `${formatNumber(peak.people)} (${formatClock(peak.at)})`],
    [t("after.lasted"), lengthText(figures.lastedMs)],
    [t("after.lineGood"), percentText(figures.lineGood)],
    [t("after.sum.checked"), `${formatNumber(figures.checked)} / ${formatNumber(figures.invited)}`],
  ];
  return (
    <article class="summary-sheet">
      <header>
        <h3>{event.title}</h3>
        {from !== null && until !== null && <p>{`${formatBegin(from)} – ${formatClock(until)}`}</p>}
      </header>
      <dl class="summary-numbers">
        {numbers
          .filter(([, value]) => value !== "")
          .map(([name, value]) => (
            <div key={name}>
              <dt>{name}</dt>
              <dd>{value}</dd>
            </div>
          ))}
      </dl>
      <figure>
        <figcaption>{t("after.sum.overTime")}</figcaption>
        <TimelineChart attendance={attendance} />
      </figure>
      <figure>
        <figcaption>{t("after.sum.byProvince")}</figcaption>
        <ProvinceChart provinces={attendance.byProvince} />
      </figure>
      <Absent attendance={attendance} />
      <footer>{t("after.sum.made", { when: formatBegin(Date.now()) })}</footer>
    </article>
  );
}

function Absent({ attendance }: { readonly attendance: Attendance }): JSX.Element | null {
  const absent = attendance.byPoint.filter(({ joinedAt }) => joinedAt === null);
  if (absent.length === 0) return null;
  const names = fewNames(absent.map(({ organisation, name }) => organisation || name));
  const more = absent.length - names.length;
  return (
    <section class="summary-absent">
      <h4>{t("after.sum.absent", { count: absent.length })}</h4>
      <p>
        {names.join("; ")}
        {more > 0 && ` ${t("after.sum.more", { count: more })}`}
      </p>
    </section>
  );
}
