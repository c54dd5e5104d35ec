// Owns choosing of which study the strip shows the series: the one that is read, others of the patient, and in a session all that are in it.

import { useSignal } from "@preact/signals";
import type { Signal } from "@preact/signals";
import type { JSX } from "preact";
import { useEffect, useId, useRef } from "preact/hooks";
import { ApiError } from "../api";
import { toldAs } from "../components/context";
import { Icon } from "../components/icons";
import { t } from "../i18n";
import type { ErrorCode } from "../protocol";
import { compareWithEarlier, neighbours } from "./earlier";
import type { StudyHead } from "./model";
import { kinship } from "./patients";
import { aboutOf, dayOf, kinWords, whenOf } from "./studyline";
import type { StudyViewer } from "./viewer";

interface ChooserProps {
  readonly viewer: StudyViewer;
  readonly read: StudyHead;
  /** Whose series the strip shows. */
  readonly shown: StudyHead;
  readonly onChoose: (study: string) => void;
}

type Found = { readonly state: "looking" } | { readonly state: "found"; readonly studies: readonly StudyHead[] } | { readonly state: "failed"; readonly code: ErrorCode | "network" };

export function StudyChooser(props: ChooserProps): JSX.Element {
  const { read, shown } = props;
  const isOpen = useSignal(false);
  const button = useRef<HTMLButtonElement>(null);
  const list = useId();
  const kin = kinship(read, shown);
  const close = (): void => {
    isOpen.value = false;
    button.current?.focus();
  };
  const onEscape = (event: KeyboardEvent): void => {
    if (event.key !== "Escape" || !isOpen.peek()) return;
    event.preventDefault();
    event.stopPropagation();
    close();
  };
  return (
    <>
      <button
        ref={button}
        type="button"
        class={`reader-study ${kin !== "same" && shown.uid !== read.uid ? "danger" : shown.uid === read.uid ? "" : "other"}`}
        data-testid="study-choose"
        aria-expanded={isOpen.value}
        aria-controls={list}
        onKeyDown={onEscape}
        onClick={() => (isOpen.value = !isOpen.peek())}
      >
        <strong>{dayOf(shown)}</strong>
        <span>{t(`reader.when.${whenOf(shown, read, kin)}`)}</span>
        <span class="unseen">{t("reader.studies.choose")}</span>
        <Icon name="down" />
      </button>
      {isOpen.value && (
        <div
          id={list}
          class="reader-studies"
          role="group"
          aria-label={t("reader.studies.choose")}
          data-testid="study-choices"
          onKeyDown={onEscape}
        >
          <Choices {...props} onClose={close} />
        </div>
      )}
    </>
  );
}

function Choices({ viewer, read, shown, onChoose, onClose }: ChooserProps & { readonly onClose: () => void }): JSX.Element {
  const found = useSignal<Found>({ state: "looking" });
  useEffect(() => look(viewer, read, found), [viewer, read, found]);
  const { value } = found;
  return (
    <>
      <p class="reader-studies-head">
        <button
          type="button"
          class="button primary small"
          data-testid="compare-earlier"
          onClick={() => {
            onClose();
            void compareWithEarlier(viewer);
          }}
        >
          <Icon name="compare" />
          {t("reader.compareEarlier")}
        </button>
        <button type="button" class="button quiet small" onClick={onClose}>
          <Icon name="close" />
          {t("app.close")}
        </button>
      </p>
      {value.state === "looking" && <p role="status">{t("app.loading")}</p>}
      {value.state === "failed" && (
        <p role="alert">
          {t(`refused.${toldAs(value.code)}`)}{" "}
          <button type="button" class="button small" onClick={() => look(viewer, read, found)}>
            <Icon name="retry" />
            {t("app.retry")}
          </button>
        </p>
      )}
      {value.state === "found" && value.studies.length < 2 && <p class="note">{t(viewer.isSession ? "reader.studies.aloneInSession" : "reader.studies.alone")}</p>}
      {value.state === "found" && (
        <ul>
          {value.studies.map((study) => (
            <li key={study.uid}>
              <Choice
                study={study}
                read={read}
                isChosen={study.uid === shown.uid}
                onChoose={() => {
                  onChoose(study.uid);
                  onClose();
                }}
              />
            </li>
          ))}
        </ul>
      )}
    </>
  );
}

interface ChoiceProps {
  readonly study: StudyHead;
  readonly read: StudyHead;
  readonly isChosen: boolean;
  readonly onChoose: () => void;
}

function Choice({ study, read, isChosen, onChoose }: ChoiceProps): JSX.Element {
  const kin = study.uid === read.uid ? "same" : kinship(read, study);
  return (
    <button type="button" class={kin === "same" ? "reader-choice-row" : "reader-choice-row danger"} aria-pressed={isChosen} data-testid="study-choice" data-study={study.uid} data-kinship={kin} onClick={onChoose}>
      <span>
        <strong>{dayOf(study)}</strong> {t(`reader.when.${whenOf(study, read, kin)}`)}
      </span>
      <span>{aboutOf(study)}</span>
      {kin !== "same" && (
        <span class="reader-kin">
          <Icon name="warning" />
          {kinWords(study, kin)}
        </span>
      )}
      <span class="note">{t("reader.objects", { count: study.instances })}</span>
    </button>
  );
}

function look(viewer: StudyViewer, read: StudyHead, found: Signal<Found>): () => void {
  let isWanted = true;
  found.value = { state: "looking" };
  neighbours(viewer, read).then(
    (studies) => {
      if (isWanted) found.value = { state: "found", studies };
    },
    (error: unknown) => {
      if (isWanted) found.value = { state: "failed", code: error instanceof ApiError ? error.code : "internal" };
    },
  );
  return () => {
    isWanted = false;
  };
}
