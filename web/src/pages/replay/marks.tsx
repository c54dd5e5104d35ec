// Owns marks: setting one at the present moment, going to one, and taking one away with a way back.

import { useComputed, useSignal } from "@preact/signals";
import type { JSX } from "preact";
import { useEffect, useLayoutEffect, useRef } from "preact/hooks";
import { Icon } from "../../components/icons";
import { Problem } from "../../components/problem";
import { t } from "../../i18n";
import { MARK_MAX_CHARACTERS } from "../../protocol";
import type { Mark } from "../../replay/story";
import { duration } from "../view";
import { say } from "./faults";
import type { Told } from "./faults";
import type { Room } from "./room";

/** Until then it is only hidden. */
const UNDO_MS = 8_000;

export function MarkForm({ room }: { readonly room: Room }): JSX.Element {
  const { replay } = room;
  const text = useSignal("");
  const busy = useSignal(false);
  const fault = useSignal<Told | null>(null);
  const input = useRef<HTMLInputElement>(null);
  const heldMs = room.markAtMs.value;
  const at = useComputed(() => duration((room.markAtMs.value ?? replay.atMs.value) - replay.beginMs.value));
  useLayoutEffect(() => {
    if (heldMs !== null) input.current?.focus();
  }, [heldMs]);
  // With the form goes the moment that it was for: the next mark is for another.
  useEffect(() => () => void (room.markAtMs.value = null), [room]);
  const add = async (): Promise<void> => {
    if (busy.value) return;
    busy.value = true;
    fault.value = null;
    try {
      await room.api.addMark(room.id, Math.round(room.markAtMs.peek() ?? replay.atMs.peek()), text.value.trim());
      text.value = "";
      room.markAtMs.value = null;
      input.current?.blur();
      await replay.refresh();
    } catch (error) {
      fault.value = say(error);
    }
    busy.value = false;
  };
  return (
    <form
      class="replay-form"
      aria-label={t("replay.markNew")}
      onSubmit={(event) => {
        event.preventDefault();
        void add();
      }}
      onKeyDown={(event) => {
        if (event.key !== "Escape") return;
        // Out of the field first; the panel closes with the next one.
        event.stopPropagation();
        room.markAtMs.value = null;
        input.current?.blur();
      }}
    >
      <label class="field">
        <span>{t("replay.markAt", { at: at.value })}</span>
        <input
          ref={input}
          type="text"
          data-testid="mark-text"
          value={text.value}
          maxLength={MARK_MAX_CHARACTERS}
          placeholder={t("replay.markHint")}
          autocomplete="off"
          onFocus={() => (room.markAtMs.value ??= Math.round(replay.atMs.peek()))}
          onInput={(event) => (text.value = event.currentTarget.value)}
        />
      </label>
      <button type="submit" class="button primary" data-testid="mark-add" aria-disabled={busy.value}>
        <Icon name="mark" />
        {t("replay.markAdd")}
      </button>
      {fault.value !== null && (
        <Problem code={fault.value.code}>
          <p>{fault.value.words}</p>
        </Problem>
      )}
    </form>
  );
}

export function MarkList({ room }: { readonly room: Room }): JSX.Element {
  const { replay } = room;
  const marks = [...replay.story.value.marks].sort((a, b) => a.atMs - b.atMs);
  if (marks.length === 0) return <p class="chat-empty">{t("replay.noMarks")}</p>;
  return (
    <ul class="replay-marks" aria-label={t("replay.marksSet")}>
      {marks.map((mark) => (
        <MarkItem key={mark.id} mark={mark} room={room} />
      ))}
    </ul>
  );
}

function MarkItem({ mark, room }: { readonly mark: Mark; readonly room: Room }): JSX.Element {
  const { replay } = room;
  const removing = useSignal(false);
  const timer = useRef<ReturnType<typeof setTimeout> | undefined>(undefined);
  const { id } = mark;
  const remove = useRef(async (): Promise<void> => {
    timer.current = undefined;
    try {
      await room.api.removeMark(room.id, id);
      await replay.refresh();
    } catch (error) {
      removing.value = false;
      room.failed.value = say(error);
    }
  });
  // Closing the panel is no way back.
  useEffect(
    () => () => {
      if (timer.current === undefined) return;
      clearTimeout(timer.current);
      void remove.current();
    },
    [],
  );
  const at = duration(mark.atMs - replay.beginMs.value);
  const words = mark.text === "" ? t("replay.markNoText") : mark.text;
  if (removing.value) {
    return (
      <li class="replay-mark" data-testid="mark-removed" role="status">
        <span class="replay-entry-words">{t("replay.markRemoved", { text: words })}</span>
        <button
          type="button"
          class="button small"
          data-testid="mark-undo"
          autoFocus
          onClick={() => {
            clearTimeout(timer.current);
            timer.current = undefined;
            removing.value = false;
          }}
        >
          <Icon name="undo" />
          {t("replay.undo")}
        </button>
      </li>
    );
  }
  return (
    <li class="replay-mark" data-testid="mark">
      <button type="button" class="replay-mark-go" data-testid="mark-go" onClick={() => replay.seek(mark.atMs)}>
        <span class="replay-entry-at">{at}</span>
        <span class="replay-entry-words">
          <span dir="auto">{words}</span>
          {mark.name !== "" && <span class="chat-from">{mark.name}</span>}
        </span>
      </button>
      <button
        type="button"
        class="button small"
        aria-label={t("replay.markRemoveOne", { text: words })}
        data-testid="mark-remove"
        onClick={() => {
          removing.value = true;
          timer.current = setTimeout(() => void remove.current(), UNDO_MS);
        }}
      >
        <Icon name="close" />
        {t("replay.markRemove")}
      </button>
    </li>
  );
}
