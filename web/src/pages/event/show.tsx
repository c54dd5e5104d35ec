// Owns the tab of the run of show: the list with its clock times, saving it, and what happens when somebody else wrote it, too.

import { useSignal } from "@preact/signals";
import type { JSX } from "preact";
import { useEffect, useMemo, useRef } from "preact/hooks";
import { ApiError } from "../../api";
import { Icon } from "../../components/icons";
import { Problem } from "../../components/problem";
import { t } from "../../i18n";
import { DeedBar, Deeds } from "./deeds";
import type { OwnWords } from "./deeds";
import type { EventDesk } from "./desk";
import { ITEMS_MAX, hoursAndMinutes, itemOf, moved, spans, totalMinutes } from "./draft";
import type { Draft, Row } from "./draft";
import { ShowRow } from "./showrow";
import { formatClock } from "./when";

const USUAL_MINUTES = 15;
const MINUTE_MS = 60_000;
const OWN_WORDS: OwnWords = { tooLarge: "event.show.tooMany", notFound: "event.failed.gone", malformed: "event.show.malformed" };

interface ShowProps {
  readonly desk: EventDesk;
  readonly draft: Draft;
}

export function RunOfShow({ desk, draft }: ShowProps): JSX.Element {
  const deeds = useMemo(() => new Deeds(), []);
  /** The row whose form is open. */
  const opened = useSignal<string | null>(null);
  /** The row that is drawn to another place. */
  const drawn = useSignal<string | null>(null);
  const list = useRef<HTMLOListElement>(null);
  const { startsAt } = desk.event.value;
  const rows = draft.rows.value;
  const times = spans(rows, startsAt);
  useWarning(draft);

  const add = (): void => {
    if (rows.length >= ITEMS_MAX) return;
    const row = draft.newRow({ kind: "speech", title: "", point: null, minutes: USUAL_MINUTES, state: "planned" });
    draft.put([...rows, row]);
    opened.value = row.key;
  };
  const remove = (row: Row): void => {
    const place = rows.indexOf(row);
    draft.put(rows.filter((one) => one !== row));
    if (opened.peek() === row.key) opened.value = null;
    deeds.tell({
      words: () => t("event.show.removed", { title: row.title === "" ? t(`event.kind.${row.kind}`) : row.title }),
      undo: () => {
        const now = draft.rows.peek();
        draft.put([...now.slice(0, place), row, ...now.slice(place)]);
        return Promise.resolve();
      },
    });
  };
  const save = async (): Promise<void> => {
    const unnamed = draft.rows.peek().find(({ title }) => title.trim() === "");
    if (unnamed) {
      opened.value = unnamed.key;
      return;
    }
    await deeds.run(async () => {
      const sent = draft.rows.peek();
      const items = sent.map(itemOf);
      let version: number;
      try {
        version = await desk.api.setAgenda(draft.version, items);
      } catch (error) {
        if (!(error instanceof ApiError && error.code === "conflict")) throw error;
        draft.hear((await desk.api.event()).agenda);
        return null;
      }
      // What was saved has ids now. If they do not come, it is saved nevertheless.
      const now = (await desk.api.event().catch(() => null))?.agenda;
      draft.saved(sent, now?.version === version ? now : { version, items });
      if (now) draft.hear(now);
      await desk.load();
      return { words: () => t("event.show.saved"), undo: null };
    });
  };
  const move = (key: string, to: number): void => {
    const now = draft.rows.peek();
    draft.put(moved(now, now.findIndex((row) => row.key === key), to));
  };
  return (
    <>
      <Theirs draft={draft} deeds={deeds} onKeep={() => void save()} />
      {startsAt === null && rows.length > 0 && <p class="note">{t("event.show.noStart")}</p>}
      {rows.length === 0 && <p class="note">{t(desk.changes ? "event.show.none" : "event.show.noneYet")}</p>}
      <ol
        ref={list}
        class="show"
        data-testid="show"
        onPointerMove={(event) => drawn.value !== null && move(drawn.value, placeUnder(event.currentTarget, drawn.value, event.clientY))}
        onPointerUp={() => (drawn.value = null)}
        onLostPointerCapture={() => (drawn.value = null)}
      >
        {rows.map((row, index) => (
          <ShowRow
            key={row.key}
            desk={desk}
            row={row}
            index={index}
            span={times[index] ?? { beginMin: 0, beginsAt: null }}
            isLast={index === rows.length - 1}
            isOpen={opened.value === row.key}
            onOpen={(open) => (opened.value = open ? row.key : null)}
            onChange={(next) => draft.put(draft.rows.peek().map((one) => (one.key === row.key ? next : one)))}
            onMove={(to) => move(row.key, to)}
            isDrawn={drawn.value === row.key}
            onDraw={(event) => {
              drawn.value = row.key;
              // The list stays where it is; the row that is drawn does not.
              list.current?.setPointerCapture(event.pointerId);
            }}
            onRemove={() => remove(row)}
          />
        ))}
      </ol>
      {rows.length > 0 && <Total minutes={totalMinutes(rows)} startsAt={startsAt} />}
      {desk.changes && (
        <div class="event-tools">
          <button type="button" class="button" data-testid="add-item" aria-disabled={rows.length >= ITEMS_MAX} onClick={add}>
            <Icon name="plus" />
            {t("event.show.add")}
          </button>
        </div>
      )}
      {desk.changes && (
        <div class="deed-place show-save" data-dirty={draft.isDirty.value}>
          <DeedBar deeds={deeds} own={OWN_WORDS} />
          {draft.isDirty.value && draft.theirs.value === null && (
            <p class="deed" data-testid="unsaved">
              <span>{t("event.show.unsaved")}</span>
              <button type="button" class="button primary" data-testid="save-show" aria-disabled={deeds.busy.value} onClick={() => void save()}>
                <Icon name="check" />
                {t("event.show.save")}
              </button>
            </p>
          )}
        </div>
      )}
    </>
  );
}

/** How many other rows have their middle above. */
function placeUnder(list: HTMLElement, key: string, y: number): number {
  const others = [...list.children].filter((row) => row.getAttribute("data-key") !== key);
  return others.filter((row) => {
    const { top, height } = row.getBoundingClientRect();
    return top + height / 2 < y;
  }).length;
}

function Total({ minutes, startsAt }: { readonly minutes: number; readonly startsAt: number | null }): JSX.Element {
  return (
    <p class="show-total" data-testid="show-total">
      <strong>{t("event.show.total", { length: hoursAndMinutes(minutes) })}</strong>
      {startsAt !== null && <span>{t("event.show.ends", { time: formatClock(startsAt + minutes * MINUTE_MS) })}</span>}
    </p>
  );
}

interface TheirsProps {
  readonly draft: Draft;
  readonly deeds: Deeds;
  readonly onKeep: () => void;
}

/** Two wrote at once: both versions in figures, and the choice. */
function Theirs({ draft, deeds, onKeep }: TheirsProps): JSX.Element | null {
  const theirs = draft.theirs.value;
  if (theirs === null) return null;
  const told = (items: readonly { readonly minutes: number }[]): string =>
    `${t("event.items", { count: items.length })}, ${hoursAndMinutes(items.reduce((sum, { minutes }) => sum + minutes, 0))}`;
  const load = (): void => {
    const mine = draft.rows.peek();
    draft.take(theirs);
    deeds.tell({
      words: () => t("event.show.theirsLoaded"),
      undo: () => {
        draft.put(mine);
        return Promise.resolve();
      },
    });
  };
  return (
    <Problem code="conflict">
      <p>
        <strong>{t("event.show.conflict")}</strong>
      </p>
      <p>{t("event.show.theirs", { what: told(theirs.items) })}</p>
      <p>{t("event.show.mine", { what: told(draft.rows.value) })}</p>
      <div class="event-tools">
        <button type="button" class="button primary" data-testid="load-theirs" onClick={load}>
          <Icon name="retry" />
          {t("event.show.loadTheirs")}
        </button>
        <button
          type="button"
          class="button"
          data-testid="keep-mine"
          onClick={() => {
            draft.keep();
            onKeep();
          }}
        >
          <Icon name="check" />
          {t("event.show.keepMine")}
        </button>
      </div>
    </Problem>
  );
}

/** Before the page is closed with something unsaved the browser asks. */
function useWarning(draft: Draft): void {
  useEffect(() => {
    const warn = (event: BeforeUnloadEvent): void => {
      if (draft.isDirty.peek()) event.preventDefault();
    };
    window.addEventListener("beforeunload", warn);
    return () => window.removeEventListener("beforeunload", warn);
  }, [draft]);
}
