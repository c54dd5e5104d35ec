// Owns showing one document of a study: a structured report as a tree, an encapsulated PDF page by page; of anything else it says so.

import { useSignal } from "@preact/signals";
import type { ComponentChildren, JSX } from "preact";
import { useEffect } from "preact/hooks";
import { ApiError } from "../../api";
import { toldAs } from "../../components/context";
import { Icon } from "../../components/icons";
import { t } from "../../i18n";
import type { ErrorCode } from "../../protocol";
import { text } from "../dataset";
import { headOf } from "../head";
import type { ObjectHead } from "../head";
import { HeadLine } from "../headline";
import type { StudyApi } from "../loading/api";
import { base64 } from "../waveform/base64";
import { Pdf } from "./pdf";
import { ReportView } from "./reportview";
import { reportOf } from "./report";
import type { Reference, Report } from "./report";

export interface DocumentProps {
  readonly api: Pick<StudyApi, "dataset" | "bulk">;
  readonly study: string;
  readonly series: string;
  readonly instance: string;
  /** Shows what a report refers to; without it, references are only named. */
  readonly onReference?: (reference: Reference) => void;
}

type Fault = ErrorCode | "network";
type Content =
  | { readonly kind: "report"; readonly head: ObjectHead; readonly report: Report }
  | { readonly kind: "pdf"; readonly head: ObjectHead; readonly bytes: ArrayBuffer; readonly title: string }
  | { readonly kind: "other"; readonly type: string };

const ENCAPSULATED = "1.2.840.10008.5.1.4.1.1.104.";
const PDF_TYPE = "application/pdf";

export function Document(props: DocumentProps): JSX.Element {
  const { api, study, series, instance, onReference } = props;
  const content = useSignal<Content | null>(null);
  const fault = useSignal<Fault | null>(null);
  const attempt = useSignal(0);
  useEffect(() => {
    let isHere = true;
    content.value = null;
    fault.value = null;
    load(api, study, series, instance).then(
      (loaded) => isHere && (content.value = loaded),
      (error: unknown) => isHere && (fault.value = error instanceof ApiError ? error.code : "internal"),
    );
    return () => {
      isHere = false;
    };
  }, [api, study, series, instance, attempt.value, content, fault]);
  if (fault.value !== null) {
    return (
      <Note alert>
        <span>{t(`refused.${toldAs(fault.value)}`)}</span>
        <button type="button" class="button" onClick={() => (attempt.value += 1)}>
          <Icon name="retry" />
          {t("app.retry")}
        </button>
      </Note>
    );
  }
  switch (content.value?.kind) {
    case undefined:
      return <Note>{t("document.loading")}</Note>;
    case "report":
      return (
        <>
          <HeadLine head={content.value.head} />
          <ReportView report={content.value.report} {...(onReference ? { onReference } : {})} />
        </>
      );
    case "pdf":
      return (
        <>
          <HeadLine head={content.value.head} />
          <Pdf bytes={content.value.bytes} title={content.value.title} />
        </>
      );
    case "other":
      return <Note>{t("document.other", { type: content.value.type })}</Note>;
  }
}

async function load(api: DocumentProps["api"], study: string, series: string, instance: string): Promise<Content> {
  const dataset = await api.dataset(study, series, instance);
  if (!text(dataset, "00080016").startsWith(ENCAPSULATED)) return { kind: "report", head: headOf(dataset), report: reportOf(dataset) };
  const type = text(dataset, "00420012") || PDF_TYPE;
  if (type.toLowerCase() !== PDF_TYPE) return { kind: "other", type };
  const data = dataset["00420011"];
  const bytes = data?.BulkDataURI === undefined ? base64(data?.InlineBinary ?? "") : await api.bulk(data.BulkDataURI);
  return { kind: "pdf", head: headOf(dataset), bytes, title: text(dataset, "00420010") };
}

export function Note({ children, alert = false }: { readonly children: ComponentChildren; readonly alert?: boolean }): JSX.Element {
  return (
    <div class="reader-cell-note" role={alert ? "alert" : "status"}>
      {children}
    </div>
  );
}
