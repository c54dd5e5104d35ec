// Owns finding out how large a millimetre is on this screen: a bank card is held against it.

import { useSignal } from "@preact/signals";
import type { JSX } from "preact";
import { Dialog } from "../../components/dialog";
import { Icon } from "../../components/icons";
import { t } from "../../i18n";
import { CARD_MM, measureScreen, PX_PER_MM_LIMITS, screen } from "./screen";

export function CardDialog({ onClose }: { readonly onClose: () => void }): JSX.Element {
  const pxPerMm = useSignal(screen.peek().pxPerMm);
  const [least, most] = PX_PER_MM_LIMITS;
  return (
    <Dialog title={t("waveform.card")} onClose={onClose} testId="card-dialog">
      <p>{t("waveform.cardHint")}</p>
      <svg class="wave-card" width={CARD_MM * pxPerMm.value} height={53.98 * pxPerMm.value} role="img" aria-label={t("waveform.cardShape")}>
        <rect x="1" y="1" width={CARD_MM * pxPerMm.value - 2} height={53.98 * pxPerMm.value - 2} rx={3.2 * pxPerMm.value} />
      </svg>
      <label class="field">
        <span>{t("waveform.cardWidth")}</span>
        <input type="range" min={least} max={most} step={0.01} value={pxPerMm.value} onInput={(event) => (pxPerMm.value = event.currentTarget.valueAsNumber)} />
      </label>
      <div class="dialog-buttons">
        <button
          type="button"
          class="button large primary"
          onClick={() => {
            measureScreen(pxPerMm.peek());
            onClose();
          }}
        >
          <Icon name="check" />
          {t("waveform.cardFits")}
        </button>
      </div>
    </Dialog>
  );
}
