import { signal } from "@preact/signals";
import { beforeEach, expect, test, vi } from "vitest";
import { REPORTED_EVERY_MS, SENT_EVERY_MS, Together } from "../src/pages/reading/together";
import type { OpenViewer } from "../src/pages/reading/together";
import type { Participant, ParticipantId, Permission, ViewSlots } from "../src/protocol";
import { changed } from "../src/readingroom";
import type { View } from "../src/reading/view";
import type { Phase } from "../src/state";
import { FakeClock, participant, settle } from "./fakes";

/** Keeps slots as the contract says, and what it was told to show. */
class PlainViewer implements OpenViewer {
  onChange: ((changes: View) => void) | null = null;
  readonly sharpness = signal({ preview: 0, sharp: 0, total: 0 });
  slots: View = {};
  disposed = false;
  readonly applied: View[] = [];

  apply(changes: View): void {
    this.applied.push(changes);
    this.slots = changed(this.slots, changes);
  }
  view(): View {
    return this.slots;
  }
  hand(changes: View): void {
    this.slots = changed(this.slots, changes);
    this.onChange?.(changes);
  }
  open(study: string): Promise<void> {
    this.hand({ study, layout: "1x1" });
    return Promise.resolve();
  }
  dispose(): void {
    this.disposed = true;
  }
}

let clock: FakeClock;
let viewers: PlainViewer[];

/** One participant, "me", at a server that a test plays. */
function setUp() {
  clock = new FakeClock();
  viewers = [];
  const leader = signal<ParticipantId | null>(null);
  const view = signal<ViewSlots>({});
  const renewed = signal(0);
  const phase = signal<Phase>({ name: "inSession" });
  const sent: ViewSlots[] = [];
  const asked: unknown[] = [];
  let refusal: Error | null = null;
  const session = {
    reading: { leader, view, renewed, asking: signal([]), readers: signal([]), studies: signal([]) },
    self: signal<Participant | null>(participant("me", { role: "hub" })),
    permissions: signal<ReadonlySet<Permission>>(new Set<Permission>(["read"])),
    phase,
    askLead: vi.fn((asking: boolean) => {
      asked.push(["ask", asking]);
      leader.value ??= "me";
      return Promise.resolve();
    }),
    giveLead: vi.fn((to: ParticipantId | null) => {
      leader.value = to;
      return Promise.resolve();
    }),
    setView: vi.fn((changes: ViewSlots) => {
      if (refusal) return Promise.reject(refusal);
      sent.push(changes);
      view.value = changed(view.value, changes);
      return Promise.resolve();
    }),
    reportReading: vi.fn(() => Promise.resolve()),
  };
  const failures: unknown[] = [];
  const together = new Together(session, {
    nowMs: () => clock.nowMs,
    after: clock.after,
    load: () => {
      const viewer = new PlainViewer();
      viewers.push(viewer);
      return Promise.resolve(viewer);
    },
    ask: (action) => void action.catch((error: unknown) => failures.push(error)),
  });
  const say = (changes: ViewSlots, whole = false): void => {
    view.value = whole ? changes : changed(view.value, changes);
    if (whole) renewed.value += 1;
  };
  return { together, session, leader, view, phase, sent, asked, say, failures, refuse: (error: Error | null) => (refusal = error) };
}

function viewer(): PlainViewer {
  const newest = viewers.at(-1);
  if (!newest) throw new Error("no viewer was opened");
  return newest;
}

let at: ReturnType<typeof setUp>;
beforeEach(() => {
  at = setUp();
});

async function following(slots: ViewSlots = { study: "1", "at.0": 3 }): Promise<void> {
  at.leader.value = "other";
  at.say(slots, true);
  await settle();
}

test("who chooses a study while nobody leads, leads, and all of its view goes out", async () => {
  at.together.choose("1");
  await clock.advance(200);
  expect(at.leader.value).toBe("me");
  expect(at.view.value).toEqual({ study: "1", layout: "1x1" });
  viewer().hand({ "at.0": 2 });
  await clock.advance(200);
  expect(at.view.value).toEqual({ study: "1", layout: "1x1", "at.0": 2 });
});

test("a hand that is faster than the line is gathered, and its last move is never lost", async () => {
  at.together.choose("1");
  await clock.advance(1000);
  at.sent.length = 0;
  for (let index = 0; index < 100; index += 1) {
    viewer().hand({ "at.0": index });
    await clock.advance(10);
  }
  await clock.advance(SENT_EVERY_MS);
  expect(at.sent.length).toBeGreaterThan(10);
  expect(at.sent.length).toBeLessThanOrEqual(16);
  expect(at.view.value["at.0"]).toBe(99);
});

test("what who leads shows opens by itself and is followed, and nothing is said back", async () => {
  await following();
  expect(at.together.stage.value).toBe("open");
  expect(viewer().slots).toEqual({ study: "1", "at.0": 3 });
  at.say({ "at.0": 4, "mark.a": { tool: "length" } });
  at.say({ "mark.a": null });
  expect(viewer().slots).toEqual({ study: "1", "at.0": 4 });
  expect(viewer().applied.slice(1)).toEqual([{ "at.0": 4, "mark.a": { tool: "length" } }, { "mark.a": null }]);
  await clock.advance(500);
  expect(at.sent).toEqual([]);
});

test("who touches the pictures looks freely, keeps that, and comes back to the newest", async () => {
  await following();
  viewer().hand({ pointer: [0, 1, 1] });
  expect(at.together.freely.value).toBe(false);
  viewer().hand({ "at.0": 9, "mark.mine": {} });
  expect(at.together.freely.value).toBe(true);
  at.say({ "at.0": 5, "window.0": [40, 400, 0] });
  expect(viewer().slots["at.0"]).toBe(9);
  at.together.goAlong();
  expect(viewer().slots).toEqual({ study: "1", "at.0": 5, "window.0": [40, 400, 0] });
  at.say({ "at.0": 6 });
  expect(viewer().slots["at.0"]).toBe(6);
});

test("what one measured while looking freely is put away on the way back, and there again the next time", async () => {
  await following();
  viewer().hand({ "mark.mine": { tool: "length" } });
  at.say({ "mark.theirs": { tool: "angle" } });
  at.together.goAlong();
  expect(viewer().slots).toEqual({ study: "1", "at.0": 3, "mark.theirs": { tool: "angle" } });
  at.together.lookFreely();
  expect(viewer().slots["mark.mine"]).toEqual({ tool: "length" });
  expect(at.sent).toEqual([]);
  at.together.goAlong();
  expect(viewer().slots["mark.mine"]).toBeUndefined();
});

test("who is given the lead begins where all are, also after looking freely", async () => {
  await following();
  viewer().hand({ "at.0": 9 });
  at.leader.value = "me";
  await clock.advance(500);
  expect(at.together.freely.value).toBe(false);
  expect(viewer().slots).toEqual({ study: "1", "at.0": 3 });
  expect(at.sent).toEqual([]);
  viewer().hand({ "at.0": 4 });
  expect(at.sent).toEqual([{ "at.0": 4 }]);
});

test("who hands the lead over follows from there", async () => {
  at.together.choose("1");
  await clock.advance(500);
  viewer().hand({ "at.0": 7 });
  at.together.give("other");
  expect(at.view.value["at.0"]).toBe(7);
  at.say({ "at.0": 8 });
  expect(viewer().slots["at.0"]).toBe(8);
});

test("who leads says what is missing at the server after the line was back", async () => {
  at.together.choose("1");
  await clock.advance(500);
  at.phase.value = { name: "reconnecting", attempt: 1, online: true, sinceMs: 0 };
  viewer().hand({ "at.0": 5, "mark.a": {} });
  await clock.advance(500);
  at.phase.value = { name: "inSession" };
  at.say({ study: "1", layout: "1x1", "mark.old": {} }, true);
  await clock.advance(500);
  expect(at.view.value).toEqual({ study: "1", layout: "1x1", "at.0": 5, "mark.a": {} });
});

test("who led takes it up again at a server that was started anew, and who followed keeps what is shown", async () => {
  at.together.choose("1");
  await clock.advance(500);
  at.phase.value = { name: "reconnecting", attempt: 1, online: true, sinceMs: 0 };
  at.phase.value = { name: "inSession" };
  at.leader.value = null;
  at.say({}, true);
  await clock.advance(500);
  expect(at.leader.value).toBe("me");
  expect(at.view.value).toEqual({ study: "1", layout: "1x1" });

  at = setUp();
  await following();
  at.leader.value = null;
  at.say({}, true);
  await clock.advance(500);
  expect(at.together.stage.value).toBe("open");
  expect(viewer().slots).toEqual({ study: "1", "at.0": 3 });
  expect(at.asked).toEqual([]);
});

test("closing is for all where one leads, and only for oneself otherwise", async () => {
  await following();
  at.together.close();
  expect(viewer().disposed).toBe(true);
  at.say({ "at.0": 5 });
  await settle();
  expect(at.together.stage.value).toBe("closed");
  at.say({ study: "2" });
  await settle();
  expect(at.together.stage.value).toBe("open");
  at.leader.value = "me";
  await settle();
  at.together.close();
  await settle();
  expect([at.view.value, at.leader.value, at.together.stage.value]).toEqual([{}, null, "closed"]);
});

test("what who leads closes is closed here too, but not what one looks at freely", async () => {
  await following();
  at.say({ study: null });
  expect(at.together.stage.value).toBe("closed");
  await following({ study: "2" });
  at.together.lookFreely();
  at.say({ study: null });
  expect(at.together.stage.value).toBe("open");
});

test("another study than who leads shows is looked at freely", async () => {
  await following();
  at.together.choose("2");
  expect(at.together.freely.value).toBe(true);
  expect(viewer().slots.study).toBe("2");
  at.together.choose("1");
  expect(at.together.freely.value).toBe(false);
  expect(viewer().slots).toEqual({ study: "1", "at.0": 3 });
});

test("how far the pictures are is told once a second, while it changes", async () => {
  await following();
  for (let sharp = 1; sharp <= 50; sharp += 1) {
    viewer().sharpness.value = { preview: sharp, sharp, total: 50 };
    await clock.advance(100);
  }
  await clock.advance(5 * REPORTED_EVERY_MS);
  expect(at.session.reportReading.mock.calls.length).toBeLessThanOrEqual(6);
  expect(at.session.reportReading.mock.lastCall).toEqual([{ following: true, preview: 50, sharp: 50, total: 50 }]);
  at.together.close();
  await clock.advance(REPORTED_EVERY_MS);
  expect(at.session.reportReading.mock.lastCall).toEqual([null]);
});

test("a refusal for the rate is made up for; one for the size is told", async () => {
  at.together.choose("1");
  await clock.advance(500);
  at.refuse(Object.assign(new Error("too fast"), { code: "tooMany" }));
  viewer().hand({ "at.0": 5 });
  await clock.advance(500);
  at.refuse(null);
  await clock.advance(2000);
  expect(at.view.value["at.0"]).toBe(5);
  expect(at.failures).toEqual([]);
  at.refuse(Object.assign(new Error("too much"), { code: "tooLarge" }));
  viewer().hand({ "mark.a": {} });
  await clock.advance(2000);
  expect(at.failures).toHaveLength(1);
});

test("what is refused for what it says goes from the leader's own picture too, and is not sent again", async () => {
  at.together.choose("1");
  await clock.advance(500);
  at.refuse(Object.assign(new Error("too much"), { code: "tooLarge" }));
  viewer().hand({ "mark.a": { points: [] }, "at.0": 7 });
  await clock.advance(500);
  expect(viewer().view()).toEqual(at.view.value);
  // The server says the whole view after it refused.
  const asked = at.session.setView.mock.calls.length;
  at.say(at.view.value, true);
  await clock.advance(2000);
  expect(at.session.setView.mock.calls.length).toBe(asked);
  at.refuse(null);
  viewer().hand({ "at.0": 8 });
  await clock.advance(500);
  expect(at.view.value).toEqual(viewer().view());
  expect(at.view.value["at.0"]).toBe(8);
});

test("what is taken while something else is refused stays here as at the others", async () => {
  at.together.choose("1");
  await clock.advance(500);
  const answers: ((error: Error | null) => void)[] = [];
  at.session.setView.mockImplementation((changes: ViewSlots) => {
    return new Promise<void>((taken, refused) => {
      answers.push((error) => {
        if (error) {
          refused(error);
          return;
        }
        at.say(changes);
        taken();
      });
    });
  });
  viewer().hand({ "mark.a": { points: [] } });
  await clock.advance(100);
  viewer().hand({ "at.0": 8 });
  await clock.advance(100);
  expect(answers).toHaveLength(2);
  answers[0]?.(Object.assign(new Error("too much"), { code: "tooLarge" }));
  await clock.advance(0);
  answers[1]?.(null);
  await clock.advance(100);
  expect(viewer().view()).toEqual(at.view.value);
  expect(at.view.value["at.0"]).toBe(8);
});

test("a viewer whose code does not come can be tried again", async () => {
  let broken = true;
  const failing = new Together(at.session, {
    nowMs: () => clock.nowMs,
    after: clock.after,
    load: () => (broken ? Promise.reject(new Error("offline")) : Promise.resolve(new PlainViewer())),
    ask: () => undefined,
  });
  failing.choose("1");
  await settle();
  expect(failing.stage.value).toBe("failed");
  broken = false;
  failing.again();
  await settle();
  expect(failing.stage.value).toBe("open");
  failing.dispose();
});
