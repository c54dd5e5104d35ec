// Owns the keys of the organiser's wall; they stand before those of the session page.

import type { Command } from "../../components/commands";
import { t } from "../../i18n";
import { STAGE_LAYOUTS } from "../../protocol";
import type { Room } from "../session/room";
import { TILE } from "./tile";
import type { Wall } from "./wall";

export function wallCommand(room: Room): readonly Command[] {
  if (!room.event.value || !room.client.permissions.value.has("moderate")) return [];
  return [
    {
      id: "wall",
      icon: "wall",
      word: t("control.wall"),
      key: "w",
      pressed: room.wall.value,
      run: () => {
        room.wall.value = !room.wall.value;
        room.moreShown.value = false;
      },
      testId: "wall-button",
    },
  ];
}

/** Only keys: the buttons stand where the thing itself is. */
export function wallKeys(wall: Wall): readonly Command[] {
  if (!wall.room.wall.value) return [];
  return [
    { id: "cue", icon: "next", word: t("wall.keyCue"), key: "c", run: () => cueFocused(wall), testId: "" },
    { id: "take", icon: "floor", word: t("wall.take"), key: "t", run: () => wall.take(), testId: "" },
    ...(wall.leads ? [{ id: "go-on", icon: "next", word: t("wall.keyGoOn"), key: "n", run: () => wall.goOn(), testId: "" } as const] : []),
    ...STAGE_LAYOUTS.map(
      (layout, index): Command => ({
        id: `layout-${layout}`,
        icon: "layout",
        word: t(`wall.layout.${layout}`),
        key: String(index + 1),
        run: () => wall.arrange(layout),
        testId: "",
      }),
    ),
  ];
}

/** A key that means another thing at the wall does only that there. */
export function withoutKeys(commands: readonly Command[], taken: readonly Command[]): readonly Command[] {
  const keys = new Set(taken.map(({ key }) => key));
  return commands.map((command) => (keys.has(command.key) ? { ...command, key: "" } : command));
}

function cueFocused(wall: Wall): void {
  const id = document.activeElement?.closest<HTMLElement>(`[${TILE}]`)?.getAttribute(TILE) ?? "";
  if (wall.room.people.peek().has(id)) wall.cue(id);
}
