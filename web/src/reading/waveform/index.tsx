// Owns showing one waveform object: loads it, says what is wrong where it cannot be shown, and offers its groups.

import { useSignal } from "@preact/signals";
import type { JSX } from "preact";
import { useEffect } from "preact/hooks";
import { ApiError } from "../../api";
import { toldAs } from "../../components/context";
import { Icon } from "../../components/icons";
import { t } from "../../i18n";
import type { ErrorCode } from "../../protocol";
import { HeadLine } from "../headline";
import type { StudyApi } from "../loading/api";
import type { Mark } from "../view";
import { base64 } from "./base64";
import { waveformOf } from "./model";
import type { Group, WaveformObject } from "./model";
import { isDrawable, Samples } from "./samples";
import { Recording } from "./recording";

export interface WaveformProps {
  readonly api: Pick<StudyApi, "dataset" | "bulk">;
  readonly study: string;
  readonly series: string;
  readonly instance: string;
  /** Those of the common view; only calipers on this object are drawn. */
  readonly marks: readonly (Mark & { readonly id: string })[];
  /** A mark was made, changed or, with null, taken away. */
  readonly onMark: (id: string, mark: Mark | null) => void;
  /** Who measures, as others shall read it. */
  readonly name?: string;
}

type Fault = ErrorCode | "network";

export function Waveform(props: WaveformProps): JSX.Element {
  const { api, study, series, instance } = props;
  const object = useSignal<WaveformObject | null>(null);
  const fault = useSignal<Fault | null>(null);
  const attempt = useSignal(0);
  const chosen = useSignal(0);
  useEffect(() => {
    let isHere = true;
    object.value = null;
    fault.value = null;
    api.dataset(study, series, instance).then(
      (dataset) => isHere && (object.value = waveformOf(dataset)),
      (error: unknown) => isHere && (fault.value = codeOf(error)),
    );
    return () => {
      isHere = false;
    };
  }, [api, study, series, instance, attempt.value, object, fault]);
  if (fault.value !== null) return <Failed code={fault.value} onRetry={() => (attempt.value += 1)} />;
  if (object.value === null) return <Words>{t("waveform.loading")}</Words>;
  const group = object.value.groups[chosen.value] ?? object.value.groups[0];
  if (group === undefined) return <Words>{t("waveform.none")}</Words>;
  const index = object.value.groups.indexOf(group);
  return (
    <div class="wave" data-testid="waveform">
      <HeadLine head={object.value.head} />
      {object.value.groups.length > 1 && (
        <div class="wave-groups" role="group" aria-label={t("waveform.groups")}>
          {object.value.groups.map((each, at) => (
            <button key={at} type="button" class="button small" aria-pressed={at === index} data-testid="wave-group" onClick={() => (chosen.value = at)}>
              {each.label || t("waveform.group", { number: at + 1 })}
            </button>
          ))}
        </div>
      )}
      <Loaded key={index} {...props} group={group} index={index} object={object.value} />
    </div>
  );
}

interface LoadedProps extends WaveformProps {
  readonly object: WaveformObject;
  readonly group: Group;
  readonly index: number;
}

function Loaded(props: LoadedProps): JSX.Element {
  const { api, group } = props;
  const samples = useSignal<Samples | null>(null);
  const fault = useSignal<Fault | null>(null);
  const attempt = useSignal(0);
  const drawable = isDrawable(group);
  useEffect(() => {
    if (!drawable) return;
    let isHere = true;
    fault.value = null;
    bytesOf(api, group).then(
      (bytes) => isHere && (samples.value = new Samples(group, bytes)),
      (error: unknown) => isHere && (fault.value = codeOf(error)),
    );
    return () => {
      isHere = false;
    };
  }, [api, group, drawable, attempt.value, samples, fault]);
  if (!drawable) return <Words>{t("waveform.notDrawable")}</Words>;
  if (fault.value !== null) return <Failed code={fault.value} onRetry={() => (attempt.value += 1)} />;
  if (samples.value === null) return <Words>{t("waveform.loading")}</Words>;
  return <Recording {...props} samples={samples.value} />;
}

function bytesOf(api: Pick<StudyApi, "bulk">, { data }: Group): Promise<ArrayBuffer> {
  if (data.BulkDataURI !== undefined) return api.bulk(data.BulkDataURI);
  return Promise.resolve(base64(data.InlineBinary ?? ""));
}

function codeOf(error: unknown): Fault {
  return error instanceof ApiError ? error.code : "internal";
}

function Failed({ code, onRetry }: { readonly code: Fault; readonly onRetry: () => void }): JSX.Element {
  return (
    <div class="reader-cell-note" role="alert">
      <span>{t(`refused.${toldAs(code)}`)}</span>
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
