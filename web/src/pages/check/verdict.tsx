// Owns telling the verdict of a line check: one sentence, why, what to do, and who sees it.

import type { JSX } from "preact";
import { Icon } from "../../components/icons";
import type { IconName } from "../../components/icons";
import { Problem } from "../../components/problem";
import { clockTime } from "../view";
import { t } from "../../i18n";
import type { Grade } from "../event/model";
import { GradeSign } from "./grade";
import type { Reason } from "./reasons";
import type { Outcome } from "./run";
import { reasonText, reasonTodo } from "./words";

const SIGNS: Readonly<Record<Grade, IconName>> = { green: "check", amber: "warning", red: "close" };

export function VerdictCard({ outcome }: { readonly outcome: Outcome }): JSX.Element {
  const { graded, measured, port, heard } = outcome;
  return (
    <section class="card verdict" data-grade={graded.grade} data-testid="check-verdict" aria-label={t("linecheck.verdict")}>
      <div class="verdict-head" role="status">
        <Icon name={SIGNS[graded.grade]} />
        <div>
          <p class="verdict-word">{t(`linecheck.grade.${graded.grade}`)}</p>
          <h2>{t(`linecheck.verdict.${graded.grade}`)}</h2>
        </div>
      </div>
      {graded.reasons.length > 0 && (
        <ul class="verdict-reasons">
          {graded.reasons.map((reason) => (
            <ReasonRow key={reason.code} reason={reason} port={port} />
          ))}
        </ul>
      )}
      {measured.microphone === "ok" && !heard && (
        <Problem code="quiet" mild>
          <p>{t("join.microphoneQuiet")}</p>
        </Problem>
      )}
      <p class="note" data-testid="check-kept" data-kept={graded.kept}>
        {t(graded.kept ? "linecheck.kept" : "linecheck.notKept", { time: clockTime(outcome.atMs) })}
      </p>
    </section>
  );
}

function ReasonRow({ reason, port }: { readonly reason: Reason; readonly port: number | null }): JSX.Element {
  return (
    <li data-testid="check-reason" data-code={reason.code} data-grade={reason.grade}>
      <GradeSign grade={reason.grade} bare />
      <div>
        <strong>{reasonText(reason)}</strong>
        <p>{reasonTodo(reason, port)}</p>
      </div>
    </li>
  );
}
