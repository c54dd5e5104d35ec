// Owns making a copy for teaching: what is done with pictures that may show a name, and what became of the copies.

import { useSignal } from "@preact/signals";
import type { Signal } from "@preact/signals";
import type { JSX } from "preact";
import { Icon } from "../../../components/icons";
import { Problem } from "../../../components/problem";
import { t } from "../../../i18n";
import { isOver } from "../../../studies/keeping";
import type { CopyWish } from "../../../studies/keeping";
import { useActing } from "./acting";
import { JobList } from "./job";
import type { JobsProps } from "./job";
import { faultWords } from "./words";

/** `leaveOut` first: it never shows a name. */
const DOUBTFUL = ["leaveOut", "blankRows", "looked"] as const;
type Doubtful = (typeof DOUBTFUL)[number];
const ROWS_MAX = 4096;
const ROWS_USUAL = 60;

interface CopyingProps extends JobsProps {
  readonly uid: string;
  /** Whether it belongs to a session, whose people could see the copy. */
  readonly ofSession: boolean;
}

export function Copying({ uid, ofSession, ...rest }: CopyingProps): JSX.Element {
  const { api, jobs, onChanged } = rest;
  const doubtful = useSignal<Doubtful>("leaveOut");
  const rows = useSignal(String(ROWS_USUAL));
  const shiftDates = useSignal(false);
  const inSession = useSignal(false);
  const { busy, fault, act } = useActing();
  const isUnderWay = jobs.some((job) => !isOver(job));
  const blankRows = Number(rows.value);
  const isAsked = doubtful.value !== "blankRows" || (Number.isInteger(blankRows) && blankRows >= 1 && blankRows <= ROWS_MAX);
  const make = async (): Promise<void> => {
    if (isUnderWay || !isAsked) return;
    const wish: CopyWish = {
      ...(doubtful.value === "leaveOut" ? { leaveOut: true } : doubtful.value === "looked" ? { looked: true } : { blankRows }),
      shiftDates: shiftDates.value,
      inSession: ofSession && inSession.value,
    };
    if (await act(() => api.copy(uid, wish))) await onChanged();
  };
  return (
    <section class="keep-part" aria-label={t("keep.copy")} data-testid="teaching-copy">
      <h3>{t("keep.copy")}</h3>
      <p class="note">{t("keep.copyHint")}</p>
      <form
        class="keep-form"
        onSubmit={(event) => {
          event.preventDefault();
          void make();
        }}
      >
        <label class="field">
          <span>{t("keep.doubtful")}</span>
          <select data-testid="doubtful" value={doubtful.value} onChange={(event) => (doubtful.value = event.currentTarget.value as Doubtful)}>
            {DOUBTFUL.map((one) => (
              <option key={one} value={one}>
                {t(`keep.doubtful.${one}`)}
              </option>
            ))}
          </select>
        </label>
        {doubtful.value === "blankRows" && (
          <label class="field">
            <span>{t("keep.rows")}</span>
            <input
              type="number"
              data-testid="blank-rows"
              min={1}
              max={ROWS_MAX}
              required
              aria-invalid={!isAsked}
              value={rows.value}
              onInput={(event) => (rows.value = event.currentTarget.value)}
            />
          </label>
        )}
        <Check wish={shiftDates} words={t("keep.shiftDates")} />
        {ofSession && <Check wish={inSession} words={t("keep.inSession")} />}
        <button type="submit" class="button" data-testid="make-copy" aria-disabled={busy.value || isUnderWay || !isAsked}>
          <Icon name="copy" />
          {t("keep.copyNow")}
        </button>
      </form>
      {fault.value !== null && (
        <Problem code={fault.value}>
          <p>{faultWords(fault.value)}</p>
        </Problem>
      )}
      <JobList {...rest} />
    </section>
  );
}

function Check({ wish, words }: { readonly wish: Signal<boolean>; readonly words: string }): JSX.Element {
  return (
    <label class="check">
      <input type="checkbox" checked={wish.value} onChange={(event) => (wish.value = event.currentTarget.checked)} />
      {words}
    </label>
  );
}
