// Owns the commands that open a panel or a dialog of the session page.

import type { Command } from "../../components/commands";
import { t } from "../../i18n";
import type { Panel, Room } from "./room";

export function panelCommand(room: Room, panel: Exclude<Panel, null>, key: string, unread: number): Command {
  return {
    id: panel,
    icon: panel,
    word: t(`control.${panel}`),
    key,
    pressed: room.panel.value === panel,
    run: () => {
      room.panel.value = room.panel.value === panel ? null : panel;
      room.moreShown.value = false;
    },
    ...(unread > 0 ? { badge: { figure: String(unread), spoken: t("control.unread", { count: unread }) } } : {}),
    testId: `${panel}-button`,
  };
}

export function dialogCommand(room: Room, question: "devices" | "keys" | "consent", key: string): Command {
  return {
    id: question,
    icon: question,
    word: t(`control.${question}`),
    key,
    run: () => {
      room.moreShown.value = false;
      room.question.value = question;
    },
    secondary: true,
    testId: `${question}-button`,
  };
}
