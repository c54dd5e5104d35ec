// Owns the line of controls at the lower edge; where there is little room the rarer ones stand behind "more".

import type { Signal } from "@preact/signals";
import type { JSX } from "preact";
import { useLayoutEffect, useRef } from "preact/hooks";
import { t } from "../i18n";
import { CommandButton } from "./commands";
import type { Command } from "./commands";
import { opener, place } from "./focus";
import { Icon } from "./icons";

interface BarProps {
  /** The one called `leave` stands at the end. */
  readonly commands: readonly Command[];
  readonly moreShown: Signal<boolean>;
}

export function Bar({ commands, moreShown }: BarProps): JSX.Element {
  const open = moreShown.value;
  const row = useRef<HTMLDivElement>(null);
  // It stands before its button: without this the next Tab would go past it.
  useLayoutEffect(() => {
    if (open) row.current?.querySelector("button")?.focus();
  }, [open]);
  const more = commands.filter(({ secondary }) => secondary === true);
  const first = commands.filter(({ secondary, id }) => secondary !== true && id !== "leave");
  const last = commands.filter(({ secondary, id }) => secondary !== true && id === "leave");
  const buttons = (some: readonly Command[]): JSX.Element[] => some.map((command) => <CommandButton key={command.id} command={command} />);
  return (
    <nav class="bar" data-rare={more.some(({ rare }) => rare === true)} aria-label={t("session.controls")}>
      <div class="bar-main">{buttons(first)}</div>
      <div id="bar-more" ref={row} class={open ? "bar-more open" : "bar-more"} {...place("more", opener("more"))}>
        {buttons(more)}
      </div>
      <div class="bar-end">
        <button
          type="button"
          class="control more-button"
          data-testid="more-button"
          data-command="more"
          aria-expanded={open}
          aria-controls="bar-more"
          onClick={() => (moreShown.value = !open)}
        >
          <Icon name="more" />
          <span class="control-word">{t("control.more")}</span>
        </button>
        {buttons(last)}
      </div>
    </nav>
  );
}
