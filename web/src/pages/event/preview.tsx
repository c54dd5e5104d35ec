// Owns how it is shown what a list would change: counts, what is wrong with which line, and each row that is new, other or gone.

import type { JSX } from "preact";
import { Icon } from "../../components/icons";
import { formatNumber, t } from "../../i18n";
import { keyOf, shownName } from "./model";
import type { EventPoint, PointFields } from "./model";
import { problemWords } from "./sheet";
import type { Preview, SheetProblem } from "./sheet";

/** Of a line with a problem, so much is shown. */
const LINE_MAX_CHARACTERS = 160;

interface TableProps {
  readonly preview: Preview;
  /** Of the file, as it was read. */
  readonly lines: readonly string[];
  /** As they are now. */
  readonly points: readonly EventPoint[];
}

export function PreviewTable({ preview, lines, points }: TableProps): JSX.Element {
  const before = new Map(points.map((point) => [keyOf(point), point]));
  const news = preview.rows.flatMap(({ change, ...row }) => (change === "unchanged" ? [] : [{ change, ...row }]));
  return (
    <>
      <p class="import-counts" role="status" data-testid="import-counts">
        <Count change="added" count={preview.added} />
        <Count change="changed" count={preview.changed} />
        <Count change="unchanged" count={preview.unchanged} />
        <Count change="removed" count={preview.removed} />
        <Count change="problem" count={preview.problems.length} />
      </p>
      {preview.problems.length > 0 && (
        <section class="import-problems" aria-label={t("event.count.problem")}>
          <ul>
            {preview.problems.map((problem) => (
              <Wrong key={`${problem.line} ${problem.code}`} problem={problem} text={lines[problem.line - 1]} />
            ))}
          </ul>
        </section>
      )}
      {news.length + preview.gone.length > 0 && (
        <div class="import-rows" tabIndex={0} role="region" aria-label={t("event.changes")}>
          <table>
            <thead>
              <tr>
                <th scope="col">{t("event.line")}</th>
                <th scope="col">{t("event.change")}</th>
                <th scope="col">{t("event.column.province")}</th>
                <th scope="col">{t("event.column.name")}</th>
                <th scope="col">{t("event.column.contact")}</th>
              </tr>
            </thead>
            <tbody>
              {news.map((row) => (
                <Row key={row.line} line={row.line} change={row.change} fields={row} before={row.change === "changed" ? before.get(keyOf(row)) : undefined} />
              ))}
              {preview.gone.map((point) => (
                <Row key={point.id} line={null} change="removed" fields={point} before={undefined} />
              ))}
            </tbody>
          </table>
        </div>
      )}
    </>
  );
}

type Change = "added" | "changed" | "removed";
type Counted = Change | "unchanged" | "problem";

function Count({ change, count }: { readonly change: Counted; readonly count: number }): JSX.Element | null {
  if (count === 0) return null;
  return (
    <span class="import-count" data-change={change}>
      <strong>{formatNumber(count)}</strong> {t(`event.count.${change}`)}
    </span>
  );
}

function Wrong({ problem, text }: { readonly problem: SheetProblem; readonly text: string | undefined }): JSX.Element {
  const shown = (text ?? "").trim();
  return (
    <li data-testid="sheet-problem" data-line={problem.line} data-code={problem.code}>
      <Icon name="warning" />
      <span>
        {problem.line > 0 && <strong>{t("event.lineNumber", { line: problem.line })}: </strong>}
        {problemWords(problem)}
        {problem.line > 0 && shown !== "" && <code>{shown.slice(0, LINE_MAX_CHARACTERS)}</code>}
      </span>
    </li>
  );
}

interface RowProps {
  readonly line: number | null;
  readonly change: Change;
  readonly fields: PointFields;
  /** Of a row that changes. */
  readonly before: PointFields | undefined;
}

function Row({ line, change, fields, before }: RowProps): JSX.Element {
  return (
    <tr data-testid="preview-row" data-change={change}>
      <td class="import-line">{line}</td>
      <td>
        <span class="import-count" data-change={change}>
          {t(`event.change.${change}`)}
        </span>
      </td>
      <td>
        <Changed before={before?.province} now={fields.province} />
      </td>
      <td>
        <Changed before={before && shownName(before)} now={shownName(fields)} />
      </td>
      <td>
        <Changed before={before?.contact} now={fields.contact} />
      </td>
    </tr>
  );
}

function Changed({ before, now }: { readonly before: string | undefined; readonly now: string }): JSX.Element {
  if (before === undefined || before === now) return <>{now}</>;
  return (
    <>
      {before !== "" && <del>{before}</del>} <ins>{now === "" ? "—" : now}</ins>
    </>
  );
}
