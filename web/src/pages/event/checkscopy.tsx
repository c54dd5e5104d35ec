// Owns taking a list of points to the clipboard, for who calls them; shown as text where the browser gives no clipboard.

import { useSignal } from "@preact/signals";
import type { JSX } from "preact";
import { useEffect } from "preact/hooks";
import { Icon } from "../../components/icons";
import { t } from "../../i18n";
import { listText } from "./checksmodel";
import type { EventPoint } from "./model";

const COPIED_SHOWN_MS = 3_000;

interface CopyListProps {
  readonly points: readonly EventPoint[];
  /** They are those that have not checked. */
  readonly missing: boolean;
}

export function CopyList({ points, missing }: CopyListProps): JSX.Element {
  const copied = useSignal<number | null>(null);
  const shown = useSignal<string | null>(null);
  useEffect(() => {
    if (copied.value === null) return;
    const timer = setTimeout(() => (copied.value = null), COPIED_SHOWN_MS);
    return () => clearTimeout(timer);
  }, [copied.value, copied]);
  const copy = async (): Promise<void> => {
    const text = listText(points);
    try {
      await navigator.clipboard.writeText(text);
      copied.value = points.length;
      shown.value = null;
    } catch {
      shown.value = text;
    }
  };
  if (points.length === 0) return <p class="note">{missing ? t("checks.noneMissing") : ""}</p>;
  return (
    <>
      <button type="button" class="button" data-testid="copy-list" onClick={() => void copy()}>
        <Icon name={copied.value === null ? "copy" : "check"} />
        <span role="status">{copied.value === null ? t(missing ? "checks.copyMissing" : "checks.copyShown") : t("checks.copied", { count: copied.value })}</span>
      </button>
      {shown.value !== null && (
        <label class="field checks-list">
          <span>{t("checks.copyFailed")}</span>
          <textarea readOnly rows={6} value={shown.value} onFocus={(event) => event.currentTarget.select()} />
        </label>
      )}
    </>
  );
}
