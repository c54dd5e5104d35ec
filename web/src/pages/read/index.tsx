// Owns the page for reading studies outside a session: the list of those that the link opens, and the reader for one.

import { useSignal } from "@preact/signals";
import type { JSX } from "preact";
import { useCallback, useEffect, useMemo } from "preact/hooks";
import { toldAs } from "../../components/context";
import { Page } from "../../components/header";
import { Icon } from "../../components/icons";
import { Problem } from "../../components/problem";
import { formatDay, t } from "../../i18n";
import { createStudyApi, loadReader } from "../../reading";
import type { StudyApi, StudyViewer } from "../../reading";
import type { StudyHead } from "../../reading/model";
import { studyLink } from "../link";
import { useLoading } from "../loading";
import { Refusal } from "../outcome";

/** Seldom: every search is written into the audit. */
const REFRESH_MS = 60_000;

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
  const { found, fault, load } = useLoading(useCallback(() => api.studies(), [api]), REFRESH_MS);
  return (
    <Page wide title={t("reader.title")}>
      <h1>{t("reader.title")}</h1>
      {fault.value !== null && (
        <Problem code={fault.value}>
          <p>{t(`refused.${toldAs(fault.value)}`)}</p>
          <p>{t(`refused.${toldAs(fault.value)}.todo`)}</p>
          <button type="button" class="button" onClick={() => void load()}>
            <Icon name="retry" />
            {t("app.retry")}
          </button>
        </Problem>
      )}
      {found.value === null && fault.value === null && <p role="status">{t("app.loading")}</p>}
      {found.value?.length === 0 && <p>{t("reader.none")}</p>}
      <ul class="read-list" data-testid="studies">
        {found.value?.map((one) => (
          <Row key={one.uid} study={one} token={token} />
        ))}
      </ul>
    </Page>
  );
}

function Row({ study, token }: { readonly study: StudyHead; readonly token: string }): JSX.Element {
  const facts = [study.modalities.join(", "), study.description, formatDay(study.date), t("reader.objects", { count: study.instances })];
  return (
    <li class="card read-row" data-testid="study" data-study={study.uid}>
      <div>
        <h2>{study.patient === "" ? t("reader.nameless") : study.patient}</h2>
        <p class="note">{facts.filter((fact) => fact !== "").join(" · ")}</p>
      </div>
      <a class="button primary" href={studyLink(token, study.uid)} data-testid="open-study">
        <Icon name="studies" />
        {t("reader.open")}
      </a>
    </li>
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
