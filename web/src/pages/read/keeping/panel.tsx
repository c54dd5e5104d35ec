// Owns what can be done with one study besides reading it: how long it is kept, its hold, sending on, copies for teaching, removing.

import type { JSX } from "preact";
import { useCallback } from "preact/hooks";
import { Icon } from "../../../components/icons";
import { Problem } from "../../../components/problem";
import { t } from "../../../i18n";
import type { KeepingApi, KeptStudy, Offered } from "../../../studies/keeping";
import { formatSize } from "../../../studies/words";
import { useLoading } from "../../loading";
import { useActing } from "./acting";
import { Copying } from "./copy";
import type { JobsProps } from "./job";
import { Remove } from "./remove";
import { SendOn } from "./sendon";
import { faultWords, keptWords } from "./words";

/** Seldom: every look is written into the audit. */
const REFRESH_MS = 120_000;

interface PanelProps extends JobsProps {
  readonly uid: string;
  readonly name: string;
  readonly facts: string;
  readonly offered: NonNullable<Offered>;
  readonly onRemoved: () => void;
}

export function KeepPanel({ uid, name, facts, offered, onRemoved, ...rest }: PanelProps): JSX.Element {
  const { jobs } = rest;
  return (
    <div class="keep" data-testid="keep-panel">
      {offered === "send" ? (
        <SendOn uid={uid} {...rest} jobs={jobs.filter(({ kind }) => kind === "send")} />
      ) : (
        <Whole uid={uid} name={name} facts={facts} onRemoved={onRemoved} {...rest} />
      )}
    </div>
  );
}

function Whole({ uid, name, facts, onRemoved, ...rest }: Omit<PanelProps, "offered">): JSX.Element {
  const { api, jobs } = rest;
  const { found, fault, load } = useLoading(useCallback(() => api.study(uid), [api, uid]), REFRESH_MS);
  const study = found.value;
  if (study === null) {
    if (fault.value === null) return <p role="status">{t("app.loading")}</p>;
    return (
      <Problem code={fault.value}>
        <p>{faultWords(fault.value)}</p>
        <button type="button" class="button" onClick={() => void load()}>
          <Icon name="retry" />
          {t("app.retry")}
        </button>
      </Problem>
    );
  }
  return (
    <>
      <Kept api={api} study={study} onChanged={load} />
      <SendOn uid={uid} {...rest} jobs={jobs.filter(({ kind }) => kind === "send")} />
      <Copying uid={uid} ofSession={study.session !== null} {...rest} jobs={jobs.filter(({ kind }) => kind === "copy")} />
      <Remove api={api} uid={uid} name={name} facts={facts} held={study.hold} onRemoved={onRemoved} />
    </>
  );
}

interface KeptProps {
  readonly api: KeepingApi;
  readonly study: KeptStudy;
  readonly onChanged: () => Promise<void>;
}

function Kept({ api, study, onChanged }: KeptProps): JSX.Element {
  const { busy, fault, act } = useActing();
  const { hold, studyInstanceUID, instances, sizeBytes } = study;
  const change = (): void => {
    void act(() => api.hold(studyInstanceUID, !hold)).then(onChanged);
  };
  return (
    <section class="keep-part" aria-label={t("keep.kept")} data-testid="kept" data-hold={hold}>
      <h3>{t("keep.kept")}</h3>
      <p role="status" data-testid="kept-words">
        {keptWords(study)}
      </p>
      <p class="note">
        {t("reader.objects", { count: instances })} · {formatSize(sizeBytes)}
      </p>
      {!hold && <p class="note">{t("keep.holdHint")}</p>}
      <button type="button" class="button" data-testid="hold" aria-disabled={busy.value} onClick={change}>
        <Icon name={hold ? "undo" : "consent"} />
        {t(hold ? "keep.release" : "keep.hold")}
      </button>
      {fault.value !== null && (
        <Problem code={fault.value}>
          <p>{faultWords(fault.value)}</p>
        </Problem>
      )}
    </section>
  );
}
