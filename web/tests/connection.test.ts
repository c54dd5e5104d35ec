import { expect, test } from "vitest";
import { Connection } from "../src/connection";
import type { ConnectionStatus } from "../src/connection";
import type { Change, Joined, News, Resumed } from "../src/protocol";
import { FakeServer, joined, settle } from "./fakes";

const SEAT = { token: "token", name: "Dr Lan", language: "vi", client: "test" } as const;

function setUp() {
  const server = new FakeServer();
  const seen = {
    statuses: [] as ConnectionStatus[],
    joined: [] as Joined[],
    resumed: [] as Resumed[],
    changes: [] as Change[],
    news: [] as News[],
    clocks: [] as [number, number, number][],
  };
  const connection = new Connection(server.surroundings(), {
    status: (status) => seen.statuses.push(status),
    joined: (message) => seen.joined.push(message),
    resumed: (message) => seen.resumed.push(message),
    change: (change) => seen.changes.push(change),
    news: (news) => seen.news.push(news),
    clock: (...times) => seen.clocks.push(times),
  });
  const status = () => seen.statuses.at(-1);
  const enter = () => {
    connection.join(SEAT);
    server.line.open();
    server.line.answer("join", joined());
  };
  return { server, connection, seen, status, enter };
}

const resumedMessage = (missed: object[] = []) => ({
  type: "resumed",
  resumeToken: "resume-2",
  missed,
  serverTimeAt: 0,
  publisher: "up",
  subscriber: "up",
});

test("joins with the sub-protocol and what the seat says", () => {
  const { server, connection, seen, status } = setUp();
  connection.join(SEAT);
  expect(server.line.protocol).toBe("bridge.v1");
  server.line.open();
  expect(server.line.last).toMatchObject({ type: "join", ...SEAT });
  server.line.answer("join", joined());
  expect(status()).toEqual({ name: "up" });
  expect(seen.joined).toHaveLength(1);
});

test("resumes after a lost line, and hands over what was missed in order and once", async () => {
  const { server, enter, seen, status } = setUp();
  enter();
  server.line.say({ type: "stageChanged", seq: 11, stage: [] });
  server.line.drop();
  expect(status()).toMatchObject({ name: "trying" });
  await server.clock.advance(200);
  server.line.open();
  expect(server.line.last).toMatchObject({ type: "resume", resumeToken: "resume-1", seq: 11 });
  server.line.answer(
    "resume",
    resumedMessage([
      { type: "stageChanged", seq: 11, stage: [] },
      { type: "handsChanged", seq: 12, hands: [] },
      { type: "somethingNewer", seq: 13 },
      { type: "stageChanged", seq: 14, stage: ["me"] },
    ]),
  );
  expect(seen.changes.map((change) => change.seq)).toEqual([11, 12, 14]);
  expect(seen.resumed).toHaveLength(1);
  expect(status()).toEqual({ name: "up" });
});

test("uses each resume token once: the next resumption carries the newer one", async () => {
  const { server, enter } = setUp();
  enter();
  server.line.drop();
  await server.clock.advance(200);
  server.line.open();
  server.line.answer("resume", resumedMessage());
  server.line.drop();
  await server.clock.advance(200);
  server.line.open();
  expect(server.line.last).toMatchObject({ type: "resume", resumeToken: "resume-2" });
});

test("joins anew on the same line when the server has forgotten the seat", async () => {
  const { server, enter, seen } = setUp();
  enter();
  server.line.drop();
  await server.clock.advance(200);
  server.line.open();
  server.line.answer("resume", { type: "error", code: "resumeFailed", text: "" });
  expect(server.line.last).toMatchObject({ type: "join", token: "token", resumeToken: "resume-1" });
  server.line.answer("join", joined({ resumeToken: "resume-9" }));
  expect(seen.joined).toHaveLength(2);
});

test("is back within 5 s of a restarted server being up, however long it was down", async () => {
  const { server, enter, status } = setUp();
  enter();
  server.answersHttp = false;
  server.line.drop(4503, "shuttingDown");
  for (let i = 0; i < 20; i += 1) {
    await server.clock.advance(5_000);
    if (status()?.name === "trying" && server.line.sent.length === 0) server.line.drop();
  }
  server.answersHttp = true;
  const dialled = server.lines.length;
  await server.clock.advance(2_001);
  expect(server.lines.length).toBe(dialled + 1);
});

test("asks by HTTP before it opens sockets in vain, which browsers would slow down", async () => {
  const { server, connection } = setUp();
  connection.join(SEAT);
  server.answersHttp = false;
  for (let i = 0; i < 50; i += 1) {
    await server.clock.advance(500);
    server.line.drop();
  }
  expect(server.lines.length).toBeLessThanOrEqual(4);
});

test("the pauses grow from 0.2 s to 2 s while somebody looks", async () => {
  const { server, connection } = setUp();
  connection.join(SEAT);
  const pausesMs: number[] = [];
  for (let i = 0; i < 6; i += 1) {
    const dialled = server.lines.length;
    server.line.drop();
    let waitedMs = 0;
    while (server.lines.length === dialled && waitedMs < 5_000) {
      await server.clock.advance(100);
      waitedMs += 100;
    }
    pausesMs.push(waitedMs);
  }
  expect(pausesMs).toEqual([200, 400, 800, 1_600, 2_000, 2_000]);
});

test.each([
  [4400, "malformed", false],
  [4401, "notAuthorised", false],
  [4402, "tokenExpired", false],
  [4403, "inviteRevoked", false],
  [4409, "joinedElsewhere", true],
  [4410, "sessionEnded", false],
  [4411, "removed", false],
  [4453, "sessionFull", true],
  [4454, "sessionLocked", true],
])("does not come back by itself after close code %d", async (closeCode, code, again) => {
  const { server, enter, status } = setUp();
  enter();
  server.line.drop(closeCode, code);
  expect(status()).toEqual({ name: "closed", code, again });
  await server.clock.advance(60_000);
  expect(server.lines).toHaveLength(1);
});

test.each([1001, 1005, 1006, 1011, 4408, 4429, 4500, 4503])("comes back after close code %d", async (closeCode) => {
  const { server, enter } = setUp();
  enter();
  server.line.drop(closeCode);
  await server.clock.advance(4_000);
  expect(server.lines.length).toBeGreaterThan(1);
});

test("is patient with a server that says tooMany", async () => {
  const { server, enter } = setUp();
  enter();
  server.line.drop(4429, "tooMany");
  await server.clock.advance(2_900);
  expect(server.lines).toHaveLength(1);
  await server.clock.advance(200);
  expect(server.lines).toHaveLength(2);
});

test("waits for its turn as long as the server answers, and joins by itself", async () => {
  const { server, connection, seen, status } = setUp();
  connection.join(SEAT);
  server.line.open();
  server.line.say({ type: "waiting", reason: "pacing", place: 7 });
  expect(status()).toEqual({ name: "waiting", turn: { reason: "pacing", place: 7 } });
  for (let beat = 0; beat < 8; beat += 1) {
    expect(server.line.last).toMatchObject({ type: "syncClock" });
    server.line.answer("syncClock", { type: "clock", clientAt: 0, serverTimeAt: 0 });
    await server.clock.advance(5_000);
  }
  server.line.say({ type: "waiting", reason: "lobby", place: 0 });
  expect(status()).toEqual({ name: "waiting", turn: { reason: "lobby", place: 0 } });
  server.line.answer("join", joined());
  expect(status()).toEqual({ name: "up" });
  expect(seen.joined).toHaveLength(1);
  expect(server.lines).toHaveLength(1);
});

test("gives up a line that dies while it waits, and asks anew", async () => {
  const { server, connection } = setUp();
  connection.join(SEAT);
  server.line.open();
  server.line.say({ type: "waiting", reason: "pacing", place: 7 });
  await server.clock.advance(5_000);
  expect(server.lines).toHaveLength(2);
});

test("comes back to a busy server after a while by chance, so that not all come at once", async () => {
  const { server, enter } = setUp();
  enter();
  server.line.drop(4455, "serverBusy");
  await server.clock.advance(19_900);
  expect(server.lines).toHaveLength(1);
  await server.clock.advance(40_200);
  expect(server.lines).toHaveLength(2);
});

test("believes the last error when the close code got lost, but not an older one", () => {
  const first = setUp();
  first.enter();
  first.server.line.say({ type: "error", code: "removed", text: "" });
  first.server.line.drop(1006);
  expect(first.status()).toMatchObject({ name: "closed", code: "removed" });

  const second = setUp();
  second.enter();
  second.server.line.say({ type: "error", code: "malformed", text: "" });
  second.server.line.say({ type: "stageChanged", seq: 11, stage: [] });
  second.server.line.drop(1006);
  expect(second.status()).toMatchObject({ name: "trying" });
});

test("notices a line that went dead silently", async () => {
  const { server, enter, status } = setUp();
  enter();
  server.line.answer("syncClock", { type: "clock", clientAt: 0, serverTimeAt: 0 });
  await server.clock.advance(4_900);
  expect(status()).toEqual({ name: "up" });
  await server.clock.advance(4_200);
  expect(status()).toMatchObject({ name: "trying" });
  expect(server.lines[0]?.closedByClient).toBe(true);
  expect(server.lines[0]?.closeCode).toBeUndefined();
});

test("tells the server when its page goes, and comes back no more", async () => {
  const { server, enter, connection } = setUp();
  enter();
  connection.dispose();
  expect(server.line.closeCode).toBe(4001);
  await server.clock.advance(60_000);
  expect(server.lines).toHaveLength(1);
});

test("stays up while the server answers, and measures its clock", async () => {
  const { server, enter, status, seen } = setUp();
  enter();
  for (let i = 0; i < 10; i += 1) {
    server.line.answer("syncClock", { type: "clock", clientAt: 0, serverTimeAt: server.clock.nowMs + 1_000 });
    await server.clock.advance(5_000);
  }
  expect(status()).toEqual({ name: "up" });
  expect(server.lines).toHaveLength(1);
  expect(seen.clocks).toHaveLength(10);
  const [asked, serverAt] = seen.clocks[0] ?? [0, 0];
  expect(serverAt - asked).toBe(1_000);
});

test("on waking up finds a dead line fast, and dials at once if it was waiting", async () => {
  const { server, enter, connection, status } = setUp();
  enter();
  server.line.answer("syncClock", { type: "clock", clientAt: 0, serverTimeAt: 0 });
  await settle();
  connection.wake();
  await server.clock.advance(1_600);
  expect(status()).toMatchObject({ name: "trying" });
  const dialled = server.lines.length;
  connection.wake();
  expect(server.lines.length).toBe(dialled + 1);
});

test("a dial into a dead network is given up and tried again", async () => {
  const { server, connection } = setUp();
  connection.join(SEAT);
  await server.clock.advance(4_500);
  expect(server.lines.length).toBe(2);
});

test("what an abandoned line still says is not heard", async () => {
  const { server, connection, seen } = setUp();
  connection.join(SEAT);
  const first = server.line;
  await server.clock.advance(4_500);
  first.open();
  first.answer("join", joined());
  first.drop(4411);
  expect(seen.joined).toHaveLength(0);
  expect(seen.statuses.at(-1)).toMatchObject({ name: "trying" });
});

test("requests get their answers, refusals and losses", async () => {
  const { server, enter, connection } = setUp();
  enter();
  const said = connection.request({ type: "sendChat", text: "hello" });
  server.line.answer("sendChat", { type: "ok" });
  await expect(said).resolves.toMatchObject({ type: "ok" });
  const refused = connection.request({ type: "endSession" });
  server.line.answer("endSession", { type: "error", code: "notAllowed", text: "no" });
  await expect(refused).rejects.toMatchObject({ code: "notAllowed" });
  const lost = connection.request({ type: "sendChat", text: "hello?" });
  server.line.drop();
  await expect(lost).rejects.toMatchObject({ code: "offline" });
  await expect(connection.request({ type: "sendChat", text: "!" })).rejects.toMatchObject({ code: "offline" });
});

test("leaving says goodbye and stays away", async () => {
  const { server, enter, connection, status } = setUp();
  enter();
  const left = connection.leave();
  server.line.answer("leave", { type: "ok" });
  await left;
  expect(status()).toEqual({ name: "closed", code: null, again: false });
  await server.clock.advance(60_000);
  expect(server.lines).toHaveLength(1);
  expect(server.clock.pending).toBe(0);
});

test("bad messages of the server change nothing", () => {
  const { server, enter, seen, status } = setUp();
  enter();
  server.line.sayRaw("{");
  server.line.sayRaw(new ArrayBuffer(4));
  server.line.say({ type: "stageChanged", seq: 11 });
  server.line.say({ type: "invented", seq: 12 });
  expect(seen.changes).toHaveLength(0);
  expect(status()).toEqual({ name: "up" });
});
