// Owns the page for reading studies outside a session: the list of those that the link opens, what is done with each besides reading, and the
// reader for one.

import { useComputed, useSignal } from "@preact/signals";
import type { JSX } from "preact";
import { useCallback, useEffect, useMemo, useRef } from "preact/hooks";
import { toldAs } from "../../components/context";
import { Page } from "../../components/header";
import { Icon } from "../../components/icons";
import { Problem } from "../../components/problem";
import { formatDay, formatNumber, t } from "../../i18n";
import { createStudyApi, loadReader } from "../../reading";
import type { StudyApi, StudyViewer } from "../../reading";
import type { StudyHead } from "../../reading/model";
import { createKeepingApi, isOver, offeredTo } from "../../studies/keeping";
import type { Job, KeepingApi, Offered } from "../../studies/keeping";
import { studyLink } from "../link";
import { useLoading } from "../loading";
import { Refusal } from "../outcome";
import { useGrowth } from "./growing";
import { KeepPanel } from "./keeping/panel";

/** Seldom: every search is written into the audit. */
const REFRESH_MS = 60_000;
/** How far something is, is asked for only while something goes on. */
const JOBS_MS = 2_000;
/** So many studies are listed at first and with each "more"; the server answers with no more than so many at once. */
const LIST_PAGE = 200;
const LIST_LIMIT = 4_800;

interface ReadPageProps {
  readonly token: string;
  /** "" lists what there is. */
  readonly study: string;
}

export function ReadPage({ token, study }: ReadPageProps): JSX.Element {
  const api = useMemo(() => createStudyApi(token), [token]);
  if (token === "") return <Refusal code="notAuthorised" onAgain={null} />;
  return study === "" ? <StudyList api={api} token={token} /> : <OneStudy api={api} token={token} study={study} />;
}

function StudyList({ api, token }: { readonly api: StudyApi; readonly token: string }): JSX.Element {
  const shown = useSignal(LIST_PAGE);
  const { found, fault: listFault, load } = useLoading(useCallback(() => api.studies({ limit: shown.value + 1 }), [api, shown.value]), REFRESH_MS);
  const offered = offeredTo(token);
  const isCut = (found.value?.length ?? 0) > shown.value;
  const keeping = useMemo(() => createKeepingApi(token), [token]);
  const jobs = useLoading(useCallback(() => (offered === null ? Promise.resolve([]) : keeping.jobs()), [keeping, offered]), JOBS_MS, anyGoesOn);
  const opened = useSignal("");
  const removed = useSignal("");
  const fault = useComputed(() => listFault.value ?? jobs.fault.value);
  const copies = jobs.found.value?.filter(({ kind, state }) => kind === "copy" && state === "done").length ?? null;
  const copiesBefore = useRef(copies);
  useEffect(() => {
    // A copy is a study of its own.
    if (copiesBefore.current !== null && copiesBefore.current !== copies) void load();
    copiesBefore.current = copies;
  }, [copies, load]);
  return (
    <Page wide title={t("reader.title")}>
      <h1>{t("reader.title")}</h1>
      {fault.value !== null && (
        <Problem code={fault.value}>
          <p>{t(`refused.${toldAs(fault.value)}`)}</p>
          <p>{t(`refused.${toldAs(fault.value)}.todo`)}</p>
          <button type="button" class="button" onClick={() => void Promise.all([load(), jobs.load()])}>
            <Icon name="retry" />
            {t("app.retry")}
          </button>
        </Problem>
      )}
      <p class="keep-removed" role="status">
        {removed.value !== "" && t("keep.removed", { name: removed.value })}
      </p>
      {found.value === null && fault.value === null && <p role="status">{t("app.loading")}</p>}
      {found.value?.length === 0 && <p>{t("reader.none")}</p>}
      <ul class="read-list" data-testid="studies">
        {found.value?.slice(0, shown.value).map((one) => (
          <Row
            key={one.uid}
            study={one}
            token={token}
            keeping={keeping}
            offered={offered}
            jobs={jobs.found.value?.filter(({ studyInstanceUID }) => studyInstanceUID === one.uid) ?? []}
            open={opened.value === one.uid}
            onToggle={() => (opened.value = opened.value === one.uid ? "" : one.uid)}
            onChanged={jobs.load}
            onRemoved={() => {
              removed.value = nameOf(one);
              opened.value = "";
              void load();
            }}
          />
        ))}
      </ul>
      {isCut && (
        <p class="read-cut" role="status" data-testid="studies-cut">
          {t("reader.listCut", { count: formatNumber(shown.value) })}{" "}
          {shown.value < LIST_LIMIT && (
            <button type="button" class="button" data-testid="studies-more" onClick={() => (shown.value += LIST_PAGE)}>
              <Icon name="down" />
              {t("reader.listMore")}
            </button>
          )}
        </p>
      )}
    </Page>
  );
}

function anyGoesOn(jobs: readonly Job[]): boolean {
  return jobs.some((job) => !isOver(job));
}

function nameOf({ patient }: StudyHead): string {
  return patient === "" ? t("reader.nameless") : patient;
}

interface RowProps {
  readonly study: StudyHead;
  readonly token: string;
  readonly keeping: KeepingApi;
  readonly offered: Offered;
  readonly jobs: readonly Job[];
  readonly open: boolean;
  readonly onToggle: () => void;
  readonly onChanged: () => Promise<void>;
  readonly onRemoved: () => void;
}

function Row({ study, token, keeping, offered, jobs, open, onToggle, onChanged, onRemoved }: RowProps): JSX.Element {
  const said = [study.modalities.join(", "), study.description, formatDay(study.date), t("reader.objects", { count: study.instances })];
  const facts = said.filter((fact) => fact !== "").join(" · ");
  const name = nameOf(study);
  const word = t(offered === "all" ? "keep.open" : "keep.send");
  return (
    <li class="card read-item" data-testid="study" data-study={study.uid} data-open={open}>
      <div class="read-row">
        <div class="read-words">
          <h2>{name}</h2>
          <p class="note">{facts}</p>
          <Badge job={jobs[0]} />
        </div>
        <div class="read-acts">
          {offered !== null && (
            <button type="button" class="button" aria-expanded={open} aria-label={`${word}: ${name}`} data-testid="keep-study" onClick={onToggle}>
              <Icon name="down" />
              {word}
            </button>
          )}
          <a class="button primary" href={studyLink(token, study.uid)} data-testid="open-study">
            <Icon name="studies" />
            {t("reader.open")}
          </a>
        </div>
      </div>
      {offered !== null && open && (
        <KeepPanel
          api={keeping}
          token={token}
          uid={study.uid}
          name={name}
          facts={facts}
          offered={offered}
          jobs={jobs}
          onChanged={onChanged}
          onRemoved={onRemoved}
        />
      )}
    </li>
  );
}

/** What goes on with a study, or went wrong, is seen without opening anything. */
function Badge({ job }: { readonly job: Job | undefined }): JSX.Element | null {
  if (job === undefined || job.state === "done" || job.state === "stopped") return null;
  const isBad = job.error !== null;
  return (
    <p class={isBad ? "read-badge bad" : "read-badge"} data-testid="job-badge">
      <Icon name={isBad ? "warning" : job.kind === "copy" ? "copy" : "send"} />
      {isBad ? t(`keep.badge.failed.${job.kind}`) : t(`keep.badge.${job.kind}`)}
    </p>
  );
}

function OneStudy({ api, token, study }: { readonly api: StudyApi; readonly token: string; readonly study: string }): JSX.Element {
  const parts = useSignal<{ readonly viewer: StudyViewer; readonly Reader: Awaited<ReturnType<typeof loadReader>>["Reader"] } | null>(null);
  const isLost = useSignal(false);
  useEffect(() => {
    let viewer: StudyViewer | null = null;
    let isLeft = false;
    loadReader().then(
      ({ Reader, StudyViewer }) => {
        if (isLeft) return;
        viewer = new StudyViewer({ api });
        parts.value = { viewer, Reader };
        // The reader itself says why a study does not open.
        viewer.open(study).catch(() => undefined);
      },
      () => (isLost.value = true),
    );
    return () => {
      isLeft = true;
      viewer?.dispose();
    };
  }, [api, study, parts, isLost]);
  const { value } = parts;
  useGrowth(value?.viewer ?? null, study);
  return (
    <main class="read-page">
      <p class="read-head">
        <a class="button quiet small" href={studyLink(token)} data-testid="all-studies">
          <Icon name="studies" />
          {t("reader.back")}
        </a>
      </p>
      {value ? <value.Reader viewer={value.viewer} autoFocus /> : <p role={isLost.value ? "alert" : "status"}>{t(isLost.value ? "refused.noNetwork" : "reader.loadingReader")}</p>}
    </main>
  );
}
