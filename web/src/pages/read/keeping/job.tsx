// Owns showing one job: how far it is, in words and as a bar, what went wrong, and the button to stop it or to try it again.

import type { JSX } from "preact";
import { Icon } from "../../../components/icons";
import { formatWhen, t } from "../../../i18n";
import { isOver } from "../../../studies/keeping";
import type { Job, KeepingApi } from "../../../studies/keeping";
import { studyLink } from "../../link";
import { useActing } from "./acting";
import { faultWords, jobWords, mayRetry } from "./words";

export interface JobsProps {
  readonly api: KeepingApi;
  readonly token: string;
  readonly jobs: readonly Job[];
  readonly onChanged: () => Promise<void>;
}

/** The newest of a sort; what was long ago stands folded behind it. */
export function JobList({ jobs, ...more }: JobsProps): JSX.Element | null {
  const [newest, ...older] = jobs;
  if (newest === undefined) return null;
  const open = older.filter((job) => !isOver(job));
  const past = older.filter(isOver);
  return (
    <>
      <ul class="keep-jobs">
        {[newest, ...open].map((job) => (
          <JobRow key={job.id} job={job} {...more} />
        ))}
      </ul>
      {past.length > 0 && (
        <details class="keep-past">
          <summary>{t("keep.past", { count: past.length })}</summary>
          <ul class="keep-jobs">
            {past.map((job) => (
              <JobRow key={job.id} job={job} {...more} />
            ))}
          </ul>
        </details>
      )}
    </>
  );
}

interface JobRowProps extends Omit<JobsProps, "jobs"> {
  readonly job: Job;
}

function JobRow({ api, token, job, onChanged }: JobRowProps): JSX.Element {
  const { busy, fault, act } = useActing();
  const { state, done, total } = job;
  const isBad = state === "failed" || (state === "waiting" && job.error !== null);
  const change = (deed: () => Promise<void>): void => {
    // Also where it was refused: it has become another meanwhile.
    void act(deed).then(onChanged);
  };
  return (
    <li class="keep-job" data-testid="job" data-job={job.id} data-state={state}>
      <p class="keep-job-name">
        {job.kind === "send" && <strong>{job.to}</strong>} <span class="note">{formatWhen(job.createdAt, Date.now())}</span>
      </p>
      <p class={isBad ? "keep-job-words bad" : "keep-job-words"} role="status" data-testid="job-words">
        {isBad && <Icon name="warning" />}
        {state === "done" && <Icon name="check" />}
        <span>{jobWords(job, Date.now())}</span>
      </p>
      {(state === "running" || state === "confirming") && <progress aria-label={t("keep.progress")} max={Math.max(1, total)} value={total === 0 ? undefined : done} />}
      {fault.value !== null && <p class="keep-fault">{faultWords(fault.value)}</p>}
      <div class="keep-acts">
        {!isOver(job) && job.kind !== "shred" && (
          <button type="button" class="button" data-testid="stop-job" aria-disabled={busy.value} onClick={() => change(() => api.stop(job.id))}>
            <Icon name="stop" />
            {t("keep.stop")}
          </button>
        )}
        {mayRetry(job) && (
          <button type="button" class="button" data-testid="retry-job" aria-disabled={busy.value} onClick={() => change(() => api.retry(job.id))}>
            <Icon name="retry" />
            {t("app.retry")}
          </button>
        )}
        {state === "done" && job.copyInstanceUID !== null && (
          <a class="button" href={studyLink(token, job.copyInstanceUID)} data-testid="open-copy">
            <Icon name="studies" />
            {t("keep.openCopy")}
          </a>
        )}
      </div>
    </li>
  );
}
