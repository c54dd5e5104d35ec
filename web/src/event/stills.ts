// Owns the small pictures of the organiser's wall: asks for what is new while somebody looks, and keeps one picture a point
// as an address that an image can show. Knows neither tiles nor the session. GET /api/wall (docs/protocol.md, "HTTP").

import { batch, signal } from "@preact/signals";
import type { Call } from "../api";
import type { ParticipantId } from "../protocol";

const EVERY_MS = 2_000;
/** More than fits into one answer is there: it is asked for at once. */
const MORE_MS = 50;
/** An answer holds a megabyte at most. */
const FULL_ANSWER_BYTES = 900_000;
/** None came for so long: the last one says nothing about now any more. */
const OLD_AFTER_MS = 60_000;

interface Answer {
  readonly after: number;
  readonly pictures: readonly { readonly participant: ParticipantId; readonly takenAt: number; readonly jpeg: string }[];
  readonly levels: Readonly<Record<ParticipantId, number>>;
}

export interface StillsSurroundings {
  readonly call: Call;
  after(delayMs: number, callback: () => void): () => void;
  createUrl(jpeg: Blob): string;
  revokeUrl(url: string): void;
  nowMs(): number;
}

export class Stills {
  readonly pictures = signal<ReadonlyMap<ParticipantId, string>>(new Map());
  /** dBov, of those who can be heard. */
  readonly levels = signal<ReadonlyMap<ParticipantId, number>>(new Map());
  /** The server does not answer: what is shown gets old. */
  readonly failing = signal(false);

  readonly #seenMs = new Map<ParticipantId, number>();
  #after = 0;
  #cancel: () => void = () => undefined;
  /** Answers to who looked before are passed over. */
  #looking = 0;

  constructor(private readonly surroundings: StillsSurroundings) {}

  /** Until the returned function is called. */
  look(): () => void {
    this.#looking += 1;
    void this.#ask(this.#looking);
    return () => {
      this.#looking += 1;
      this.#cancel();
      this.#after = 0;
      for (const url of this.pictures.peek().values()) this.surroundings.revokeUrl(url);
      this.#seenMs.clear();
      this.pictures.value = new Map();
      this.levels.value = new Map();
    };
  }

  async #ask(looking: number): Promise<void> {
    let nextMs = EVERY_MS;
    try {
      const answer = await this.surroundings.call<Answer>("GET", `/api/wall?after=${this.#after}`);
      if (looking !== this.#looking) return;
      if (size(answer) > FULL_ANSWER_BYTES) nextMs = MORE_MS;
      this.#after = answer.after;
      this.#take(answer);
    } catch {
      if (looking !== this.#looking) return;
      this.failing.value = true;
    }
    this.#cancel = this.surroundings.after(nextMs, () => void this.#ask(looking));
  }

  #take({ pictures, levels }: Answer): void {
    const nowMs = this.surroundings.nowMs();
    const urls = new Map(this.pictures.peek());
    const old: string[] = [];
    const drop = (who: ParticipantId): void => {
      const url = urls.get(who);
      if (url !== undefined) old.push(url);
      urls.delete(who);
    };
    for (const { participant, jpeg } of pictures) {
      drop(participant);
      urls.set(participant, this.surroundings.createUrl(new Blob([bytes(jpeg)], { type: "image/jpeg" })));
      this.#seenMs.set(participant, nowMs);
    }
    for (const [who, seenMs] of this.#seenMs) {
      if (nowMs - seenMs <= OLD_AFTER_MS) continue;
      this.#seenMs.delete(who);
      drop(who);
    }
    batch(() => {
      this.failing.value = false;
      this.levels.value = new Map(Object.entries(levels));
      if (pictures.length > 0 || old.length > 0) this.pictures.value = urls;
    });
    for (const url of old) this.surroundings.revokeUrl(url);
  }
}

function size({ pictures }: Answer): number {
  return pictures.reduce((sum, { jpeg }) => sum + (jpeg.length * 3) / 4, 0);
}

/** A plain loop: `Uint8Array.from` takes ten times as long, which an old tablet feels at eighty pictures every two seconds. */
function bytes(base64: string): Uint8Array<ArrayBuffer> {
  const letters = atob(base64);
  const found = new Uint8Array(letters.length);
  for (let at = 0; at < letters.length; at += 1) found[at] = letters.charCodeAt(at);
  return found;
}
