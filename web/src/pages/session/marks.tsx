// Owns the marks of a session: setting one with one press, taking it back, and the list with its notes.

import { useSignal } from "@preact/signals";
import type { JSX } from "preact";
import { useEffect, useLayoutEffect, useRef } from "preact/hooks";
import { ask } from "../../components/context";
import { opener, place } from "../../components/focus";
import { Icon } from "../../components/icons";
import { formatWhen, t } from "../../i18n";
import { MARK_MAX_CHARACTERS } from "../../protocol";
import type { Mark, MarkId } from "../../protocol";
import { clockTime } from "../view";
import type { MarkDeed, Room } from "./room";

const DEED_SHOWN_MS = 12_000;

/** The moment of the press, whatever the answer takes. */
export function setMark(room: Room): void {
  room.moreShown.value = false;
  const at = Math.round(room.client.serverNowMs());
  ask(room.client.addMark("", at).then((mark) => show(room, { done: "added", mark })));
}

export function MarkNews({ room }: { readonly room: Room }): JSX.Element {
  const deed = room.markDeed.value;
  const held = useFading(room, deed);
  return (
    <div class="mark-news" {...held}>
      <p class={deed === null ? "unseen" : "news-line"} role="status">
        {deed !== null && <span>{t(`marks.${deed.done}`, { when: formatWhen(deed.mark.at, Date.now()) })}</span>}
      </p>
      {deed !== null && (
        <div class="mark-acts" {...place("mark-acts", opener("mark"))}>
          <button type="button" class="button small" data-testid="mark-undo" onClick={() => undo(room, deed)}>
            <Icon name="undo" />
            {t("marks.undo")}
          </button>
          {deed.done === "added" && (
            <button type="button" class="button small" data-testid="mark-note" onClick={() => openNote(room, deed.mark.id)}>
              <Icon name="note" />
              {t("marks.note")}
            </button>
          )}
        </div>
      )}
    </div>
  );
}

/** Gone after a while, but not from under a finger or the keyboard. */
function useFading(room: Room, deed: MarkDeed | null) {
  const held = useSignal(false);
  useEffect(() => {
    held.value = false;
  }, [deed, held]);
  useEffect(() => {
    if (deed === null || held.value) return;
    const timer = setTimeout(() => (room.markDeed.value = null), DEED_SHOWN_MS);
    return () => clearTimeout(timer);
  }, [room, deed, held.value]);
  const hold = (): void => {
    held.value = true;
  };
  const release = (): void => {
    held.value = false;
  };
  return { onPointerEnter: hold, onPointerLeave: release, onFocusIn: hold, onFocusOut: release };
}

export function MarksPanel({ room }: { readonly room: Room }): JSX.Element {
  const marks = room.client.marks.value;
  return (
    <div class="marks" data-testid="marks-list">
      {marks.length === 0 && <p class="note">{t("marks.none")}</p>}
      <ol>
        {marks.map((mark) => (
          <MarkRow key={mark.id} mark={mark} room={room} />
        ))}
      </ol>
    </div>
  );
}

function MarkRow({ mark, room }: { readonly mark: Mark; readonly room: Room }): JSX.Element {
  const noting = room.noting.value === mark.id;
  return (
    <li class="mark" data-testid="mark" data-mark={mark.id} {...place(`mark-${mark.id}`)}>
      <span class="mark-head">
        <time dateTime={new Date(mark.at).toISOString()}>{clockTime(mark.at)}</time> <bdi>{mark.name}</bdi>
      </span>
      {noting ? (
        <NoteForm mark={mark} room={room} />
      ) : (
        <>
          {mark.text !== "" && (
            <span class="mark-text" dir="auto">
              {mark.text}
            </span>
          )}
          <span class="mark-acts" role="group" aria-label={clockTime(mark.at)}>
            <button type="button" class="button small" data-testid="mark-edit" onClick={() => openNote(room, mark.id)}>
              <Icon name="note" />
              {t(mark.text === "" ? "marks.note" : "marks.change")}
            </button>
            <button type="button" class="button small" data-testid="mark-remove" onClick={() => remove(room, mark)}>
              <Icon name="close" />
              {t("marks.remove")}
            </button>
          </span>
        </>
      )}
    </li>
  );
}

function NoteForm({ mark, room }: { readonly mark: Mark; readonly room: Room }): JSX.Element {
  const text = useSignal(mark.text);
  const input = useRef<HTMLInputElement>(null);
  useLayoutEffect(() => input.current?.focus(), []);
  return (
    <form
      class="mark-form"
      onSubmit={(event) => {
        event.preventDefault();
        ask(saveNote(room, mark, text.value.trim()));
      }}
      onKeyDown={(event) => {
        if (event.key !== "Escape") return;
        event.preventDefault();
        room.noting.value = null;
      }}
    >
      <label class="field">
        <span>{t("marks.noteLabel")}</span>
        <input
          ref={input}
          type="text"
          data-testid="mark-text"
          value={text.value}
          maxLength={MARK_MAX_CHARACTERS}
          placeholder={t("marks.noteHint")}
          autocomplete="off"
          onInput={(event) => (text.value = event.currentTarget.value)}
        />
      </label>
      <span class="mark-acts">
        <button type="submit" class="button small primary" data-testid="mark-save">
          <Icon name="check" />
          {t("marks.save")}
        </button>
        <button type="button" class="button small" onClick={() => (room.noting.value = null)}>
          {t("app.cancel")}
        </button>
      </span>
    </form>
  );
}

function openNote(room: Room, mark: MarkId): void {
  room.markDeed.value = null;
  room.noting.value = mark;
  room.panel.value = "marks";
}

function undo(room: Room, { done, mark }: MarkDeed): void {
  room.markDeed.value = null;
  ask(done === "added" ? room.client.removeMark(mark.id) : room.client.addMark(mark.text, mark.at).then(() => undefined));
}

function remove(room: Room, mark: Mark): void {
  ask(room.client.removeMark(mark.id).then(() => show(room, { done: "removed", mark })));
}

/** A mark does not change: the new one comes first, so that a lost line loses nothing. */
async function saveNote(room: Room, mark: Mark, text: string): Promise<void> {
  if (text !== mark.text) {
    await room.client.addMark(text, mark.at);
    await room.client.removeMark(mark.id);
  }
  room.noting.value = null;
}

function show(room: Room, deed: MarkDeed): void {
  room.markDeed.value = deed;
}
