// Owns the numbers of requests and who waits for which answer. Knows neither the socket nor what the messages mean.

import { asErrorCode, encode } from "./protocol";
import type { ClientMessage, Clock, ErrorCode, MarkAdded, PublishAnswer, ServerMessage } from "./protocol";

/** `offline`: no answer came; whether the server acted on it is not known. */
export class RequestError extends Error {
  override readonly name = "RequestError";
  constructor(
    readonly code: ErrorCode | "offline",
    text: string,
  ) {
    super(text);
  }
}

type Ok = Extract<ServerMessage, { type: "ok" }>;
export type AnswerTo<T extends ClientMessage["type"]> = T extends "publishOffer"
  ? PublishAnswer
  : T extends "syncClock"
    ? Clock
    : T extends "addMark"
      ? MarkAdded
      : Ok;

interface Pending {
  readonly resolve: (answer: ServerMessage) => void;
  readonly reject: (error: RequestError) => void;
  readonly cancelTimeout: () => void;
}

export class Requests {
  #next = 1;
  readonly #pending = new Map<number, Pending>();

  /** `after` calls back once and returns how to cancel. */
  constructor(private readonly after: (delayMs: number, callback: () => void) => () => void) {}

  /** A number for a request whose answer is dealt with elsewhere (the handshake). */
  number(): number {
    return this.#next++;
  }

  ask(send: (text: string) => void, message: ClientMessage, timeoutMs: number): Promise<ServerMessage> {
    const request = this.number();
    return new Promise((resolve, reject) => {
      const cancelTimeout = this.after(timeoutMs, () => {
        this.#pending.delete(request);
        reject(new RequestError("offline", "no answer in time"));
      });
      this.#pending.set(request, { resolve, reject, cancelTimeout });
      send(encode(message, request));
    });
  }

  answer(request: number, message: ServerMessage): void {
    const pending = this.#pending.get(request);
    if (!pending) return;
    this.#pending.delete(request);
    pending.cancelTimeout();
    if (message.type === "error") pending.reject(new RequestError(asErrorCode(message.code), message.text));
    else pending.resolve(message);
  }

  failAll(): void {
    const all = [...this.#pending.values()];
    this.#pending.clear();
    for (const pending of all) {
      pending.cancelTimeout();
      pending.reject(new RequestError("offline", "the connection was lost"));
    }
  }
}
