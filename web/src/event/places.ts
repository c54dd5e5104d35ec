// Owns an event as its organisers wrote it, as far as the server has it: its list of points and its run of show. Asked for
// again from time to time, because people come and go. GET /api/events/ID (docs/protocol.md, "Events over HTTP").

import { batch, signal } from "@preact/signals";
import type { Call } from "../api";
import type { ParticipantId, SessionId } from "../protocol";
import type { Agenda, AgendaItem } from "./agenda";
import type { ListedPoint } from "./tiles";

const EVERY_MS = 15_000;

interface Answer {
  readonly points: readonly {
    readonly id: string;
    readonly province: string;
    readonly organisation: string;
    readonly name: string;
    readonly participant: ParticipantId;
    readonly revoked: boolean;
  }[];
  readonly agenda: Agenda;
}

export class Places {
  readonly listed = signal<readonly ListedPoint[]>([]);
  /** Null until it was heard of. */
  readonly agenda = signal<Agenda | null>(null);

  #session: SessionId | null = null;
  #cancel: () => void = () => undefined;
  /** Answers to questions before the newest are passed over. */
  #asked = 0;

  constructor(
    private readonly call: Call,
    private readonly after: (delayMs: number, callback: () => void) => () => void,
  ) {}

  /** Until the returned function is called. What cannot be had is passed over: points are known by their links, too. */
  look(session: SessionId): () => void {
    this.#session = session;
    void this.again();
    return () => {
      this.#session = null;
      this.#asked += 1;
      this.#cancel();
    };
  }

  /** Asks at once, as something is known to have changed. */
  async again(): Promise<void> {
    const session = this.#session;
    if (session === null) return;
    this.#cancel();
    this.#asked += 1;
    const asked = this.#asked;
    try {
      const { points, agenda } = await this.call<Answer>("GET", path(session));
      if (asked !== this.#asked) return;
      batch(() => {
        this.listed.value = points.filter(({ revoked }) => !revoked);
        this.agenda.value = agenda;
      });
    } catch {
      // What was known stays.
    }
    if (asked === this.#asked) this.#cancel = this.after(EVERY_MS, () => void this.again());
  }

  /** Writes the run of show, unless somebody else did: then it is asked for again, and the refusal goes on. Rejects with ApiError. */
  async saveAgenda(items: readonly AgendaItem[]): Promise<void> {
    const known = this.agenda.peek();
    const session = this.#session;
    if (known === null || session === null) return;
    try {
      const { version } = await this.call<{ version: number }>("PUT", `${path(session)}/agenda`, { version: known.version, items });
      this.agenda.value = { version, items };
    } catch (error) {
      await this.again();
      throw error;
    }
    if (this.#session === null) return;
    // An answer that is under way is older.
    this.#asked += 1;
    this.#cancel();
    this.#cancel = this.after(EVERY_MS, () => void this.again());
  }
}

function path(session: SessionId): string {
  return `/api/events/${encodeURIComponent(session)}`;
}
