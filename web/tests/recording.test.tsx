// @vitest-environment happy-dom
// Tests src/pages/session: what people see of the recording, how it is led, consent, and marks.

import { signal } from "@preact/signals";
import { act, cleanup, fireEvent, render, screen } from "@testing-library/preact";
import { afterEach, beforeAll, beforeEach, expect, test, vi } from "vitest";
import { setLanguage, startLanguage } from "../src/i18n";
import { ConsentDialog, ConsentReminder, useConsentQuestion } from "../src/pages/session/consent";
import { MarkNews, MarksPanel } from "../src/pages/session/marks";
import { PeoplePanel } from "../src/pages/session/people";
import { RecordingDialog, RecordingSign, RecordingSpoken, StorageAlarm } from "../src/pages/session/recording";
import { recordingCommands } from "../src/pages/session/recordingcommands";
import { createRoom } from "../src/pages/session/room";
import type { Room } from "../src/pages/session/room";
import type { Consent, Mark, Permission, Recording, RecordMode, Session } from "../src/protocol";
import type { Client } from "../src/state";
import { joined, nobodyReads, participant, settle } from "./fakes";

const NOW_MS = 1_700_000_000_000;
const RUNNING: Recording = { id: "r", state: "recording", startedAt: NOW_MS - 247_000, trouble: null, lostMs: 0 };
const PAUSED: Recording = { ...RUNNING, state: "paused" };
const FULL: Recording = { ...RUNNING, trouble: "diskFull", lostMs: 11_400 };
const LEADS: readonly Permission[] = ["moderate", "record", "mark", "replay"];

beforeAll(async () => {
  await startLanguage(null, ["en"]);
});

beforeEach(() => {
  vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout", "setInterval", "clearInterval"] });
});

afterEach(async () => {
  cleanup();
  vi.useRealTimers();
  await setLanguage("en", null);
});

interface Wish {
  readonly recording?: Recording | null;
  readonly permissions?: readonly Permission[];
  readonly record?: RecordMode;
  readonly consent?: Consent | null;
  readonly others?: Consent;
  readonly marks?: readonly Mark[];
}

function mark(id: string, changes: Partial<Mark> = {}): Mark {
  return { id, participant: "me", name: "Dr Khai", text: "", at: NOW_MS, ...changes };
}

function setUp({ recording = null, permissions = LEADS, record = "auto", consent = null, others, marks = [] }: Wish = {}) {
  const done = () => Promise.resolve();
  const order: string[] = [];
  const actions = {
    startRecording: vi.fn(done),
    pauseRecording: vi.fn((_paused: boolean) => Promise.resolve()),
    stopRecording: vi.fn(done),
    answerConsent: vi.fn((_agreed: boolean) => Promise.resolve()),
    addMark: vi.fn((text: string, at?: number) => {
      order.push(`add ${text}`);
      return Promise.resolve(mark("new", { text, at: at ?? NOW_MS }));
    }),
    removeMark: vi.fn((id: string) => {
      order.push(`remove ${id}`);
      return Promise.resolve();
    }),
  };
  const me = participant("me", { role: "hub", consent });
  const session: Session = { ...joined().session, record, consent: consent !== null, recording };
  const state = {
    ...nobodyReads(),
    self: signal(me),
    session: signal<Session | null>(session),
    participants: signal([me, ...(others ? [participant("p1", { consent: others })] : [])]),
    permissions: signal<ReadonlySet<Permission>>(new Set(permissions)),
    consentWording: signal(consent === null ? null : "May we keep this?"),
    marks: signal(marks),
    stage: signal([]),
    onStage: signal(false),
    hands: signal([]),
    speakers: signal([]),
    tracks: signal([]),
    audience: signal(0),
    serverNowMs: () => NOW_MS + 0.4,
  };
  const room = createRoom({ ...state, ...actions } as unknown as Client, "token");
  const now = (changed: Recording | null) => void act(() => void (state.session.value = { ...session, recording: changed }));
  return { room, actions, order, state, now };
}

const command = (room: Room, id: string) => recordingCommands(room).find((one) => one.id === id);
const pass = (ms: number) => void act(() => void vi.advanceTimersByTime(ms));
const answered = () => act(settle);
const click = (testId: string) => fireEvent.click(screen.getByTestId(testId));

test.each([
  [null, "Not recorded"],
  [RUNNING, "Recording 4:07"],
  [PAUSED, "Recording paused"],
  [FULL, "Not being recorded"],
] as const)("who leads sees the state in words: %s", (recording, words) => {
  const { room } = setUp({ recording });
  render(<RecordingSign room={room} />);
  expect(screen.getByTestId("recording-sign").textContent).toBe(words);
});

test("everybody sees it, and who has not agreed that it is without them", () => {
  const { room } = setUp({ recording: RUNNING, permissions: [], consent: "declined", others: "pending" });
  render(<RecordingSign room={room} />);
  expect(screen.getByTestId("recording-sign").textContent).toBe("Recordingwithout you");
});

test("a change is said once, and no running time", () => {
  const { room, now } = setUp();
  render(<RecordingSpoken room={room} />);
  const spoken = screen.getByTestId("recording-spoken");
  expect(spoken.getAttribute("role")).toBe("status");
  expect(spoken.textContent).toBe("This session is not being recorded.");
  now(RUNNING);
  pass(5000);
  expect(spoken.textContent).toBe("This session is being recorded.");
});

test("one press starts; while it runs the same control asks what to do", () => {
  const { room, actions, now } = setUp();
  command(room, "recording")?.run();
  expect(actions.startRecording).toHaveBeenCalledOnce();
  now(RUNNING);
  command(room, "recording")?.run();
  expect(actions.startRecording).toHaveBeenCalledOnce();
  expect(room.question.value).toBe("recording");
});

test("stopping is asked first, pausing is not", () => {
  const { room, actions } = setUp({ recording: RUNNING });
  const closed = vi.fn();
  render(<RecordingDialog room={room} onClose={closed} />);
  click("stop-recording");
  expect(actions.stopRecording).not.toHaveBeenCalled();
  click("stop-recording-yes");
  expect(actions.stopRecording).toHaveBeenCalledOnce();
  click("pause-recording");
  expect(actions.pauseRecording).toHaveBeenCalledExactlyOnceWith(true);
  expect(closed).toHaveBeenCalledTimes(2);
});

test("a paused recording can be gone on with", () => {
  const { room, actions } = setUp({ recording: PAUSED });
  render(<RecordingDialog room={room} onClose={() => undefined} />);
  click("pause-recording");
  expect(actions.pauseRecording).toHaveBeenCalledExactlyOnceWith(false);
});

test("a session that is never recorded has no such controls, nor has who may not", () => {
  expect(recordingCommands(setUp({ record: "never" }).room)).toEqual([]);
  expect(recordingCommands(setUp({ permissions: [] }).room)).toEqual([]);
});

test("keys of the recording are no other command's", () => {
  const keys = recordingCommands(setUp({ recording: RUNNING, consent: "given" }).room).map(({ key }) => key);
  expect(keys).toHaveLength(5);
  expect(keys.filter((key) => "mvuhcpslfid?q".includes(key))).toEqual([]);
  expect(new Set(keys).size).toBe(5);
});

test("the alarm says what is wrong and what is missing, and stays until it is over", () => {
  const { room, now } = setUp({ recording: FULL });
  render(<StorageAlarm room={room} />);
  const alarm = screen.getByTestId("storage-alarm");
  expect(alarm.textContent).toBe(
    "The server’s disk is full. The session goes on, but it is not being recorded. 12 s are missing so far.",
  );
  // What grows all the time is not spoken all the time.
  expect(screen.getByRole("alert").textContent).not.toContain("12");
  now({ ...FULL, trouble: "melted" as never });
  expect(screen.getByTestId("storage-alarm").textContent).toContain("has a fault");
  now(RUNNING);
  expect(screen.getByTestId("storage-alarm").textContent).toBe("");
});

test("who does not lead hears nothing of the disk", () => {
  const { room } = setUp({ recording: FULL, permissions: [] });
  render(<StorageAlarm room={room} />);
  expect(screen.getByTestId("storage-alarm").textContent).toBe("");
});

function Asked({ room }: { readonly room: Room }) {
  useConsentQuestion(room);
  return <ConsentReminder room={room} />;
}

test("who joins is asked, and may put it off: the question stays open", () => {
  const { room } = setUp({ permissions: [], consent: "pending" });
  render(<Asked room={room} />);
  expect(room.question.value).toBe("consent");
  expect(screen.queryByTestId("consent-reminder")).toBeNull();
  void act(() => void (room.question.value = null));
  expect(room.question.value).toBeNull();
  fireEvent.click(screen.getByText("Answer"));
  expect(room.question.value).toBe("consent");
});

test("who leads is only reminded", () => {
  const { room } = setUp({ consent: "pending" });
  render(<Asked room={room} />);
  expect(room.question.value).toBeNull();
  expect(screen.getByTestId("consent-reminder").textContent).toContain("You have not said yet");
});

test.each([
  ["consent-agree", true],
  ["consent-decline", false],
] as const)("%s answers the question in the server's words", (button, agreed) => {
  const { room, actions } = setUp({ permissions: [], consent: "pending" });
  const closed = vi.fn();
  render(<ConsentDialog room={room} onClose={closed} />);
  expect(screen.getByTestId("consent-wording").textContent).toBe("May we keep this?");
  click(button);
  expect(actions.answerConsent).toHaveBeenCalledExactlyOnceWith(agreed);
  expect(closed).toHaveBeenCalledOnce();
});

test("who is not asked has no such control; who answered can change it", () => {
  expect(command(setUp().room, "consent")).toBeUndefined();
  const { room } = setUp({ permissions: [], consent: "declined" });
  expect(command(room, "consent")).toMatchObject({ note: "no", secondary: true });
  command(room, "consent")?.run();
  expect(room.question.value).toBe("consent");
});

test("who leads sees who has not agreed, and how many", () => {
  const { room } = setUp({ recording: RUNNING, consent: "given", others: "declined" });
  render(
    <>
      <RecordingSign room={room} />
      <PeoplePanel room={room} />
    </>,
  );
  expect(screen.getByTestId("recording-sign").textContent).toContain("without 1 person");
  expect(screen.getByTestId("consents-open").textContent).toBe("1 person is not recorded: no consent");
  expect(screen.getByTestId("person-consent").textContent).toBe("does not want to be recorded");
});

test("one press marks the moment of the press, and a second takes it back", async () => {
  const { room, actions } = setUp({ recording: RUNNING });
  render(<MarkNews room={room} />);
  command(room, "mark")?.run();
  expect(actions.addMark).toHaveBeenCalledExactlyOnceWith("", NOW_MS);
  await answered();
  expect(screen.getByRole("status").textContent).toMatch(/^Finding marked at .*\d\d:\d\d$/);
  click("mark-undo");
  expect(actions.removeMark).toHaveBeenCalledExactlyOnceWith("new");
  expect(screen.queryByTestId("mark-undo")).toBeNull();
});

test("the way back goes after a while, but not from under a finger", async () => {
  const { room } = setUp({ recording: RUNNING });
  const { container } = render(<MarkNews room={room} />);
  command(room, "mark")?.run();
  await answered();
  const news = container.firstElementChild as HTMLElement;
  fireEvent.pointerEnter(news);
  pass(60_000);
  expect(screen.queryByTestId("mark-undo")).not.toBeNull();
  fireEvent.pointerLeave(news);
  pass(60_000);
  expect(screen.queryByTestId("mark-undo")).toBeNull();
});

test("there is nothing to mark while nothing is recorded", () => {
  expect(command(setUp().room, "mark")).toMatchObject({ disabled: true, note: "only while recording" });
  expect(command(setUp({ recording: PAUSED }).room, "mark")?.disabled).toBe(true);
});

test("a note keeps the moment, and loses nothing when the line breaks in between", async () => {
  const { room, order, actions } = setUp({ recording: RUNNING, marks: [mark("old", { text: "", at: NOW_MS - 9 })] });
  render(<MarksPanel room={room} />);
  click("mark-edit");
  fireEvent.input(screen.getByTestId("mark-text"), { target: { value: " mitral valve " } });
  click("mark-save");
  await answered();
  expect(order).toEqual(["add mitral valve", "remove old"]);
  expect(actions.addMark).toHaveBeenCalledExactlyOnceWith("mitral valve", NOW_MS - 9);
  expect(room.noting.value).toBeNull();
});

test("a removed mark can be brought back as it was", async () => {
  const { room, actions } = setUp({ recording: RUNNING, marks: [mark("old", { text: "clot", at: NOW_MS - 9 })] });
  render(
    <>
      <MarksPanel room={room} />
      <MarkNews room={room} />
    </>,
  );
  click("mark-remove");
  await answered();
  expect(actions.removeMark).toHaveBeenCalledExactlyOnceWith("old");
  click("mark-undo");
  expect(actions.addMark).toHaveBeenCalledExactlyOnceWith("clot", NOW_MS - 9);
});
