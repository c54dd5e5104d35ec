// Owns taking over a list of points from a file: choosing or dropping it, what it would change, what is wrong with which line.

import { useSignal } from "@preact/signals";
import type { Signal } from "@preact/signals";
import type { JSX } from "preact";
import { useEffect, useRef } from "preact/hooks";
import { Icon } from "../../components/icons";
import { Problem } from "../../components/problem";
import { language, t } from "../../i18n";
import { offer } from "../../replay/download";
import type { Fault } from "../loading";
import { Failed, faultOf } from "./deeds";
import type { Deeds } from "./deeds";
import type { EventDesk } from "./desk";
import { POINT_WORDS, takeSheet, withLoad } from "./editing";
import { PreviewTable } from "./preview";
import { CHARSETS, SHEET_MAX_BYTES, isWorkbook, linesOf, missing, template } from "./sheet";
import type { Preview, Reading } from "./sheet";

interface Chosen {
  readonly name: string;
  readonly data: ArrayBuffer;
  readonly how: Reading;
}

/** What is seen without asking the server. */
type Unfit = "tooBig" | "workbook" | "unreadable";

interface ImportingProps {
  readonly desk: EventDesk;
  readonly deeds: Deeds;
  readonly onClose: () => void;
}

export function Importing({ desk, deeds, onClose }: ImportingProps): JSX.Element {
  const chosen = useSignal<Chosen | null>(null);
  const preview = useSignal<Preview | null>(null);
  const unfit = useSignal<Unfit | null>(null);
  const fault = useSignal<Fault>(null);
  /** What the preview shows; until it is what was chosen, nothing is taken over. */
  const shown = useSignal<Chosen | null>(null);
  const turn = useRef(0);

  const look = async (next: Chosen): Promise<void> => {
    const mine = ++turn.current;
    chosen.value = next;
    try {
      const found = await desk.api.preview(new Blob([next.data]), next.how);
      // An older answer must not hide a newer one.
      if (mine !== turn.current) return;
      preview.value = found;
      shown.value = next;
      fault.value = null;
    } catch (error) {
      if (mine !== turn.current) return;
      fault.value = faultOf(error);
      if (shown.peek() !== null) chosen.value = shown.peek();
    }
  };
  const choose = async (file: File): Promise<void> => {
    turn.current += 1;
    preview.value = null;
    chosen.value = null;
    shown.value = null;
    fault.value = null;
    unfit.value = file.size > SHEET_MAX_BYTES ? "tooBig" : null;
    if (unfit.value !== null) return;
    try {
      const data = await file.arrayBuffer();
      unfit.value = isWorkbook(new Uint8Array(data)) ? "workbook" : null;
      if (unfit.peek() === null) await look({ name: file.name, data, how: { charset: null, remove: false } });
    } catch {
      unfit.value = "unreadable";
    }
  };
  const apply = async (file: Chosen): Promise<void> => {
    if (file !== shown.peek()) return;
    const work = withLoad(desk.load, () => takeSheet(desk.api, new Blob([file.data]), file.how));
    if (await deeds.run(work)) onClose();
  };
  const close = (): void => {
    deeds.forget();
    onClose();
  };
  const file = chosen.value;
  const found = preview.value;
  return (
    <section class="importing" aria-label={t("event.import")} data-testid="importing">
      <div class="event-view-head">
        <h2>{t("event.import")}</h2>
        <button type="button" class="button" data-testid="import-close" onClick={close}>
          <Icon name="close" />
          {t("app.cancel")}
        </button>
      </div>
      <DropPlace name={file?.name ?? null} onFile={(one) => void choose(one)} />
      {unfit.value !== null && (
        <Problem code={unfit.value}>
          <p>{t(`event.unfit.${unfit.value}`)}</p>
        </Problem>
      )}
      {fault.value !== null && <Failed fault={fault.value} />}
      {deeds.fault.value !== null && <Failed fault={deeds.fault.value} own={POINT_WORDS} />}
      {file !== null && found === null && fault.value === null && <p role="status">{t("app.loading")}</p>}
      {file !== null && found !== null && (
        <>
          <Choices desk={desk} file={file} preview={preview} look={(next) => void look(next)} />
          <PreviewTable preview={found} lines={linesOf(file.data, file.how.charset)} points={desk.event.value.points} />
          <Apply found={found} busy={deeds.busy.value} ready={file === shown.value} onApply={() => void apply(file)} />
        </>
      )}
    </section>
  );
}

interface DropProps {
  /** Of the file that was chosen. */
  readonly name: string | null;
  readonly onFile: (file: File) => void;
}

function DropPlace({ name, onFile }: DropProps): JSX.Element {
  const over = useSignal(false);
  useEffect(() => {
    // A file that falls beside the place would be opened instead of this page.
    const keep = (event: Event): void => event.preventDefault();
    window.addEventListener("dragover", keep);
    window.addEventListener("drop", keep);
    return () => {
      window.removeEventListener("dragover", keep);
      window.removeEventListener("drop", keep);
    };
  }, []);
  return (
    <div
      class="drop-place"
      data-over={over.value}
      data-testid="drop-place"
      onDragOver={(event) => {
        event.preventDefault();
        over.value = true;
      }}
      onDragLeave={() => (over.value = false)}
      onDrop={(event) => {
        event.preventDefault();
        over.value = false;
        const file = event.dataTransfer?.files[0];
        if (file) onFile(file);
      }}
    >
      <p>{name === null ? t("event.drop") : t("event.chosen", { name })}</p>
      <div class="event-tools">
        <label class={name === null ? "button primary" : "button"}>
          <Icon name="folder" />
          {t(name === null ? "event.choose" : "event.chooseOther")}
          <input
            type="file"
            class="unseen"
            accept=".csv,.txt,.tsv,text/csv"
            data-testid="sheet-file"
            onChange={(event) => {
              const file = event.currentTarget.files?.[0];
              // The same file, mended, can be chosen again.
              event.currentTarget.value = "";
              if (file) onFile(file);
            }}
          />
        </label>
        <button type="button" class="button" data-testid="template" onClick={() => offer(template(language.peek()), "points.csv")}>
          <Icon name="download" />
          {t("event.template")}
        </button>
      </div>
      {name === null && (
        <>
          <p class="note">{t("event.dropHint")}</p>
          <table class="sheet-example" aria-hidden="true">
            <thead>
              <tr>
                <th>{t("event.column.province")}</th>
                <th>{t("event.column.organisation")}</th>
                <th>{t("event.column.name")}</th>
                <th>{t("event.column.contact")}</th>
              </tr>
            </thead>
            <tbody>
              <tr>
                <td>Sơn La</td>
                <td>BVĐK Mộc Châu</td>
                <td>{t("event.example.room")}</td>
                <td>0912 345 678</td>
              </tr>
            </tbody>
          </table>
        </>
      )}
    </div>
  );
}

interface ChoicesProps {
  readonly desk: EventDesk;
  readonly file: Chosen;
  readonly preview: Signal<Preview | null>;
  readonly look: (next: Chosen) => void;
}

function Choices({ desk, file, preview, look }: ChoicesProps): JSX.Element | null {
  const { how } = file;
  const found = preview.value;
  const left = found === null ? 0 : missing(desk.event.value.points, found.rows).length;
  const unread = how.charset !== null || (found?.problems.some(({ code }) => code === "encoding") ?? false);
  const wrong = found?.problems.some(({ code }) => code !== "nothingRemoved") ?? false;
  if (!unread && left === 0) return null;
  return (
    <div class="import-choices">
      {unread && (
        <label class="field">
          <span>{t("event.charset")}</span>
          <select
            data-testid="charset"
            value={how.charset ?? ""}
            onChange={(event) => look({ ...file, how: { ...how, charset: CHARSETS.find((one) => one === event.currentTarget.value) ?? null } })}
          >
            <option value="">{t("event.charset.usual")}</option>
            <option value="windows-1258">{`Windows-1258 (${t("event.charset.vietnamese")})`}</option>
            <option value="windows-1251">{`Windows-1251 (${t("event.charset.cyrillic")})`}</option>
          </select>
        </label>
      )}
      {left > 0 && (
        <label class="check">
          <input
            type="checkbox"
            data-testid="remove-missing"
            checked={how.remove}
            disabled={wrong && !how.remove}
            onChange={(event) => look({ ...file, how: { ...how, remove: event.currentTarget.checked } })}
          />
          <span>
            {t("event.removeMissing", { count: left })}
            {wrong && <small class="note">{t("event.removeNot")}</small>}
          </span>
        </label>
      )}
    </div>
  );
}

interface ApplyProps {
  readonly found: Preview;
  readonly busy: boolean;
  /** What is shown is what would be done. */
  readonly ready: boolean;
  readonly onApply: () => void;
}

function Apply({ found, busy, ready, onApply }: ApplyProps): JSX.Element {
  const count = found.added + found.changed + found.removed;
  if (count === 0) return <p class="note">{t(found.rows.length === 0 ? "event.nothingToTake" : "event.nothingNew")}</p>;
  const leftOut = found.problems.filter(({ line }) => line > 0).length;
  return (
    <div class="import-apply">
      <button type="button" class="button primary large" data-testid="import-apply" aria-disabled={busy || !ready} onClick={onApply}>
        <Icon name="check" />
        {busy ? t("event.taking") : t("event.take", { count })}
      </button>
      {leftOut > 0 && <span class="note">{t("event.leftOut", { count: leftOut })}</span>}
    </div>
  );
}
