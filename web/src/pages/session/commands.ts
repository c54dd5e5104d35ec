// Owns which controls a person has in a session, by role, permission and state. The bar draws them.

import { ask } from "../../components/context";
import type { Command } from "../../components/commands";
import { fullScreen, toggleFullScreen } from "../../components/fullscreen";
import { t } from "../../i18n";
import type { Source } from "../../protocol";
import { sendRoom } from "../../studies";
import type { LocalTrack } from "../../state";
import { studiesCommand } from "../reading/commands";
import { recordingCommands } from "./recordingcommands";
import { dialogCommand, panelCommand } from "./opening";
import type { Room } from "./room";

export function sessionCommands(room: Room): readonly Command[] {
  const { client, flavour } = room;
  const satellite = flavour.value === "satellite";
  return [
    ...sourceCommand(room, "microphone", "m", "mute-button"),
    ...sourceCommand(room, "camera", "v", "camera-button"),
    ...(flavour.value === "viewer" ? [] : sourceCommand(room, "ultrasound", "u", "ultrasound-button")),
    ...handCommand(room),
    ...(room.event.value && !client.permissions.value.has("moderate")
      ? [{ ...panelCommand(room, "questions", "a", 0), secondary: satellite && room.narrow.value }]
      : []),
    // A satellite has the written word beside its picture always.
    ...(satellite && !room.event.value
      ? []
      : [{ ...panelCommand(room, "chat", "c", client.unread.value), secondary: satellite && room.narrow.value }]),
    { ...panelCommand(room, "people", "p", 0), secondary: satellite || room.narrow.value },
    ...studiesCommand(room),
    ...recordingCommands(room),
    ...(client.permissions.value.has("read") ? [sendCommand(room)] : []),
    ...(flavour.value === "viewer" ? [] : sourceCommand(room, "screen", "s", "screen-button")),
    // In an event the organiser chooses it for all.
    ...(room.event.value ? [] : [layoutCommand(room)]),
    {
      id: "fullScreen",
      icon: "fullScreen",
      word: t("control.fullScreen"),
      key: "f",
      pressed: fullScreen.value,
      run: toggleFullScreen,
      secondary: true,
      testId: "full-screen-button",
    },
    {
      id: "facts",
      icon: "facts",
      word: t("control.facts"),
      key: "i",
      pressed: room.factsShown.value,
      run: () => (room.factsShown.value = !room.factsShown.value),
      secondary: true,
      testId: "facts-button",
    },
    ...(client.permissions.value.has("publish:camera")
      ? ([dialogCommand(room, "devices", "d")] as const)
      : []),
    dialogCommand(room, "keys", "?"),
    {
      id: "leave",
      icon: "leave",
      word: t("control.leave"),
      key: "q",
      run: () => leave(room),
      danger: true,
      testId: "leave-button",
    },
  ];
}

function layoutCommand(room: Room): Command {
  return {
    id: "layout",
    icon: "layout",
    word: t("control.layout"),
    note: t(`layout.${room.layout.value}`),
    key: "l",
    run: () => room.nextLayout(),
    secondary: true,
    testId: "layout-button",
  };
}

export function leave(room: Room): void {
  // Who can end it for all is asked which of the two is meant; for the others leaving can be undone by coming back.
  if (room.client.permissions.value.has("endSession")) room.question.value = "leave";
  else ask(room.client.leave());
}

/** Starts a remembered or only device; where the person has to choose, opens the choice. */
export function startSource(room: Room, source: Source): void {
  const { client } = room;
  if (source === "ultrasound" && client.rememberedDevice(source) === null) room.question.value = "devices";
  else void client.start(source);
}

function sourceCommand(room: Room, source: Source, key: string, testId: string): Command[] {
  const { client } = room;
  if (!client.permissions.value.has(`publish:${source}`)) return [];
  const local = client.locals.value.get(source);
  const on = isOn(local);
  const withOff = source === "microphone" || source === "camera";
  const command: Command = {
    id: source,
    icon: withOff && !on ? `${source}Off` : source === "ultrasoundSound" ? "sound" : source,
    word: t(`source.${source}`),
    note: t(`control.state.${stateWord(local)}`),
    key,
    pressed: on,
    disabled: local?.blocked === true,
    marked: withOff && !on,
    secondary: source === "screen" || (source === "ultrasound" && room.flavour.value === "hub"),
    run: () => toggleSource(room, source),
    testId,
  };
  return [command];
}

/** On if it was off, and the other way round. */
export function toggleSource(room: Room, source: Source): void {
  const { client } = room;
  const local = client.locals.peek().get(source);
  if (!local || local.state === "off" || local.state === "failed") startSource(room, source);
  else if (source === "microphone" || source === "camera") void client.setMuted(source, !local.muted);
  else void client.stop(source);
}

function isOn(local: LocalTrack | undefined): boolean {
  return local?.state === "live" && !local.muted && !local.blocked;
}

function stateWord(local: LocalTrack | undefined): "on" | "off" | "starting" | "blocked" | "problem" {
  if (local?.blocked === true) return "blocked";
  if (local?.state === "failed") return "problem";
  if (local?.state === "starting") return "starting";
  return isOn(local) ? "on" : "off";
}

/** Its figure says how far sending is while its panel is closed. */
function sendCommand(room: Room): Command {
  const sending = sendRoom(room.token).sending.value;
  const { total, arrived } = sending?.tally.progress.value ?? { total: 0, arrived: 0 };
  const share = total > 0 ? Math.floor((arrived / total) * 100) : 0;
  const under = sending !== null && !sending.isOver();
  return {
    ...panelCommand(room, "send", "t", 0),
    secondary: true,
    ...(under ? { badge: { figure: `${share}%`, spoken: t("control.sendState", { share }) } } : {}),
  };
}

function handCommand({ client, narrow }: Room): Command[] {
  if (!client.permissions.value.has("raiseHand")) return [];
  const raised = client.handRaised.value;
  return [
    {
      id: "hand",
      icon: "hand",
      word: t(raised ? "control.handLower" : "control.hand"),
      key: "h",
      lit: raised,
      run: () => ask(client.setHand(!raised)),
      // Who moderates speaks anyway: on a telephone other controls need the place.
      secondary: narrow.value && client.permissions.value.has("moderate"),
      testId: "hand-button",
    },
  ];
}
