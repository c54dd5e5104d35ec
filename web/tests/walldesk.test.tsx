// @vitest-environment happy-dom
// Tests src/pages/wall and the questions of a session on a thin line: what is pressed twice, refused, or interrupted.

import { computed, signal } from "@preact/signals";
import { act, cleanup, fireEvent, render, screen, waitFor } from "@testing-library/preact";
import { afterEach, beforeAll, expect, test, vi } from "vitest";
import { EventRoom } from "../src/event/eventroom";
import { startLanguage } from "../src/i18n";
import { QuestionsPanel } from "../src/pages/session/questions";
import type { Room } from "../src/pages/session/room";
import { Door } from "../src/pages/wall/door";
import { LowerThirdEditor } from "../src/pages/wall/lowerthird";
import { MessagesTab } from "../src/pages/wall/talk";
import { createWall } from "../src/pages/wall/wall";
import type { Participant } from "../src/protocol";
import { ActionError } from "../src/state";

beforeAll(async () => {
  await startLanguage(null, ["en"]);
});

afterEach(cleanup);

const LAN = { id: "lan", name: "Lan", point: "Mộc Châu", role: "satellite", connected: true, quality: 3 } as unknown as Participant;

function setUp(doing: object = {}) {
  const participants = signal<readonly Participant[]>([LAN]);
  const client = {
    ...{ participants, event: new EventRoom(), stage: signal<readonly string[]>([]), tracks: signal([]), hands: signal([]) },
    ...{ session: signal({ id: "s1", lobby: false, locked: false }), self: signal(LAN), ...doing },
  };
  const room = { client, token: "", asking: signal(""), people: computed(() => new Map(participants.value.map((one) => [one.id, one]))) } as unknown as Room;
  return { client, room, participants, wall: createWall(room) };
}

/** What is asked stays unanswered until the test says. */
function later() {
  const ends: { readonly done: () => void; readonly refused: () => void }[] = [];
  const ask = vi.fn(
    (..._: unknown[]) =>
      new Promise<void>((resolve, reject) => ends.push({ done: resolve, refused: () => reject(new ActionError("internal", "")) })),
  );
  return { ask, ends };
}

test("a message is sent once however often the button is pressed before the answer", async () => {
  const { ask, ends } = later();
  const { wall } = setUp({ sendNotice: ask });
  render(<MessagesTab wall={wall} />);
  fireEvent.input(screen.getByTestId("notice-text"), { target: { value: "We begin" } });
  fireEvent.click(screen.getByTestId("notice-send"));
  fireEvent.click(screen.getByTestId("notice-send"));
  expect(ask).toHaveBeenCalledTimes(1);
  ends[0]?.refused();
  await waitFor(() => expect(wall.sending.value).toBe(false));
  expect(wall.message.value).toBe("We begin");
  fireEvent.click(screen.getByTestId("notice-send"));
  expect(ask).toHaveBeenCalledTimes(2);
});

test("a question is asked once, and what was typed outlives the panel", async () => {
  const { ask, ends } = later();
  const { room } = setUp({ askQuestion: ask });
  render(<QuestionsPanel room={room} />);
  fireEvent.input(screen.getByTestId("question-input"), { target: { value: "How deep?" } });
  cleanup();
  render(<QuestionsPanel room={room} />);
  expect(screen.getByTestId<HTMLTextAreaElement>("question-input").value).toBe("How deep?");
  fireEvent.click(screen.getByTestId("question-send"));
  fireEvent.click(screen.getByTestId("question-send"));
  expect(ask).toHaveBeenCalledTimes(1);
  ends[0]?.done();
  await waitFor(() => expect(screen.getByTestId<HTMLTextAreaElement>("question-input").value).toBe(""));
});

test("each press at the door tells only what it changes, and a refusal shows what holds", async () => {
  const { ask, ends } = later();
  const { wall } = setUp({ setDoor: ask });
  render(<Door wall={wall} />);
  const locked = screen.getByTestId<HTMLInputElement>("door-locked");
  fireEvent.click(screen.getByTestId("door-lobby"));
  fireEvent.click(locked);
  expect(ask.mock.calls).toEqual([
    [{ lobby: true }],
    [{ locked: true }],
  ]);
  await act(() => ends.forEach(({ refused }) => refused()));
  await waitFor(() => expect(locked.checked).toBe(false));
});

test("a lower third that is being written outlives another tab of the desk; shown, it follows what others show", async () => {
  const { ask, ends } = later();
  const { wall, client } = setUp({ setLowerThird: ask });
  client.stage.value = ["lan"];
  render(<LowerThirdEditor wall={wall} />);
  fireEvent.change(screen.getByTestId("lower-whom"), { target: { value: "lan" } });
  fireEvent.input(screen.getByTestId("lower-title"), { target: { value: "Dr Lan" } });
  cleanup();
  render(<LowerThirdEditor wall={wall} />);
  expect(screen.getByTestId<HTMLInputElement>("lower-title").value).toBe("Dr Lan");
  fireEvent.click(screen.getByTestId("lower-show"));
  expect(ask).toHaveBeenCalledWith({ participant: "lan", title: "Dr Lan", subtitle: "Mộc Châu" });
  await act(() => ends[0]?.done());
  await act(() => void (client.event.lowerThird.value = { participant: "lan", title: "Prof. Lan", subtitle: "" }));
  expect(screen.getByTestId<HTMLInputElement>("lower-title").value).toBe("Prof. Lan");
});

test("what could not be taken back at the desk can be tried again", async () => {
  const giveFloor = vi.fn(() => Promise.resolve()).mockRejectedValueOnce(new ActionError("internal", ""));
  const setStageLayout = vi.fn(() => Promise.resolve());
  const { wall } = setUp({ takeFloor: () => Promise.resolve(), giveFloor, setStageLayout });
  wall.offStage("lan");
  await waitFor(() => expect(wall.deed.value?.kind).toBe("offStage"));
  wall.undo();
  await waitFor(() => expect(wall.deed.value?.kind).toBe("offStage"));
  wall.undo();
  await waitFor(() => expect(setStageLayout).toHaveBeenCalledTimes(1));
});

test("a question about somebody who went does not open by itself when one comes back", () => {
  vi.stubGlobal("fetch", () => new Promise(() => undefined));
  const { wall, participants, client } = setUp();
  const end = wall.look();
  client.event.cue.value = "lan";
  wall.acting.value = "lan";
  wall.replacing.value = true;
  participants.value = [];
  participants.value = [LAN];
  expect([wall.acting.value, wall.replacing.value]).toEqual([null, false]);
  end();
  vi.unstubAllGlobals();
});
