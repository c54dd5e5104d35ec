// Owns the controls that have to do with the recording: recording, marking, the marks, the own consent, and watching.

import type { Command } from "../../components/commands";
import { ask } from "../../components/context";
import { t } from "../../i18n";
import { replayLink } from "../link";
import { setMark } from "./marks";
import { dialogCommand, panelCommand } from "./opening";
import { recordingState } from "./recording";
import type { Room } from "./room";

export function recordingCommands(room: Room): Command[] {
  const { client } = room;
  const may = client.permissions.value;
  const never = client.session.value?.record === "never";
  return [
    ...(may.has("record") && !never ? [recordCommand(room)] : []),
    ...(may.has("mark") && !never ? [markCommand(room), { ...panelCommand(room, "marks", "b", 0), secondary: true, rare: true }] : []),
    ...(client.consentWording.value === null ? [] : [consentCommand(room)]),
    ...(may.has("replay") && !never && room.token !== "" ? [watchCommand(room)] : []),
  ];
}

/** Starts at once; what ends or interrupts it is chosen in a dialog. */
function recordCommand(room: Room): Command {
  const { client } = room;
  const recording = client.session.value?.recording ?? null;
  return {
    id: "recording",
    icon: recording?.state === "paused" ? "pause" : "record",
    word: t("control.recording"),
    note: t(`recording.note.${recordingState(recording)}`),
    key: "r",
    lit: recording !== null,
    run: () => {
      room.moreShown.value = false;
      if (recording === null) ask(client.startRecording());
      else room.question.value = "recording";
    },
    secondary: room.narrow.value,
    testId: "record-button",
  };
}

function markCommand(room: Room): Command {
  const able = room.client.session.value?.recording?.state === "recording";
  return {
    id: "mark",
    icon: "mark",
    word: t("control.mark"),
    ...(able ? {} : { note: t("marks.notNow") }),
    key: "k",
    run: () => setMark(room),
    disabled: !able,
    secondary: room.narrow.value,
    testId: "mark-button",
  };
}

function consentCommand(room: Room): Command {
  const consent = room.client.self.value?.consent ?? "pending";
  return { ...dialogCommand(room, "consent", "a"), note: t(`consent.note.${consent}`), rare: consent !== "pending" };
}

function watchCommand(room: Room): Command {
  return {
    id: "recordings",
    icon: "recordings",
    word: t("control.recordings"),
    key: "w",
    run: () => {
      room.moreShown.value = false;
      window.open(replayLink(room.token), "_blank", "noopener");
    },
    secondary: true,
    rare: true,
    testId: "recordings-button",
  };
}
