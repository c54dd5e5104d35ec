// A clock that moves only when told, and a server end of a line that a test plays: for the unit tests of what is pure but
// for time and transport. Real sockets and real media are the browser tests' business.

import { signal } from "@preact/signals";
import type { ReadonlySignal } from "@preact/signals";
import type { ConnectionSurroundings, LineEvents } from "../src/connection";
import { EventRoom } from "../src/event/eventroom";
import type { ClientMessage, Joined, Participant, Track } from "../src/protocol";
import type { EventFacts, Phase, ReadingState } from "../src/state";

/** Of a consult in which nobody reads a study. */
export function nobodyReads(): { readonly reading: ReadingState; readonly event: EventFacts; readonly session: ReadonlySignal<null>; readonly phase: ReadonlySignal<Phase> } {
  return {
    event: new EventRoom(),
    session: signal(null),
    reading: { studies: signal([]), leader: signal(null), asking: signal([]), readers: signal([]), view: signal({}), renewed: signal(0) },
    phase: signal<Phase>({ name: "inSession" }),
  };
}

interface Timer {
  readonly dueMs: number;
  readonly callback: () => void;
}

export class FakeClock {
  nowMs = 1_700_000_000_000;
  readonly #timers = new Set<Timer>();

  readonly after = (delayMs: number, callback: () => void): (() => void) => {
    const timer = { dueMs: this.nowMs + delayMs, callback };
    this.#timers.add(timer);
    return () => this.#timers.delete(timer);
  };

  get pending(): number {
    return this.#timers.size;
  }

  /** Moves on, timer by timer, and lets promises settle in between. */
  async advance(ms: number): Promise<void> {
    const endMs = this.nowMs + ms;
    await settle();
    for (;;) {
      const next = [...this.#timers].filter((timer) => timer.dueMs <= endMs).sort((a, b) => a.dueMs - b.dueMs)[0];
      if (!next) break;
      this.#timers.delete(next);
      this.nowMs = next.dueMs;
      next.callback();
      await settle();
    }
    this.nowMs = endMs;
  }
}

/** Lets everything that only waits for promises happen. */
export async function settle(): Promise<void> {
  for (let i = 0; i < 20; i += 1) await Promise.resolve();
}

export type Sent = ClientMessage & { readonly request?: number };

/** One dialled line, seen from the server. */
export class FakeLine {
  readonly sent: Sent[] = [];
  closedByClient = false;
  /** Undefined: without one. */
  closeCode: number | undefined;

  constructor(
    readonly protocol: string,
    private readonly events: LineEvents,
  ) {}

  get last(): Sent | undefined {
    return this.sent.at(-1);
  }

  open(): void {
    this.events.open();
  }

  say(message: object): void {
    this.events.message(JSON.stringify(message));
  }

  sayRaw(data: unknown): void {
    this.events.message(data);
  }

  /** Answers the newest message of this type. */
  answer(type: ClientMessage["type"], answer: object): void {
    const request = this.sent.findLast((message) => message.type === type)?.request;
    this.say({ ...answer, request });
  }

  drop(code = 1006, reason = ""): void {
    this.events.closed(code, reason);
  }
}

export class FakeServer {
  readonly lines: FakeLine[] = [];
  readonly clock = new FakeClock();
  answersHttp = true;
  isVisible = true;

  get line(): FakeLine {
    const line = this.lines.at(-1);
    if (!line) throw new Error("nobody dialled");
    return line;
  }

  surroundings(): ConnectionSurroundings {
    return {
      dial: (protocol, events) => {
        const line = new FakeLine(protocol, events);
        this.lines.push(line);
        return {
          send: (text) => line.sent.push(JSON.parse(text) as Sent),
          close: (code) => {
            line.closedByClient = true;
            line.closeCode = code;
          },
        };
      },
      probe: () => Promise.resolve(this.answersHttp),
      nowMs: () => this.clock.nowMs,
      after: this.clock.after,
      random: () => 1,
      visible: () => this.isVisible,
    };
  }
}

export function participant(id: string, changes: Partial<Participant> = {}): Participant {
  return {
    id,
    name: `Dr ${id}`,
    role: "satellite",
    point: "",
    connected: true,
    quality: null,
    rttMs: null,
    loss: null,
    clockOffsetMs: null,
    language: "vi",
    consent: null,
    ...changes,
  };
}

export function track(id: string, changes: Partial<Track> = {}): Track {
  return {
    id,
    participant: "p1",
    source: "camera",
    kind: "video",
    muted: false,
    blocked: false,
    flowing: true,
    layers: ["l", "m", "h"],
    codec: "VP8",
    ...changes,
  };
}

export function joined(changes: Partial<Joined> = {}): Joined {
  return {
    type: "joined",
    participant: "me",
    resumeToken: "resume-1",
    resumeWithinS: 30,
    seq: 10,
    serverTimeAt: 1_700_000_000_000,
    session: {
      id: "s1",
      title: "Consult",
      kind: "consultation",
      format: "consult",
      state: "open",
      capacity: 10,
      startedAt: null,
      record: "auto",
      consent: false,
      recording: null,
      lobby: false,
      locked: false,
    },
    participants: [participant("me", { role: "hub" })],
    tracks: [],
    stage: ["me"],
    hands: [],
    chat: [],
    permissions: ["publish:camera", "publish:ultrasound", "chat"],
    consentWording: null,
    marks: [],
    ...changes,
  };
}
