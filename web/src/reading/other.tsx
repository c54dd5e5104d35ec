// Owns a cell whose series is waveforms or documents: which of its objects is shown. Their code comes when it is needed.

import { useComputed, useSignal } from "@preact/signals";
import type { ComponentType, JSX } from "preact";
import { useEffect } from "preact/hooks";
import { Icon } from "../components/icons";
import { t } from "../i18n";
import type { DocumentProps } from "./document";
import type { Series } from "./model";
import type { StudyViewer } from "./viewer";
import type { WaveformProps } from "./waveform";

interface OtherProps {
  readonly viewer: StudyViewer;
  readonly series: Series;
}

export function OtherCell({ viewer, series }: OtherProps): JSX.Element {
  const chosen = useSignal(0);
  const instances = series.instancesOf;
  const instance = instances[chosen.value] ?? instances[0];
  if (instance === undefined) return <Words>{t("reader.nothingToShow")}</Words>;
  return (
    <div class="reader-other" data-testid={`reader-${series.kind}`} data-series={series.uid}>
      {instances.length > 1 && (
        <label class="reader-other-choice">
          {t("document.which")}
          <select value={String(chosen.value)} onChange={(event) => (chosen.value = Number(event.currentTarget.value))}>
            {instances.map((each, index) => (
              <option key={each.uid} value={String(index)}>
                {t("document.number", { number: index + 1, all: instances.length })}
              </option>
            ))}
          </select>
        </label>
      )}
      {series.kind === "waveform" ? (
        <LateWaveform key={instance.uid} viewer={viewer} series={series} instance={instance.uid} />
      ) : (
        <LateDocument key={instance.uid} viewer={viewer} series={series} instance={instance.uid} />
      )}
    </div>
  );
}

interface OneProps extends OtherProps {
  readonly instance: string;
}

function LateWaveform({ viewer, series, instance }: OneProps): JSX.Element {
  const [Waveform, again] = useLate<WaveformProps>(() => import("./waveform").then((loaded) => loaded.Waveform));
  const marks = useComputed(() => viewer.marks.value.filter((mark) => mark.instance === instance));
  if (typeof Waveform === "string") return <NotYet state={Waveform} word={t("waveform.loading")} onRetry={again} />;
  return (
    <Waveform
      api={viewer.api}
      study={series.study}
      series={series.uid}
      instance={instance}
      marks={marks.value}
      name={viewer.name}
      onMark={(id, mark) => {
        if (mark === null) viewer.removeMark(id);
        else viewer.mark(id, mark);
      }}
    />
  );
}

function LateDocument({ viewer, series, instance }: OneProps): JSX.Element {
  const [Document, again] = useLate<DocumentProps>(() => import("./document").then((loaded) => loaded.Document));
  if (typeof Document === "string") return <NotYet state={Document} word={t("document.loading")} onRetry={again} />;
  return <Document api={viewer.api} study={series.study} series={series.uid} instance={instance} />;
}

type Late<P> = ComponentType<P> | "coming" | "lost";

function useLate<P>(load: () => Promise<ComponentType<P>>): readonly [Late<P>, () => void] {
  const part = useSignal<{ readonly is: Late<P> }>({ is: "coming" });
  const begin = (): void => {
    part.value = { is: "coming" };
    load().then(
      (is) => (part.value = { is }),
      () => (part.value = { is: "lost" }),
    );
  };
  // Once: the part is the same whatever is shown by it.
  useEffect(begin, []);
  return [part.value.is, begin];
}

function NotYet({ state, word, onRetry }: { readonly state: "coming" | "lost"; readonly word: string; readonly onRetry: () => void }): JSX.Element {
  if (state === "coming") return <Words>{word}</Words>;
  return (
    <div class="reader-cell-note" role="alert">
      <span>{t("reader.partLost")}</span>
      <button type="button" class="button" onClick={onRetry}>
        <Icon name="retry" />
        {t("app.retry")}
      </button>
    </div>
  );
}

function Words({ children }: { readonly children: string }): JSX.Element {
  return (
    <div class="reader-cell-note" role="status">
      {children}
    </div>
  );
}
