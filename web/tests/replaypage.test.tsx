// @vitest-environment happy-dom
// Tests src/pages/replay as a person meets it: what keys do, and what stays when a panel is closed.

import { act, cleanup, fireEvent, render, screen } from "@testing-library/preact";
import { afterEach, beforeAll, expect, test, vi } from "vitest";
import { ApiError } from "../src/api";
import { setSingleKeys } from "../src/components/preferences";
import { startLanguage } from "../src/i18n";
import { replayCommands, useSeekKeys } from "../src/pages/replay/commands";
import { SidePanel } from "../src/pages/replay/panel";
import { createRoom } from "../src/pages/replay/room";
import type { Room } from "../src/pages/replay/room";
import { Tidings } from "../src/pages/replay/tidings";
import { TimeLine } from "../src/pages/replay/timeline";
import type { Recorded, ReplayApi } from "../src/replay/api";
import { settle } from "./fakes";

const RECORDED: Recorded = {
  id: "r",
  session: "s",
  title: "Echo",
  kind: "consultation",
  state: "ended",
  startedAt: 0,
  beginMs: 0,
  endMs: 60_000,
  sizeBytes: 0,
  hold: false,
  retainUntil: null,
  clipOf: null,
};
const CLIP: Recorded = { ...RECORDED, id: "c", title: "Valve", clipOf: "r" };

let room: Room | null = null;

beforeAll(async () => {
  await startLanguage(null, ["en"]);
});

afterEach(() => {
  cleanup();
  setSingleKeys(true);
  room?.dispose();
  room = null;
});

function Parts({ room: shown }: { readonly room: Room }) {
  useSeekKeys(shown);
  return (
    <>
      <SidePanel room={shown} />
      <Tidings room={shown} />
      <TimeLine room={shown} />
    </>
  );
}

async function show(api: Partial<ReplayApi> = {}): Promise<Room> {
  const answers: Partial<ReplayApi> = {
    open: () => Promise.resolve({ recording: RECORDED, tracks: [], events: [] }),
    recordings: () => Promise.resolve([]),
    ...api,
  };
  const made = createRoom(answers as ReplayApi, "t", "r");
  room = made;
  await made.replay.open();
  render(<Parts room={made} />);
  return made;
}

const line = (): HTMLElement => screen.getByTestId("time-line");

test("holding the space bar plays once, and does not flicker", async () => {
  const { replay } = await show();
  fireEvent.keyDown(document.body, { key: " " });
  expect(replay.playing.value).toBe(true);
  for (let count = 0; count < 3; count += 1) fireEvent.keyDown(document.body, { key: " ", repeat: true });
  expect(replay.playing.value).toBe(true);
  fireEvent.keyDown(document.body, { key: " " });
  expect(replay.playing.value).toBe(false);
});

test("the time line keeps its keys where single keys are switched off, and nothing else does", async () => {
  const { replay } = await show();
  setSingleKeys(false);
  fireEvent.keyDown(document.body, { key: "ArrowRight" });
  expect(replay.atMs.value).toBe(0);
  fireEvent.keyDown(line(), { key: "ArrowRight" });
  expect(replay.atMs.value).toBe(5_000);
  fireEvent.keyDown(line(), { key: "ArrowDown" });
  expect(replay.atMs.value).toBe(0);
  fireEvent.keyDown(line(), { key: "End" });
  expect(replay.atMs.value).toBe(60_000);
  fireEvent.keyDown(line(), { key: " " });
  expect(replay.playing.value).toBe(false);
});

test("the time line says where it is as time goes by", async () => {
  const { replay } = await show();
  await act(() => replay.seek(42_400));
  expect(line().getAttribute("aria-valuenow")).toBe("42");
  expect(line().getAttribute("aria-valuetext")).toContain("0:42");
  expect(document.querySelector<HTMLElement>(".replay-head")?.style.left).toMatch(/^70\.6/);
});

test("a mark that was not set leaves no moment behind for the next one", async () => {
  const shown = await show();
  await act(() => shown.replay.seek(7_000));
  await act(() => replayCommands(shown).find(({ id }) => id === "mark")?.run());
  expect(document.activeElement).toBe(screen.getByTestId("mark-text"));
  expect(shown.markAtMs.value).toBe(7_000);
  await act(() => void (shown.panel.value = null));
  expect(shown.markAtMs.value).toBeNull();
});

test("a clip is cut on when the panel is closed, which is said, and is listed afterwards", async () => {
  const answers: ((clip: Recorded) => void)[] = [];
  const recordings = vi.fn(() => Promise.resolve([]));
  const shown = await show({ recordings, cut: () => new Promise((resolve) => answers.push(resolve)) });
  await act(async () => {
    shown.inMs.value = 5_000;
    shown.panel.value = "marks";
    await settle();
  });
  expect(recordings).toHaveBeenCalledExactlyOnceWith("s");
  fireEvent.click(screen.getByTestId("cut-button"));
  await act(() => void (shown.panel.value = null));
  expect(screen.getByTestId("cutting")).toBeTruthy();
  await act(() => void (shown.panel.value = "marks"));
  expect(screen.getAllByTestId("cutting")).toHaveLength(1);
  expect(screen.getByTestId("cut-button").getAttribute("aria-disabled")).toBe("true");
  await act(async () => {
    answers[0]?.(CLIP);
    await settle();
  });
  expect(screen.queryByTestId("cutting")).toBeNull();
  expect(screen.getByTestId("clip").textContent).toContain("Valve");
  expect(shown.inMs.value).toBeNull();
  // Every look is written into the audit.
  expect(recordings).toHaveBeenCalledTimes(1);
});

test("a clip that could not be cut is told of, wherever the person is", async () => {
  const shown = await show({ cut: () => Promise.reject(new ApiError("storageFailed", "")) });
  await act(async () => {
    shown.inMs.value = 5_000;
    shown.panel.value = "marks";
    await settle();
  });
  fireEvent.click(screen.getByTestId("cut-button"));
  await act(() => void (shown.panel.value = "log"));
  await act(settle);
  expect(screen.getByTestId("replay-failed")).toBeTruthy();
  await act(() => void (shown.panel.value = "marks"));
  expect(screen.getByTestId("problem").dataset.code).toBe("storageFailed");
});
