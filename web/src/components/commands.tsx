// Owns the controls of a session page as data: one command has a sign, a word, a key and what it does; bar, keys and help read it.

import type { JSX } from "preact";
import { useLayoutEffect } from "preact/hooks";
import { t } from "../i18n";
import { Icon } from "./icons";
import type { IconName } from "./icons";
import { singleKeys } from "./preferences";

export interface Command {
  readonly id: string;
  readonly icon: IconName;
  readonly word: string;
  /** A small second line, such as on or off. */
  readonly note?: string;
  /** One key, as `KeyboardEvent.key` in lower case; empty: none. */
  readonly key: string;
  /** How the key is called where `key` itself says nothing to a person, such as the space bar. */
  readonly keyWord?: string;
  readonly run: () => void;
  /** Undefined for what is not a switch, and where the word itself says what pressing does now. */
  readonly pressed?: boolean;
  /** Drawn as switched on. */
  readonly lit?: boolean;
  readonly disabled?: boolean;
  /** Stands out because it is off although one may think it is on, or the other way round. */
  readonly marked?: boolean;
  readonly danger?: boolean;
  /** Hidden behind "more" where there is little room. */
  readonly secondary?: boolean;
  /** Secondary, and hidden behind "more" even where there is room. */
  readonly rare?: boolean;
  readonly badge?: { readonly figure: string; readonly spoken: string };
  readonly testId: string;
}

export function CommandButton({ command }: { readonly command: Command }): JSX.Element {
  const { id, icon, word, note, key, run, pressed, lit = pressed, disabled = false, marked = false, danger = false, rare = false, badge, testId } = command;
  const kinds = ["control", lit === true ? "lit" : "", marked ? "marked" : "", danger ? "danger" : "", rare ? "rare" : ""].filter(Boolean).join(" ");
  return (
    <button
      type="button"
      class={kinds}
      data-testid={testId}
      data-command={id}
      aria-pressed={pressed}
      aria-disabled={disabled}
      aria-keyshortcuts={singleKeys.value && key !== "" ? (key === " " ? "Space" : key.toUpperCase()) : undefined}
      onClick={() => {
        if (!disabled) run();
      }}
    >
      <Icon name={icon} />
      <span class="control-word">{word}</span>
      {note !== undefined && <span class="control-note">{note}</span>}
      {badge !== undefined && (
        <span class="control-badge">
          <span aria-hidden="true">{badge.figure}</span>
          <span class="unseen">{badge.spoken}</span>
        </span>
      )}
    </button>
  );
}

/** Single keys, except while the person writes or a dialog is open. */
export function useKeys(commands: readonly Command[], onEscape: () => void): void {
  // With the page, not after painting it: a second press in between would do again what the first one did.
  useLayoutEffect(() => {
    const onKey = (event: KeyboardEvent): void => {
      if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey || event.repeat) return;
      if (document.querySelector("dialog[open]")) return;
      if (event.key === "Escape") {
        onEscape();
        return;
      }
      if (!singleKeys.value || writes(event.target)) return;
      const pressed = latinKey(event);
      const command = commands.find(({ key }) => key === pressed);
      if (!command || command.disabled === true) return;
      event.preventDefault();
      command.run();
    };
    window.addEventListener("keydown", onKey);
    return () => window.removeEventListener("keydown", onKey);
  }, [commands, onEscape]);
}

export function KeyTable({ commands }: { readonly commands: readonly Command[] }): JSX.Element {
  return (
    <dl class="key-table">
      {commands.filter(({ key }) => key !== "").map(({ id, word, key, keyWord }) => (
        <div key={id}>
          <dt>
            <kbd>{keyWord ?? key.toUpperCase()}</kbd>
          </dt>
          <dd>{word}</dd>
        </div>
      ))}
      <div>
        <dt>
          <kbd>Esc</kbd>
        </dt>
        <dd>{t("keys.escape")}</dd>
      </div>
    </dl>
  );
}

/** On a Cyrillic keyboard the letter is another, but the key stands where it stands. */
function latinKey(event: KeyboardEvent): string {
  const letter = /^Key([A-Z])$/.exec(event.code)?.[1];
  const latin = event.key.length !== 1 || event.key.charCodeAt(0) < 0x80;
  return (latin || letter === undefined ? event.key : letter).toLowerCase();
}

/** Whether keys write there. */
export function writes(target: EventTarget | null): boolean {
  return (
    target instanceof HTMLElement &&
    (target.isContentEditable || target.matches("input:not([type=checkbox]):not([type=radio]), textarea, select"))
  );
}
