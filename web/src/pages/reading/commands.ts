// Owns the controls of reading together: the session's studies, and looking freely or along by one key.

import type { Command } from "../../components/commands";
import { formatNumber, t } from "../../i18n";
import { panelCommand } from "../session/opening";
import type { Room } from "../session/room";

/** With how much has come of what is arriving, and how many studies nobody here has looked at. */
export function studiesCommand(room: Room): Command[] {
  const { client, together } = room;
  if (!client.permissions.value.has("read")) return [];
  const { studies } = client.reading;
  const coming = studies.value.find(({ arriving }) => arriving);
  const unseen = studies.value.filter(({ uid }) => !room.studiesSeen.value.has(uid)).length;
  return [
    {
      ...panelCommand(room, "studies", "j", 0),
      secondary: room.narrow.value && room.flavour.value === "satellite",
      lit: room.panel.value === "studies" || together.stage.value !== "closed",
      ...(coming === undefined ? {} : { note: comingNote(coming.instances, coming.expected) }),
      ...(unseen > 0 ? { badge: { figure: formatNumber(unseen), spoken: t("studies.new", { count: unseen }) } } : {}),
    },
  ];
}

function comingNote(instances: number, expected: number | null): string {
  return expected === null ? t("studies.noteSoFar", { done: formatNumber(instances) }) : t("studies.noteOf", { done: formatNumber(instances), all: formatNumber(expected) });
}

/** Not in the bar: its button stands where the pictures are. */
export function readingKeys(room: Room): Command[] {
  const { together, client } = room;
  const leader = room.people.value.get(client.reading.leader.value ?? "");
  if (together.stage.value !== "open" || leader === undefined || together.leads.value) return [];
  const freely = together.freely.value;
  return [
    {
      id: "freely",
      icon: "people",
      word: freely ? t("reading.comeBack", { name: leader.name }) : t("reading.lookFreely"),
      key: "x",
      run: () => {
        if (freely) together.goAlong();
        else together.lookFreely();
      },
      testId: "freely-key",
    },
  ];
}
