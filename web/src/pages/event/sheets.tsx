// Owns the sheets that are printed for the points: one a page, each with its link as a code. Links are asked for once; after that
// nothing here needs the network.

import { useSignal } from "@preact/signals";
import type { JSX } from "preact";
import { useCallback, useMemo } from "preact/hooks";
import { Icon } from "../../components/icons";
import { LANGUAGES, language, t, tIn } from "../../i18n";
import type { Language } from "../../protocol";
import { useLoading } from "../loading";
import { useCodes } from "./codes";
import { Failed } from "./deeds";
import type { EventDesk } from "./desk";
import { byProvince } from "./model";
import type { EventFacts, EventPoint } from "./model";
import type { Code } from "./qr";
import { formatBegin } from "./when";

/** Only after a failure. */
const AGAIN_MS = 5_000;
const never = (): boolean => false;

const PAPERS = ["a4", "a5"] as const;
type Paper = (typeof PAPERS)[number];

interface SheetsProps {
  readonly desk: EventDesk;
  /** Null: of all. */
  readonly points: readonly EventPoint[] | null;
  readonly onClose: () => void;
}

export function Sheets({ desk, points, onClose }: SheetsProps): JSX.Element {
  const {
    found: event,
    fault,
    load,
  } = useLoading(
    useCallback(() => desk.api.withLinks(), [desk]),
    AGAIN_MS,
    never,
  );
  const code = useSignal<Language>(language.peek());
  const paper = useSignal<Paper>("a4");
  const wanted = useMemo(() => (points === null ? null : new Set(points.map(({ id }) => id))), [points]);
  const known = event.value;
  const linked = useMemo(
    () => known?.points.filter(({ id, link }) => link !== undefined && (wanted === null || wanted.has(id))) ?? null,
    [known, wanted],
  );
  const { done, of, codes } = useCodes(linked).value;
  const ordered = byProvince(linked ?? [], code.value).flatMap((province) => province.points);
  const ready = codes !== null && ordered.length > 0;
  return (
    <section class="sheets" data-paper={paper.value} aria-label={t("event.sheets")} data-testid="sheets">
      <div class="sheets-tools">
        <div class="event-view-head">
          <h2>{t("event.sheets")}</h2>
          <button type="button" class="button" data-testid="sheets-close" onClick={onClose}>
            <Icon name="close" />
            {t("app.close")}
          </button>
        </div>
        <p class="note">{t("event.sheetsHint")}</p>
        <div class="event-tools">
          <label class="field">
            <span>{t("event.sheetLanguage")}</span>
            <select data-testid="sheet-language" value={code.value} onChange={(change) => (code.value = change.currentTarget.value as Language)}>
              {LANGUAGES.map((one) => (
                <option key={one.code} value={one.code} lang={one.code}>
                  {one.name}
                </option>
              ))}
            </select>
          </label>
          <label class="field">
            <span>{t("event.paper")}</span>
            <select data-testid="sheet-paper" value={paper.value} onChange={(change) => (paper.value = change.currentTarget.value as Paper)}>
              {PAPERS.map((one) => (
                <option key={one} value={one}>
                  {one.toUpperCase()}
                </option>
              ))}
            </select>
          </label>
          <button type="button" class="button primary" data-testid="print" aria-disabled={!ready} onClick={() => ready && window.print()}>
            <Icon name="print" />
            {t("event.print", { count: ordered.length })}
          </button>
        </div>
        {known?.startsAt === null && <p class="point-warning">{t("event.sheetNoStart")}</p>}
        {fault.value !== null && (
          <>
            <Failed fault={fault.value} />
            <button type="button" class="button" data-testid="sheets-again" onClick={() => void load()}>
              <Icon name="retry" />
              {t("app.retry")}
            </button>
          </>
        )}
        {known === null && fault.value === null && <p role="status">{t("app.loading")}</p>}
        {codes === null && of > 0 && (
          <p role="status">
            {t("event.drawing", { done, of })} <progress value={done} max={of} />
          </p>
        )}
      </div>
      {known !== null &&
        ordered.map((point) => {
          const drawn = codes?.get(point.id);
          return drawn && <Sheet key={point.id} event={known} point={point} code={code.value} drawn={drawn} />;
        })}
    </section>
  );
}

interface SheetProps {
  readonly event: EventFacts;
  readonly point: EventPoint;
  readonly code: Language;
  /** Its link. */
  readonly drawn: Code;
}

function Sheet({ event, point, code, drawn }: SheetProps): JSX.Element {
  const title = point.name === "" ? point.organisation : point.name;
  const place = [title === point.organisation ? "" : point.organisation, point.province].filter((text) => text !== "").join(" · ");
  const steps = [tIn(code, "event.step.open"), tIn(code, "event.step.try"), tIn(code, "event.step.join", { button: tIn(code, "join.button") })];
  return (
    <article class="sheet" lang={code} data-testid="sheet" data-point={point.id}>
      <div class="sheet-face">
        <header>
          <p class="sheet-event">{event.title}</p>
          {event.startsAt !== null && <p class="sheet-when">{formatBegin(event.startsAt, code)}</p>}
        </header>
        <div class="sheet-point">
          <h3>{title}</h3>
          {place !== "" && <p>{place}</p>}
        </div>
        <div class="sheet-how">
          <svg class="sheet-code" viewBox={`0 0 ${drawn.size} ${drawn.size}`} role="img" aria-label={tIn(code, "event.code")} data-testid="sheet-code">
            <path d={drawn.path} />
          </svg>
          <ol>
            {steps.map((step) => (
              <li key={step}>{step}</li>
            ))}
          </ol>
        </div>
        <footer>{tIn(code, "event.sheetSecret")}</footer>
      </div>
    </article>
  );
}
