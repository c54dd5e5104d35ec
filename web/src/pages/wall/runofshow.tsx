// Owns where the run of show stands on the organiser's desk: what is going on, what comes after it, one press to go on, and
// the point of a consult, to be made next by one press.

import type { JSX } from "preact";
import { Icon } from "../../components/icons";
import { standing } from "../../event/agenda";
import type { AgendaItem } from "../../event/agenda";
import type { Tile } from "../../event/tiles";
import { language, t } from "../../i18n";
import type { Wall } from "./wall";

export function RunOfShow({ wall }: { readonly wall: Wall }): JSX.Element | null {
  const items = wall.agenda.value?.items ?? [];
  if (items.length === 0) return null;
  const { now, next } = standing(items);
  return (
    <section class="desk-show" aria-label={t("event.tab.show")} data-testid="desk-show">
      <dl>
        <Item wall={wall} item={now} word={t("wall.now")} none={t(next === null ? "wall.showOver" : "wall.showNotBegun")} testId="show-now" />
        {next !== null && <Item wall={wall} item={next} word={t("wall.then")} none="" testId="show-next" />}
      </dl>
      {wall.leads && (now !== null || next !== null) && (
        <button type="button" class="button" data-testid="go-on" aria-keyshortcuts="N" onClick={() => wall.goOn()}>
          <Icon name="next" />
          {t(next === null ? "wall.goOnEnd" : now === null ? "wall.goOnBegin" : "wall.goOn")}
          <kbd>N</kbd>
        </button>
      )}
    </section>
  );
}

interface ItemProps {
  readonly wall: Wall;
  readonly item: AgendaItem | null;
  readonly word: string;
  readonly none: string;
  readonly testId: string;
}

function Item({ wall, item, word, none, testId }: ItemProps): JSX.Element {
  const point = item === null ? null : wall.atPoint(item);
  return (
    <>
      <dt>{word}</dt>
      <dd data-testid={testId}>
        {item === null ? (
          <span class="note">{none}</span>
        ) : (
          <>
            <strong>{item.title}</strong>
            {item.minutes > 0 && <span class="desk-minutes">{minutes(item.minutes)}</span>}
          </>
        )}
        {point && <AtPoint wall={wall} point={point} />}
      </dd>
    </>
  );
}

function AtPoint({ wall, point }: { readonly wall: Wall; readonly point: Tile }): JSX.Element {
  const state = stateOf(point);
  return (
    <span class="desk-point">
      <span>{[point.group, point.title].filter(Boolean).join(", ")}</span>
      {state === null ? (
        <button type="button" class="button small" data-testid="show-cue" onClick={() => wall.cue(point.id)}>
          <Icon name="next" />
          {t("wall.cue")}
        </button>
      ) : (
        <span class="note">{state}</span>
      )}
    </span>
  );
}

/** Why there is nothing to press; null: it can be made next. */
function stateOf({ here, connected, next, onStage }: Tile): string | null {
  if (!here) return t("wall.absent");
  if (onStage) return t("wall.state.stage");
  if (next) return t("wall.state.next");
  return connected ? null : t("wall.state.away");
}

function minutes(count: number): string {
  return new Intl.NumberFormat(language.value, { style: "unit", unit: "minute", unitDisplay: "short" }).format(count);
}
