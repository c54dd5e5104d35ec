// Owns the list of an event's points as its organisers wrote it, as far as the server has one: asked for again from time to
// time, because people come and go. GET /api/events/ID (docs/protocol.md, "Events over HTTP").

import { signal } from "@preact/signals";
import type { Call } from "../api";
import type { ParticipantId, SessionId } from "../protocol";
import type { ListedPoint } from "./tiles";

const EVERY_MS = 15_000;

interface Answer {
  readonly points: readonly {
    readonly id: string;
    readonly province: string;
    readonly organisation: string;
    readonly name: string;
    readonly participant: ParticipantId | null;
    readonly revoked: boolean;
  }[];
}

export class Places {
  readonly listed = signal<readonly ListedPoint[]>([]);

  constructor(
    private readonly call: Call,
    private readonly after: (delayMs: number, callback: () => void) => () => void,
  ) {}

  /** Until the returned function is called. What cannot be had is passed over: points are known by their links, too. */
  look(session: SessionId): () => void {
    let over = false;
    let cancel: () => void = () => undefined;
    const askOnce = async (): Promise<void> => {
      try {
        const { points } = await this.call<Answer>("GET", `/api/events/${encodeURIComponent(session)}`);
        this.listed.value = points.filter(({ revoked }) => !revoked);
      } catch {
        // What was known stays.
      }
      if (!over) cancel = this.after(EVERY_MS, () => void askOnce());
    };
    void askOnce();
    return () => {
      over = true;
      cancel();
    };
  }
}
