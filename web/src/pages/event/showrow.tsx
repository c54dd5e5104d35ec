// Owns one item of the run of show: as it reads, its form, and moving it by key, button or hand.

import type { JSX } from "preact";
import { useId } from "preact/hooks";
import { Icon } from "../../components/icons";
import type { IconName } from "../../components/icons";
import { language, t } from "../../i18n";
import type { EventDesk } from "./desk";
import { MINUTES_MAX, TITLE_MAX_CHARACTERS, hoursAndMinutes } from "./draft";
import type { Row, Span } from "./draft";
import { ITEM_KINDS, byProvince, shownName } from "./model";
import type { ItemKind } from "./model";
import { formatClock } from "./when";

const SIGNS: Readonly<Record<ItemKind, IconName>> = { speech: "floor", consult: "ultrasound", questions: "questions", break: "pause" };

interface RowProps {
  readonly desk: EventDesk;
  readonly row: Row;
  readonly index: number;
  readonly span: Span;
  readonly isLast: boolean;
  readonly isOpen: boolean;
  readonly isDrawn: boolean;
  readonly onDraw: (event: PointerEvent) => void;
  readonly onOpen: (open: boolean) => void;
  readonly onChange: (next: Row) => void;
  readonly onMove: (to: number) => void;
  readonly onRemove: () => void;
}

export function ShowRow(props: RowProps): JSX.Element {
  const { desk, row, span, isOpen, onOpen } = props;
  const where = row.point === null ? null : desk.event.value.points.find(({ id }) => id === row.point);
  return (
    <li class="show-row" data-testid="show-row" data-key={row.key} data-kind={row.kind} data-state={row.state} data-index={props.index}>
      <div class="show-line">
        {desk.changes && <Handle {...props} />}
        <span class="show-time">{span.beginsAt === null ? `+${hoursAndMinutes(span.beginMin)}` : formatClock(span.beginsAt)}</span>
        <span class="show-what">
          <strong>{row.title === "" ? t("event.show.unnamed") : row.title}</strong>
          <span class="show-kind">
            <Icon name={SIGNS[row.kind]} />
            <span>{t(`event.kind.${row.kind}`)}</span>
            {where && <span>{shownName(where)}</span>}
            {row.point !== null && !where && <span class="point-warning">{t("event.show.pointGone")}</span>}
            {row.state !== "planned" && <span class="show-state">{t(`event.state.${row.state}`)}</span>}
          </span>
        </span>
        <span class="show-minutes">{t("event.minutes", { count: row.minutes })}</span>
        {desk.changes && (
          <span class="show-deeds" role="group" aria-label={row.title}>
            <Step {...props} by={-1} />
            <Step {...props} by={1} />
            <button type="button" class="button quiet small" data-testid="edit-item" aria-expanded={isOpen} onClick={() => onOpen(!isOpen)}>
              <Icon name="note" />
              {t("event.edit")}
            </button>
            <button type="button" class="button quiet small" data-testid="remove-item" onClick={props.onRemove}>
              <Icon name="close" />
              {t("event.show.remove")}
            </button>
          </span>
        )}
      </div>
      {desk.changes && isOpen && <Form {...props} />}
    </li>
  );
}

function Step({ index, isLast, onMove, by }: RowProps & { readonly by: 1 | -1 }): JSX.Element {
  const ends = by === 1 ? isLast : index === 0;
  const word = t(by === 1 ? "event.show.down" : "event.show.up");
  return (
    <button
      type="button"
      class="button quiet small show-step"
      data-testid={by === 1 ? "item-down" : "item-up"}
      aria-disabled={ends}
      onClick={() => !ends && onMove(index + by)}
    >
      <Icon name={by === 1 ? "down" : "up"} />
      <span class="show-step-word">{word}</span>
    </button>
  );
}

/** Drawn by hand or finger, or moved with the arrow keys while it has the focus. */
function Handle({ row, index, isDrawn, onDraw, onMove }: RowProps): JSX.Element {
  return (
    <button
      type="button"
      class="show-handle"
      data-testid="item-handle"
      data-drawn={isDrawn}
      aria-label={t("event.show.move", { title: row.title })}
      title={t("event.show.moveHint")}
      aria-keyshortcuts="ArrowUp ArrowDown"
      onKeyDown={(event) => {
        const by = event.key === "ArrowUp" ? -1 : event.key === "ArrowDown" ? 1 : 0;
        if (by === 0) return;
        event.preventDefault();
        onMove(index + by);
        // Preact may move this row in the page instead of the other one, and what is moved loses the focus.
        const handle = event.currentTarget;
        requestAnimationFrame(() => handle.focus());
      }}
      onPointerDown={(event) => {
        if (event.button === 0) onDraw(event);
      }}
    >
      <Icon name="grip" />
    </button>
  );
}

function Form({ desk, row, onChange, onOpen }: RowProps): JSX.Element {
  const hint = useId();
  const provinces = byProvince(desk.event.value.points, language.value);
  return (
    <form
      class="show-form"
      onSubmit={(event) => {
        event.preventDefault();
        onOpen(false);
      }}
    >
      <label class="field">
        <span>{t("event.show.kind")}</span>
        <select data-testid="item-kind" value={row.kind} onChange={(event) => onChange({ ...row, kind: event.currentTarget.value as ItemKind })}>
          {ITEM_KINDS.map((kind) => (
            <option key={kind} value={kind}>
              {t(`event.kind.${kind}`)}
            </option>
          ))}
        </select>
      </label>
      <label class="field grow">
        <span>{t("event.show.title")}</span>
        <input
          type="text"
          data-testid="item-title"
          ref={focusNew}
          value={row.title}
          maxLength={TITLE_MAX_CHARACTERS}
          aria-invalid={row.title.trim() === ""}
          aria-describedby={row.title.trim() === "" ? hint : undefined}
          autocomplete="off"
          onInput={(event) => onChange({ ...row, title: event.currentTarget.value })}
        />
        {row.title.trim() === "" && (
          <small id={hint} class="field-problem">
            {t("event.show.needsTitle")}
          </small>
        )}
      </label>
      <label class="field show-form-minutes">
        <span>{t("event.show.minutes")}</span>
        <input
          type="number"
          min={0}
          max={MINUTES_MAX}
          step={1}
          data-testid="item-minutes"
          value={row.minutes}
          onInput={(event) => onChange({ ...row, minutes: Math.min(MINUTES_MAX, Math.max(0, Math.round(event.currentTarget.valueAsNumber) || 0)) })}
        />
      </label>
      <label class="field grow">
        <span>{t("event.show.point")}</span>
        <select
          data-testid="item-point"
          value={row.point ?? ""}
          onChange={(event) => onChange({ ...row, point: event.currentTarget.value === "" ? null : event.currentTarget.value })}
        >
          <option value="">{t("event.show.noPoint")}</option>
          {provinces.map(({ name, points }) => (
            <optgroup key={name.toLocaleLowerCase()} label={name === "" ? t("event.noProvince") : name}>
              {points.map((point) => (
                <option key={point.id} value={point.id}>
                  {shownName(point)}
                </option>
              ))}
            </optgroup>
          ))}
        </select>
      </label>
      <button type="submit" class="button show-form-done" data-testid="item-done">
        <Icon name="check" />
        {t("event.done")}
      </button>
    </form>
  );
}

/** A form that was opened for a row without a title is for typing one. */
function focusNew(input: HTMLInputElement | null): void {
  if (input?.value === "" && document.activeElement !== input) input.focus();
}
