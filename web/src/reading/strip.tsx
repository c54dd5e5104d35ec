// Owns the strip of a study's series: a small picture of each, its modality, name and count. One is put into the active cell by a press.

import { useSignal } from "@preact/signals";
import type { JSX } from "preact";
import { useEffect } from "preact/hooks";
import { toldAs } from "../components/context";
import { Icon } from "../components/icons";
import type { IconName } from "../components/icons";
import { t } from "../i18n";
import { SERIES_TYPE } from "./cell";
import { StudyChooser } from "./choosing";
import type { OpenStudy } from "./library";
import type { SeriesHead } from "./model";
import { kinship } from "./patients";
import { kinWords } from "./studyline";
import type { StudyViewer } from "./viewer";

interface StripProps {
  readonly viewer: StudyViewer;
  /** The study that is read. */
  readonly study: OpenStudy;
}

/** Of these there is nothing that a small picture could show. */
const SIGNS: Readonly<Record<string, IconName>> = {
  ...Object.fromEntries(["ECG", "EPS", "HD", "RESP", "EEG", "EMG", "EOG", "POS"].map((modality) => [modality, "curve"])),
  ...Object.fromEntries(["SR", "DOC", "KO", "PR", "PLAN", "REG", "AU"].map((modality) => [modality, "file"])),
};

export function Strip({ viewer, study }: StripProps): JSX.Element {
  const other = useSignal<string | null>(null);
  const chosen = other.value === null ? null : viewer.library.study(other.value).value;
  const shown = chosen?.state === "ready" ? chosen.value : study;
  const kin = shown === study ? "same" : kinship(study.head, shown.head);
  return (
    <div class="reader-side-strip" data-testid="reader-side-strip" data-study={shown.head.uid}>
      <StudyChooser viewer={viewer} read={study.head} shown={shown.head} onChoose={(uid) => (other.value = uid === study.head.uid ? null : uid)} />
      {chosen?.state === "loading" && <p role="status">{t("app.loading")}</p>}
      {chosen?.state === "failed" && <p role="alert">{t(`refused.${toldAs(chosen.code)}`)}</p>}
      {kin !== "same" && (
        <p class="reader-kin danger" role="alert">
          <Icon name="warning" />
          {kinWords(shown.head, kin)}
        </p>
      )}
      <ul class="reader-strip" aria-label={t("reader.series")} data-testid="reader-strip">
        {shown.series.map((head) => (
          <li key={head.uid}>
            <Tile viewer={viewer} head={head} />
          </li>
        ))}
      </ul>
    </div>
  );
}

function Tile({ viewer, head }: { readonly viewer: StudyViewer; readonly head: SeriesHead }): JSX.Element {
  const address = useSignal<string | null>(null);
  const hasNone = useSignal(false);
  const sign = SIGNS[head.modality];
  useEffect(() => {
    if (sign !== undefined) return;
    let isThere = true;
    void viewer.library.thumbnail(head.study, head.uid).then((made) => {
      if (!isThere) return;
      address.value = made;
      hasNone.value = made === null;
    });
    return () => {
      isThere = false;
    };
  }, [viewer, head.study, head.uid, sign, address, hasNone]);
  const isShown = viewer.cells.value.some(({ content }) => content?.series === head.uid);
  const name = head.description === "" ? t("reader.seriesNumber", { number: head.number ?? 0 }) : head.description;
  const drawn = sign ?? (hasNone.value ? "studies" : null);
  return (
    <button
      type="button"
      class="reader-tile"
      data-testid="reader-tile"
      data-series={head.uid}
      aria-pressed={isShown}
      draggable
      onDragStart={(event) => event.dataTransfer?.setData(SERIES_TYPE, `${head.study} ${head.uid}`)}
      onClick={() => {
        if (viewer.layout.peek() === "mpr") viewer.arrange("1x1");
        viewer.put(viewer.active.peek(), { study: head.study, series: head.uid });
      }}
    >
      <span class={drawn === null ? "reader-thumb" : "reader-thumb sign"}>
        {drawn !== null ? <Icon name={drawn} /> : address.value !== null && <img src={address.value} alt="" />}
      </span>
      <span class="reader-tile-words">
        <strong>{head.modality}</strong>
        <span>{name}</span>
        <span class="note">{t("reader.objects", { count: head.instances })}</span>
      </span>
    </button>
  );
}
