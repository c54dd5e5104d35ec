// Owns removing a study for ever: only by typing a word, only while it is not held, and said as what it is.

import { useSignal } from "@preact/signals";
import type { JSX } from "preact";
import { Dialog } from "../../../components/dialog";
import { Icon } from "../../../components/icons";
import { Problem } from "../../../components/problem";
import { t } from "../../../i18n";
import type { KeepingApi } from "../../../studies/keeping";
import { useActing } from "./acting";
import { faultWords } from "./words";

interface RemoveProps {
  readonly api: KeepingApi;
  readonly uid: string;
  /** Whose it is and what it is, to be read again before it is gone. */
  readonly name: string;
  readonly facts: string;
  readonly held: boolean;
  readonly onRemoved: () => void;
}

export function Remove({ api, uid, name, facts, held, onRemoved }: RemoveProps): JSX.Element {
  const asked = useSignal(false);
  const typed = useSignal("");
  const { busy, fault, act } = useActing();
  const word = t("keep.word");
  const isTyped = typed.value.trim().normalize("NFC").toUpperCase() === word.normalize("NFC").toUpperCase();
  const remove = async (): Promise<void> => {
    if (!isTyped || !(await act(() => api.shred(uid)))) return;
    asked.value = false;
    onRemoved();
  };
  return (
    <section class="keep-part" aria-label={t("keep.remove")} data-testid="remove-part">
      <h3>{t("keep.remove")}</h3>
      <p class="note">{t(held ? "keep.removeHeld" : "keep.removeHint")}</p>
      <button
        type="button"
        class="button danger-quiet"
        data-testid="remove-study"
        aria-disabled={held}
        onClick={() => {
          typed.value = "";
          asked.value = !held;
        }}
      >
        <Icon name="warning" />
        {t("keep.removeAsk")}
      </button>
      {asked.value && (
        <Dialog title={t("keep.removeTitle")} testId="remove-dialog" onClose={() => (asked.value = false)}>
          <form
            class="keep-form"
            onSubmit={(event) => {
              event.preventDefault();
              void remove();
            }}
          >
            <p>
              <strong>{name}</strong>
              <br />
              <span class="note">{facts}</span>
            </p>
            <p>{t("keep.removeHint")}</p>
            <label class="field">
              <span>{t("keep.removeType", { word })}</span>
              <input
                type="text"
                data-testid="remove-word"
                autocomplete="off"
                autocapitalize="characters"
                spellcheck={false}
                value={typed.value}
                onInput={(event) => (typed.value = event.currentTarget.value)}
              />
            </label>
            {fault.value !== null && (
              <Problem code={fault.value}>
                <p>{fault.value === "conflict" ? t("keep.removeRefused") : faultWords(fault.value)}</p>
              </Problem>
            )}
            <div class="dialog-buttons">
              <button type="button" class="button" onClick={() => (asked.value = false)}>
                {t("app.cancel")}
              </button>
              <button type="submit" class="button danger" data-testid="remove-yes" aria-disabled={!isTyped || busy.value}>
                {t("keep.removeNow")}
              </button>
            </div>
          </form>
        </Dialog>
      )}
    </section>
  );
}
