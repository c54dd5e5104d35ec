// Owns how keeping is said: until when, how far a job is, and why it failed. Pure.

import { toldAs } from "../../../components/context";
import { formatDate, formatNumber, formatWhen, t } from "../../../i18n";
import type { Job, KeptStudy } from "../../../studies/keeping";
import type { Fault } from "../../loading";

/** Why it is there, and until when. */
export function keptWords({ hold, rule, retainUntil }: KeptStudy): string {
  if (hold) return t("keep.held");
  if (rule === null) return t("keep.untilRemoved");
  const kind = t(`kind.${rule.kind}`);
  if (rule.days === 0) return t("keep.forEver", { kind });
  if (retainUntil === null) return t("keep.sessionOpen", { kind, count: rule.days });
  return t("keep.until", { kind, count: rule.days, when: formatDate(retainUntil) });
}

export function jobWords(job: Job, nowMs: number): string {
  const { state, done, total, to } = job;
  const counted = { done: formatNumber(done), total: formatNumber(total) };
  switch (state) {
    case "waiting":
      if (job.error !== null) return t("keep.job.again", { why: whyFailed(job), when: formatWhen(job.dueAt, nowMs) });
      return t("keep.job.waiting");
    case "running":
      return total === 0 ? t("keep.job.begun") : t(`keep.job.running.${job.kind}`, counted);
    case "confirming":
      return t("keep.job.confirming", { to });
    case "stopped":
      return t("keep.job.stopped", counted);
    case "failed":
      return whyFailed(job);
    case "done":
      return doneWords(job);
  }
}

function doneWords({ kind, commitment, done, total, to }: Job): string {
  if (kind === "shred") return t("keep.job.shredded");
  if (kind === "copy") return total > done ? t("keep.job.copiedSome", { done: formatNumber(done), count: total - done }) : t("keep.job.copied", { count: done });
  if (commitment === "confirmed") return t("keep.job.confirmed", { to, count: done });
  if (commitment === "silent") return t("keep.job.silent", { to, count: done });
  return t("keep.job.sent", { count: done });
}

/** Of a destination other things go wrong than of this server; of a copy its making was refused. */
function whyFailed({ kind, error }: Job): string {
  const code = error?.code ?? "internal";
  if (kind === "send") {
    switch (code) {
      case "tooMany":
      case "notAllowed":
      case "unsupported":
      case "storageFailed":
      case "notFound":
      case "damaged":
        return t(`keep.why.send.${code}`);
      default:
    }
  }
  if (kind === "copy" && (code === "conflict" || code === "damaged")) return t(`keep.why.copy.${code}`);
  return faultWords(code);
}

/** What a person can do about it, too. */
export function faultWords(fault: NonNullable<Fault>): string {
  const told = toldAs(fault);
  // Here it is not a session that is not there.
  if (told === "notFound") return t("keep.gone");
  return `${t(`refused.${told}`)}. ${t(`refused.${told}.todo`)}`;
}

/** Another try with the same wish would end the same way. */
export function mayRetry({ kind, state, error, studyInstanceUID }: Job): boolean {
  if (state !== "failed" && state !== "stopped") return false;
  return studyInstanceUID !== null && !(kind === "copy" && (error?.code === "conflict" || error?.code === "damaged"));
}
