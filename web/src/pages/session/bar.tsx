// Owns the line of controls at the lower edge; where there is little room the rarer ones stand behind "more".

import type { JSX } from "preact";
import { useEffect, useRef } from "preact/hooks";
import { CommandButton } from "../../components/commands";
import type { Command } from "../../components/commands";
import { opener, place } from "../../components/focus";
import { Icon } from "../../components/icons";
import { t } from "../../i18n";
import type { Room } from "./room";

export function Bar({ room, commands }: { readonly room: Room; readonly commands: readonly Command[] }): JSX.Element {
  const open = room.moreShown.value;
  const row = useRef<HTMLDivElement>(null);
  // It stands before its button: without this the next Tab would go past it.
  useEffect(() => {
    if (open) row.current?.querySelector("button")?.focus();
  }, [open]);
  const last = commands.filter(({ id }) => id === "leave");
  const first = commands.filter(({ secondary, id }) => secondary !== true && id !== "leave");
  const more = commands.filter(({ secondary }) => secondary === true);
  return (
    <nav class="bar" data-rare={more.some(({ rare }) => rare === true)} aria-label={t("session.controls")}>
      <div class="bar-main">
        {first.map((command) => (
          <CommandButton key={command.id} command={command} />
        ))}
      </div>
      <div id="bar-more" ref={row} class={open ? "bar-more open" : "bar-more"} {...place("more", opener("more"))}>
        {more.map((command) => (
          <CommandButton key={command.id} command={command} />
        ))}
      </div>
      <div class="bar-end">
        <button
          type="button"
          class="control more-button"
          data-testid="more-button"
          data-command="more"
          aria-expanded={open}
          aria-controls="bar-more"
          onClick={() => (room.moreShown.value = !open)}
        >
          <Icon name="more" />
          <span class="control-word">{t("control.more")}</span>
        </button>
        {last.map((command) => (
          <CommandButton key={command.id} command={command} />
        ))}
      </div>
    </nav>
  );
}
