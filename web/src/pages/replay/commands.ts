// Owns which controls a replay has: the bar draws them, and the keys are theirs.

import { useLayoutEffect } from "preact/hooks";
import { writes } from "../../components/commands";
import type { Command } from "../../components/commands";
import { fullScreen, toggleFullScreen } from "../../components/fullscreen";
import { singleKeys } from "../../components/preferences";
import { formatNumber, t } from "../../i18n";
import { RATES } from "../../replay/playclock";
import { replayLink } from "../link";
import { say } from "./faults";
import type { Panel, Room } from "./room";

const SHORT_MS = 5_000;
const LONG_MS = 30_000;

/** What a telephone has room for; the rest stands behind "more". */
const FIRST = new Set(["play", "back", "forward", "log", "marks"]);

export function replayCommands(room: Room): readonly Command[] {
  const commands = allCommands(room);
  return room.narrow.value ? commands.map((one) => (FIRST.has(one.id) ? one : { ...one, secondary: true })) : commands;
}

function allCommands(room: Room): readonly Command[] {
  const { replay } = room;
  const playing = replay.playing.value;
  const at = (): number => Math.round(replay.atMs.peek());
  return [
    {
      id: "play",
      icon: playing ? "pause" : "play",
      word: t(playing ? "replay.pause" : "replay.play"),
      key: " ",
      keyWord: t("replay.space"),
      run: () => replay.toggle(),
      testId: "play-button",
    },
    jump(room, "back", "arrowleft", "←", -SHORT_MS),
    jump(room, "forward", "arrowright", "→", SHORT_MS),
    { id: "stepBack", icon: "stepBack", word: t("replay.stepBack"), key: ",", run: () => step(room, -1), testId: "step-back-button" },
    { id: "stepOn", icon: "stepOn", word: t("replay.stepOn"), key: ".", run: () => step(room, 1), testId: "step-on-button" },
    {
      id: "speed",
      icon: "speed",
      word: t("replay.speed"),
      note: t("replay.times", { value: formatNumber(replay.rate.value, replay.rate.value === 0.25 ? 2 : replay.rate.value % 1 === 0 ? 0 : 1) }),
      key: "s",
      lit: replay.rate.value !== 1,
      run: () => replay.setRate(RATES[(RATES.indexOf(replay.rate.peek() as (typeof RATES)[number]) + 1) % RATES.length] ?? 1),
      testId: "speed-button",
    },
    ...(replay.running.value
      ? [{ id: "live", icon: "live", word: t("replay.goLive"), key: "l", run: () => replay.goLive(), testId: "live-button" } as const]
      : []),
    {
      id: "mark",
      icon: "mark",
      word: t("replay.mark"),
      key: "m",
      run: () => {
        room.markAtMs.value = at();
        room.panel.value = "marks";
        room.moreShown.value = false;
      },
      testId: "mark-button",
    },
    panelCommand(room, "marks", "marks", "k"),
    panelCommand(room, "log", "log", "e"),
    {
      id: "cutIn",
      icon: "cutIn",
      word: t("replay.cutIn"),
      key: "i",
      lit: room.inMs.value !== null,
      run: () => setCut(room, at(), null),
      secondary: true,
      testId: "in-button",
    },
    {
      id: "cutOut",
      icon: "cutOut",
      word: t("replay.cutOut"),
      key: "o",
      lit: room.outMs.value !== null,
      run: () => setCut(room, null, at()),
      secondary: true,
      testId: "out-button",
    },
    {
      id: "tracks",
      icon: "tracks",
      word: t("replay.tracks"),
      key: "t",
      pressed: room.tracksShown.value,
      run: () => (room.tracksShown.value = !room.tracksShown.value),
      secondary: true,
      testId: "tracks-button",
    },
    {
      id: "export",
      icon: "download",
      word: t("replay.download"),
      key: "x",
      run: () => ask(room, "export"),
      secondary: true,
      testId: "export-button",
    },
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
    { id: "keys", icon: "keys", word: t("control.keys"), key: "?", run: () => ask(room, "keys"), secondary: true, testId: "keys-button" },
    {
      id: "leave",
      icon: "recordings",
      word: t("replay.all"),
      key: "q",
      run: () => location.assign(replayLink(room.token)),
      testId: "all-button",
    },
  ];
}

/** Keys that may be held down, and those with Shift; the others are the commands' own. */
export function useSeekKeys(room: Room): void {
  // With the page, not after painting it.
  useLayoutEffect(() => {
    const onKey = (event: KeyboardEvent): void => {
      if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey) return;
      if (document.querySelector("dialog[open]") || writes(event.target)) return;
      // The time line has its keys as any slider has, also for who switched single keys off.
      const onLine = event.target instanceof HTMLElement && event.target.matches("[role=slider]");
      const deed = (onLine ? sliderDeed(room, event) : null) ?? (singleKeys.peek() ? seekDeed(room, event) ?? heldDeed(room, event) : null);
      if (!deed) return;
      event.preventDefault();
      deed();
    };
    // Before the commands, which would take an arrow with Shift for one without.
    window.addEventListener("keydown", onKey, { capture: true });
    return () => window.removeEventListener("keydown", onKey, { capture: true });
  }, [room]);
}

type Deed = () => void;

function seekDeed(room: Room, event: KeyboardEvent): Deed | null {
  const { replay } = room;
  const stepMs = event.shiftKey ? LONG_MS : SHORT_MS;
  switch (event.key) {
    case "ArrowLeft":
      return () => replay.seek(replay.atMs.peek() - stepMs);
    case "ArrowRight":
      return () => replay.seek(replay.atMs.peek() + stepMs);
    case "Home":
      return () => replay.seek(replay.beginMs.peek());
    case "End":
      return () => replay.seek(replay.endMs.peek());
    case "PageUp":
    case "PageDown":
      return () => toNeighbour(room, event.key === "PageUp" ? -1 : 1);
    default:
      return null;
  }
}

function sliderDeed(room: Room, event: KeyboardEvent): Deed | null {
  const { replay } = room;
  if (event.key === "ArrowUp") return () => replay.seek(replay.atMs.peek() + SHORT_MS);
  if (event.key === "ArrowDown") return () => replay.seek(replay.atMs.peek() - SHORT_MS);
  return seekDeed(room, event);
}

/** What a key does that is held down: pictures go by, but playing does not flicker on and off. */
function heldDeed(room: Room, event: KeyboardEvent): Deed | null {
  switch (event.key) {
    case " ":
      // On a control it presses that control.
      if (event.target instanceof HTMLElement && event.target.closest("button, a, summary, input")) return null;
      return event.repeat ? () => undefined : () => room.replay.toggle();
    case ".":
      return event.repeat ? () => step(room, 1) : null;
    case ",":
      return event.repeat ? () => step(room, -1) : null;
    default:
      return null;
  }
}

function step(room: Room, direction: 1 | -1): void {
  room.replay.step(direction).catch((error: unknown) => (room.failed.value = say(error)));
}

/** Times of chapters and marks, in order. */
export function places(room: Room): readonly number[] {
  const { chapters, marks } = room.replay.story.value;
  return [...chapters, ...marks].map(({ atMs }) => atMs).sort((a, b) => a - b);
}

/** Pressed again at the same place, a point is taken back; the end of a clip never lies before its begin. */
function setCut(room: Room, inMs: number | null, outMs: number | null): void {
  if (inMs !== null) {
    room.inMs.value = inMs;
    if ((room.outMs.peek() ?? Infinity) <= inMs) room.outMs.value = null;
  }
  if (outMs !== null) {
    room.outMs.value = outMs;
    if ((room.inMs.peek() ?? -Infinity) >= outMs) room.inMs.value = null;
  }
  room.panel.value = "marks";
  room.moreShown.value = false;
}

function toNeighbour(room: Room, direction: 1 | -1): void {
  const { replay } = room;
  const atMs = replay.atMs.peek();
  // Going back from shortly behind a place means the one before it.
  const found = direction === 1 ? places(room).find((one) => one > atMs + 1) : places(room).findLast((one) => one < atMs - 1_000);
  replay.seek(found ?? (direction === 1 ? replay.endMs.peek() : replay.beginMs.peek()));
}

function jump(room: Room, id: "back" | "forward", key: string, keyWord: string, ms: number): Command {
  return {
    id,
    icon: id,
    word: t(`replay.${id}`),
    key,
    keyWord,
    run: () => room.replay.seek(room.replay.atMs.peek() + ms),
    testId: `${id}-button`,
  };
}

function panelCommand(room: Room, panel: Exclude<Panel, null>, icon: "log" | "marks", key: string): Command {
  return {
    id: panel,
    icon,
    word: t(`replay.${panel}`),
    key,
    pressed: room.panel.value === panel,
    run: () => {
      room.panel.value = room.panel.value === panel ? null : panel;
      room.moreShown.value = false;
    },
    testId: `${panel}-button`,
  };
}

function ask(room: Room, question: "keys" | "export"): void {
  room.moreShown.value = false;
  room.question.value = question;
}
