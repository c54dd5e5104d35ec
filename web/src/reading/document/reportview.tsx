// Owns how a report is shown: what it is and whether it is final, then its tree, with the chapters as headings.

import type { JSX } from "preact";
import { Icon } from "../../components/icons";
import { t } from "../../i18n";
import type { Line, Reference, Report } from "./report";

interface ReportViewProps {
  readonly report: Report;
  readonly onReference?: (reference: Reference) => void;
}

export function ReportView({ report, onReference }: ReportViewProps): JSX.Element {
  const open = onReference ? { onReference } : {};
  return (
    <article class="report" data-testid="report" tabIndex={0} aria-label={report.title || t("document.report")}>
      <h3 dir="auto">{report.title || t("document.report")}</h3>
      <p class="note">
        {t(report.isComplete ? "document.complete" : "document.partial")} {t(report.isVerified ? "document.verified" : "document.unverified")}{" "}
        {report.verifiers.length > 0 && <bdi>{report.verifiers.join(", ")}</bdi>}
      </p>
      <Lines lines={report.lines} depth={0} {...open} />
      {report.isCut && <p class="note">{t("document.cut")}</p>}
    </article>
  );
}

interface LinesProps {
  readonly lines: readonly Line[];
  readonly depth: number;
  readonly onReference?: (reference: Reference) => void;
}

function Lines({ lines, depth, ...open }: LinesProps): JSX.Element {
  return (
    <ul>
      {lines.map((line, index) => (
        <li key={index} class={line.isContainer ? "report-chapter" : "report-line"} data-depth={depth}>
          {line.isContainer ? (
            <h4 dir="auto">{line.title || line.value}</h4>
          ) : (
            <p dir="auto">
              {line.title !== "" && <span class="report-title">{line.title}</span>}
              <span class="report-value">{line.value}</span>
            </p>
          )}
          <References references={line.references} {...open} />
          {line.lines.length > 0 && <Lines lines={line.lines} depth={depth + 1} {...open} />}
        </li>
      ))}
    </ul>
  );
}

function References({ references, onReference }: { readonly references: readonly Reference[]; readonly onReference?: (reference: Reference) => void }): JSX.Element | null {
  if (references.length === 0) return null;
  return (
    <p class="report-references">
      {references.map((reference) => {
        const words = reference.frames.length > 0 ? t("document.pictureFrame", { frame: reference.frames.join(", ") }) : t("document.picture");
        return onReference ? (
          <button key={reference.instance} type="button" class="button small" onClick={() => onReference(reference)}>
            <Icon name="link" />
            {words}
          </button>
        ) : (
          <span key={reference.instance} class="note">
            {words}
          </span>
        );
      })}
    </p>
  );
}
