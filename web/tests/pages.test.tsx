// @vitest-environment happy-dom
// Tests src/pages and src/components as a person meets them: what is said, which keys work, what is asked before a slip hurts.

import { signal } from "@preact/signals";
import { act, cleanup, fireEvent, render, screen } from "@testing-library/preact";
import { afterEach, beforeAll, expect, test, vi } from "vitest";
import { useKeys } from "../src/components/commands";
import type { Command } from "../src/components/commands";
import { ClientContext } from "../src/components/context";
import { setSingleKeys } from "../src/components/preferences";
import { DeviceTrouble } from "../src/components/problem";
import { setLanguage, startLanguage } from "../src/i18n";
import type { Api, NewSession } from "../src/api";
import { roleOf } from "../src/claims";
import { NewSessionForm } from "../src/pages/newsession";
import { EndedPage, Refusal } from "../src/pages/outcome";
import { groupSessions } from "../src/pages/sessions";
import { PeoplePanel } from "../src/pages/session/people";
import { createRoom } from "../src/pages/session/room";
import { ERROR_CODES } from "../src/protocol";
import type { Participant, Permission, Role } from "../src/protocol";
import { nobodyReads, settle } from "./fakes";
import type { Client, LocalTrack, RemoteTrack } from "../src/state";

beforeAll(async () => {
  await startLanguage(null, ["en"]);
});

afterEach(async () => {
  cleanup();
  setSingleKeys(true);
  await setLanguage("en", null);
});

function person(id: string, name: string, role: Role): Participant {
  return { id, name, role, point: "", connected: true, quality: 2, rttMs: 10, loss: 0, clockOffsetMs: 0, language: "en", consent: null };
}

const HUB = person("h", "Dr Khai", "hub");
const CLINIC = person("s", "Clinic Lan", "satellite");
const VOICE: RemoteTrack = {
  id: "v",
  participant: "s",
  source: "microphone",
  kind: "audio",
  muted: false,
  blocked: false,
  flowing: true,
  layers: [],
  codec: "opus",
  stream: null,
  own: false,
  layer: null,
  limited: false,
};

function client(permissions: readonly Permission[]) {
  const done = () => Promise.resolve();
  const actions = { removeParticipant: vi.fn(done), blockTrack: vi.fn(done), takeFloor: vi.fn(done) };
  const state = {
    ...nobodyReads(),
    self: signal(HUB),
    participants: signal([HUB, CLINIC]),
    stage: signal(["h", "s"]),
    onStage: signal(true),
    hands: signal(["s"]),
    speakers: signal([]),
    tracks: signal([VOICE]),
    audience: signal(0),
    permissions: signal(new Set(permissions)),
  };
  return { actions, client: { ...state, ...actions } as unknown as Client };
}

function showPeople(permissions: readonly Permission[]) {
  const shown = client(permissions);
  const room = createRoom(shown.client);
  render(
    <ClientContext.Provider value={shown.client}>
      <PeoplePanel room={room} />
    </ClientContext.Provider>,
  );
  return shown.actions;
}

test("a moderator is asked before somebody is removed, and may think better of it", () => {
  const shown = showPeople(["moderate"]);
  fireEvent.click(screen.getByTestId("remove"));
  fireEvent.click(screen.getByText("Cancel"));
  expect(shown.removeParticipant).not.toHaveBeenCalled();
  fireEvent.click(screen.getByTestId("remove"));
  expect(screen.getByText(/Remove Clinic Lan\?/)).toBeTruthy();
  fireEvent.click(screen.getByTestId("confirm-yes"));
  expect(shown.removeParticipant).toHaveBeenCalledExactlyOnceWith("s");
});

test("a moderator mutes with one press", () => {
  const shown = showPeople(["moderate"]);
  fireEvent.click(screen.getByTestId("block-track"));
  expect(shown.blockTrack).toHaveBeenCalledExactlyOnceWith("v", true);
});

test("who does not moderate has no button for others, and may give up the own floor", () => {
  const shown = showPeople([]);
  expect(screen.queryByTestId("remove")).toBeNull();
  expect(screen.queryByTestId("block-track")).toBeNull();
  fireEvent.click(screen.getByTestId("take-floor"));
  expect(shown.takeFloor).toHaveBeenCalledExactlyOnceWith("h");
});

test("a raised hand stands first, with its number said in words", () => {
  showPeople([]);
  const people = screen.getAllByTestId("person");
  expect(people[0]?.dataset.participant).toBe("s");
  expect(people[0]?.textContent).toContain("hand raised, number 1");
});

function Keys({ command }: { readonly command: Command }) {
  useKeys([command], () => undefined);
  return <input data-testid="field" />;
}

function showKeys() {
  const run = vi.fn();
  render(<Keys command={{ id: "m", icon: "microphone", word: "Microphone", key: "m", run, testId: "m" }} />);
  return run;
}

test("a single key works on a Latin and on a Cyrillic keyboard", () => {
  const run = showKeys();
  fireEvent.keyDown(document.body, { key: "m", code: "KeyM" });
  fireEvent.keyDown(document.body, { key: "ь", code: "KeyM" });
  expect(run).toHaveBeenCalledTimes(2);
});

test.each([
  ["with Ctrl", { key: "m", code: "KeyM", ctrlKey: true }],
  ["held down", { key: "m", code: "KeyM", repeat: true }],
  ["another key", { key: "n", code: "KeyN" }],
])("a single key does nothing: %s", (_, event) => {
  const run = showKeys();
  fireEvent.keyDown(document.body, event);
  expect(run).not.toHaveBeenCalled();
});

test("single keys rest while the person writes, and when switched off", () => {
  const run = showKeys();
  fireEvent.keyDown(screen.getByTestId("field"), { key: "m", code: "KeyM" });
  setSingleKeys(false);
  fireEvent.keyDown(document.body, { key: "m", code: "KeyM" });
  expect(run).not.toHaveBeenCalled();
});

test.each([...ERROR_CODES, "offline", "network"] as const)("a refusal with %s is told in words, in every language", async (code) => {
  for (const language of ["en", "vi", "ru"] as const) {
    await setLanguage(language, null);
    render(<Refusal code={code} onAgain={null} />);
    const told = screen.getByTestId("problem");
    expect(told.dataset.code).toBe(code);
    expect(told.querySelector("h1")?.textContent).toMatch(/\p{L}{3}/u);
    expect(told.textContent).not.toContain("refused.");
    cleanup();
  }
});

test("who was replaced by another device may take the seat back", () => {
  const again = vi.fn();
  render(<Refusal code="joinedElsewhere" onAgain={again} />);
  fireEvent.click(screen.getByText("Take the seat back"));
  expect(again).toHaveBeenCalledOnce();
});

const LOCAL: LocalTrack = {
  source: "ultrasound",
  state: "failed",
  muted: false,
  blocked: false,
  stream: null,
  deviceId: null,
  deviceLabel: "",
  problem: "inUse",
  warnings: [],
  track: null,
};

test("what is wrong with a device is said beside it, with the button that mends it", () => {
  const retry = vi.fn();
  render(<DeviceTrouble source="ultrasound" local={LOCAL} framesPerSecond={null} onRetry={retry} />);
  expect(screen.getByRole("alert").textContent).toContain("ultrasound capture device is used by another program");
  fireEvent.click(screen.getByText("Try again"));
  expect(retry).toHaveBeenCalledOnce();
});

test("a slow capture is a hint with its figure, not a fault", () => {
  const local: LocalTrack = { ...LOCAL, state: "live", problem: null, warnings: ["slow"] };
  render(<DeviceTrouble source="ultrasound" local={local} framesPerSecond={9.6} onRetry={() => undefined} />);
  expect(screen.getByRole("status").textContent).toContain("Only 10 pictures a second");
});

test("a working device says nothing", () => {
  const local: LocalTrack = { ...LOCAL, state: "live", problem: null };
  const { container } = render(<DeviceTrouble source="camera" local={local} framesPerSecond={30} onRetry={() => undefined} />);
  expect(container.textContent).toBe("");
});

test("sessions stand by what goes on in them, the newest first", () => {
  const entry = (id: string, state: "open" | "ended", connected: number, createdAt: number) => {
    const how = { record: "auto", consent: false, recording: null } as const;
    const session = { id, title: id, kind: "advice", format: "consult", state, capacity: 24, startedAt: null, lobby: false, locked: false, ...how } as const;
    return { ...session, createdAt, connected };
  };
  const groups = groupSessions([entry("a", "open", 0, 1), entry("b", "open", 2, 2), entry("c", "ended", 0, 3), entry("d", "open", 0, 4)]);
  expect(groups.now.map(({ id }) => id)).toEqual(["b"]);
  expect(groups.ready.map(({ id }) => id)).toEqual(["d", "a"]);
  expect(groups.ended.map(({ id }) => id)).toEqual(["c"]);
});

async function makes(choose: () => void): Promise<NewSession | undefined> {
  const createSession = vi.fn((_wish: NewSession) => Promise.resolve({ session: "s" }));
  const api = { createSession } as unknown as Api;
  render(<NewSessionForm api={api} usual={{ record: "manual", consent: true }} onCreated={() => undefined} />);
  expect(screen.getByTestId<HTMLInputElement>("record-manual").checked).toBe(true);
  expect(screen.getByTestId<HTMLInputElement>("ask-consent").checked).toBe(true);
  fireEvent.input(screen.getByTestId("session-title"), { target: { value: "Echo" } });
  choose();
  await act(async () => {
    fireEvent.submit(screen.getByRole("form"));
    await settle();
  });
  return createSession.mock.calls[0]?.[0];
}

test("a new session is recorded as is usual here, unless it is said", async () => {
  expect(await makes(() => undefined)).toEqual({ title: "Echo", kind: "consultation", format: "consult" });
  cleanup();
  const choose = () => {
    fireEvent.click(screen.getByTestId("ask-consent"));
    fireEvent.click(screen.getByTestId("record-auto"));
  };
  expect(await makes(choose)).toMatchObject({ record: "auto", consent: false });
});

test("consent is not asked about where nothing is recorded", async () => {
  await makes(() => fireEvent.click(screen.getByTestId("record-never")));
  expect(screen.queryByTestId("ask-consent")).toBeNull();
});

test.each([
  ["hub", "auto", true],
  ["organiser", "manual", true],
  ["hub", "never", false],
  ["satellite", "auto", false],
  ["hub", null, true],
] as const)("after the end, the link of a %s of a session recorded %s offers to watch: %s", (role, record, offers) => {
  const ended = { session: signal(record && { record }) } as unknown as Client;
  const token = `x.${btoa(JSON.stringify({ use: "invite", role }))}.x`;
  render(
    <ClientContext.Provider value={ended}>
      <EndedPage token={token} />
    </ClientContext.Provider>,
  );
  const links = screen.queryAllByTestId("watch").map((link) => link.getAttribute("href"));
  expect(links).toEqual(offers ? [`/replay#${token}`] : []);
});

test.each(["", "nonsense", "a.b.c", "a.bnVsbA.c", `a.${btoa('{"role":"god"}')}.c`])("the token %j has no role", (token) => {
  expect(roleOf(token)).toBeNull();
});
