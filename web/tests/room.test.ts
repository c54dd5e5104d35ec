import { expect, test } from "vitest";
import { Room } from "../src/room";
import { joined, participant, track } from "./fakes";

const line = (id: string, from = "p1") => ({ id, from, name: "", text: id, sentAt: 0 });

function setUp(changes: Parameters<typeof joined>[0] = {}) {
  const room = new Room(() => 0);
  room.snapshot(joined({ participants: [participant("me", { role: "hub" }), participant("p1")], ...changes }));
  return room;
}
const kinds = (room: Room) => room.notices.value.map(({ kind }) => kind);

test("a snapshot replaces all that was known", () => {
  const room = setUp({ tracks: [track("t1")], stage: ["me", "p1"], hands: ["p1"] });
  expect(room.self.value?.id).toBe("me");
  expect(room.onStage.value).toBe(true);
  room.snapshot(joined());
  expect(room.participants.value.map(({ id }) => id)).toEqual(["me"]);
  expect(room.tracks.value.size).toBe(0);
  expect(room.hands.value).toEqual([]);
});

test("people come, change and go, and others are told so", () => {
  const room = setUp();
  room.apply({ type: "participantJoined", seq: 11, participant: participant("p2") });
  room.apply({ type: "participantChanged", seq: 12, participant: participant("p2", { quality: 1 }) });
  expect(room.byId.value.get("p2")?.quality).toBe(1);
  room.apply({ type: "participantLeft", seq: 13, participant: "p2", reason: "left" });
  expect(room.byId.value.has("p2")).toBe(false);
  expect(kinds(room)).toEqual(["joined", "left"]);
});

test.each([
  ["left", "left"],
  ["lost", "lost"],
  ["removed", "removed"],
  ["joinedElsewhere", "left"],
] as const)("who goes because of %s is told of as %s", (reason, kind) => {
  const room = setUp();
  room.apply({ type: "participantLeft", seq: 11, participant: "p1", reason });
  expect(kinds(room)).toEqual([kind]);
});

test("tracks come, change and go; an own one that is blocked is told", () => {
  const room = setUp();
  const own = track("t1", { participant: "me", source: "microphone" });
  room.apply({ type: "trackPublished", seq: 11, track: own });
  room.apply({ type: "trackChanged", seq: 12, track: { ...own, blocked: true } });
  expect(room.notices.value).toMatchObject([{ kind: "blocked", source: "microphone" }]);
  room.hear({ type: "pictureChanged", track: "t1", layer: "l", limited: true });
  expect(room.pictures.value.get("t1")).toEqual({ layer: "l", limited: true });
  room.apply({ type: "trackUnpublished", seq: 13, track: "t1" });
  expect(room.tracks.value.size + room.pictures.value.size).toBe(0);
});

test("the floor is told when it comes and goes, raised hands only to who moderates", () => {
  const room = setUp({ stage: [] });
  room.apply({ type: "stageChanged", seq: 11, stage: ["me"] });
  room.apply({ type: "stageChanged", seq: 12, stage: ["me", "p1"] });
  room.apply({ type: "stageChanged", seq: 13, stage: ["p1"] });
  room.apply({ type: "handsChanged", seq: 14, hands: ["p1", "me"] });
  expect(kinds(room)).toEqual(["floorGiven", "floorTaken"]);
  expect(room.handRaised.value).toBe(true);
  room.apply({ type: "permissionsChanged", seq: 15, permissions: ["moderate"] });
  room.apply({ type: "handsChanged", seq: 16, hands: [] });
  room.apply({ type: "handsChanged", seq: 17, hands: ["p1"] });
  expect(kinds(room).at(-1)).toBe("handRaised");
});

test("unread lines are those of others that came while the chat was not shown", () => {
  const room = setUp({ chat: [line("a")] });
  expect(room.unread.value).toBe(0);
  room.apply({ type: "chatSent", seq: 11, line: line("b") });
  room.apply({ type: "chatSent", seq: 12, line: line("c", "me") });
  expect(room.unread.value).toBe(1);
  room.setChatShown(true);
  room.apply({ type: "chatSent", seq: 13, line: line("d") });
  expect(room.unread.value).toBe(0);
  room.setChatShown(false);
  room.snapshot(joined({ chat: [line("c"), line("d"), line("e")] }));
  expect(room.unread.value).toBe(1);
  expect(room.chat.value).toHaveLength(3);
});

test("notices are bounded and can be dismissed", () => {
  const room = setUp();
  for (let i = 0; i < 50; i += 1) room.fail("conflict");
  expect(room.notices.value).toHaveLength(20);
  room.dismiss(room.notices.value[0]?.id ?? 0);
  expect(room.notices.value).toHaveLength(19);
});

test("marks come with the snapshot, are replaced by each change and stand in order of time", () => {
  const mark = (id: string, at: number) => ({ id, participant: "me", name: "", text: "", at });
  const room = setUp({ marks: [mark("b", 2), mark("a", 1)], consentWording: "May we?" });
  expect(room.marks.value.map(({ id }) => id)).toEqual(["a", "b"]);
  expect(room.consentWording.value).toBe("May we?");
  room.apply({ type: "marksChanged", seq: 11, marks: [mark("c", 3), mark("b", 2)] });
  expect(room.marks.value.map(({ id }) => id)).toEqual(["b", "c"]);
});

test("that the disk is back is told once, with what is missing; the end of a recording is not that", () => {
  const recording = { id: "r", state: "recording", startedAt: 0, trouble: null, lostMs: 0 } as const;
  const room = setUp();
  const session = joined().session;
  const now = (seq: number, changed: typeof session.recording) => room.apply({ type: "sessionChanged", seq, session: { ...session, recording: changed } });
  now(11, recording);
  now(12, { ...recording, trouble: "diskFull", lostMs: 900 });
  now(13, { ...recording, trouble: "io", lostMs: 9000 });
  expect(room.notices.value).toEqual([]);
  now(14, { ...recording, lostMs: 12_000 });
  now(15, { ...recording, lostMs: 12_000 });
  expect(room.notices.value).toMatchObject([{ kind: "storageBack", lostMs: 12_000 }]);
  now(16, { ...recording, trouble: "diskFull", lostMs: 13_000 });
  now(17, null);
  expect(kinds(room)).toEqual(["storageBack"]);
});
