// Owns the line to the server: dialling, joining or resuming, requests and their answers, noticing that the line is dead,
// and coming back by itself. Follows docs/protocol.md. Knows no DOM, no media and nothing of what the messages mean.

import { asErrorCode, CLOSE_CODES, decode, encode, isChange, MalformedMessage, SUBPROTOCOL } from "./protocol";
import type { Change, ClientMessage, ErrorCode, Joined, Language, News, Resumed, ServerMessage, Waiting } from "./protocol";
import { RequestError, Requests } from "./requests";
import type { AnswerTo } from "./requests";

/** First pause before dialling again; doubled each time. */
const BACKOFF_FIRST_MS = 200;
/** A restarted server must have everybody back within 5 s, so somebody who looks waits no longer than this. */
const BACKOFF_VISIBLE_MAX_MS = 2_000;
const BACKOFF_HIDDEN_MAX_MS = 10_000;
/** The server asked for patience (tooMany). */
const BACKOFF_CROWDED_MS = 3_000;
/** The server takes no more viewers (serverBusy): at the least, and as much again by chance. */
const BACKOFF_BUSY_MS = 20_000;
const BACKOFF_BUSY_SPREAD_MS = 40_000;
/** Browsers slow down repeated failing WebSockets by seconds: after so many failures ask by plain HTTP first. */
const PROBE_FROM_ATTEMPT = 3;
/** A dead network swallows the dialling silently. */
const DIAL_TIMEOUT_MS = 4_000;
/** From the open socket to joined or resumed. */
const HANDSHAKE_TIMEOUT_MS = 10_000;
const REQUEST_TIMEOUT_MS = 15_000;
/** The server's pings cannot be seen by a page, so it asks for the time: that also measures the clock. */
const HEARTBEAT_MS = 5_000;
const HEARTBEAT_TIMEOUT_MS = 4_000;
/** After waking up (lid, network change) a dead line should be noticed at once. */
const WAKE_TIMEOUT_MS = 1_500;

export interface Line {
  send(text: string): void;
  close(code?: number): void;
}

export interface LineEvents {
  open(): void;
  message(data: unknown): void;
  closed(code: number, reason: string): void;
}

/** All that the connection needs from outside: a browser's adapters, or a test's. */
export interface ConnectionSurroundings {
  dial(protocol: string, events: LineEvents): Line;
  /** Whether anything answers HTTP at the server. */
  probe(): Promise<boolean>;
  /** ms since 1970 by this device's clock. */
  nowMs(): number;
  /** Calls back once; returns how to cancel. */
  after(delayMs: number, callback: () => void): () => void;
  /** 0..1 */
  random(): number;
  visible(): boolean;
}

export interface Seat {
  readonly token: string;
  readonly name: string;
  readonly language: Language;
  readonly client: string;
  /** Of before a reload: gets the old seat back where a link has many. Good once. */
  readonly resumeToken?: string;
}

/** Why one is not in yet, and how many come in before: 0 where nobody knows. */
export type Turn = Pick<Waiting, "reason" | "place">;

export type ConnectionStatus =
  | { readonly name: "idle" }
  /** `attempt` counts from 1 and goes on until it is up. */
  | { readonly name: "trying"; readonly attempt: number }
  /** The server has heard us; it lets us in by and by. */
  | { readonly name: "waiting"; readonly turn: Turn }
  | { readonly name: "up" }
  /** Over until somebody calls join. `again`: the person may try. `code` null: left on purpose. */
  | { readonly name: "closed"; readonly code: ErrorCode | null; readonly again: boolean };

export interface ConnectionEvents {
  status(status: ConnectionStatus): void;
  /** A new seat with a whole snapshot: nothing known before holds. */
  joined(joined: Joined): void;
  /** The old seat goes on; its missed changes have been handed to `change` already. */
  resumed(resumed: Resumed): void;
  change(change: Change): void;
  news(news: News): void;
  clock(askedAtMs: number, serverTimeAtMs: number, answeredAtMs: number): void;
}

/** After these codes the client comes back by itself. */
const COME_BACK: ReadonlySet<ErrorCode> = new Set(["joinTimeout", "tooMany", "serverBusy", "internal", "shuttingDown"]);
/** After these the person is asked first. */
const ASK_FIRST: ReadonlySet<ErrorCode> = new Set(["sessionFull", "sessionLocked", "joinedElsewhere"]);
/** Tells the server that nothing is left to send media to; pages may not say 1001 themselves. */
const PAGE_GONE = 4001;
/** Close codes of RFC 6455 that mean that the line is gone, not that we are unwanted. */
const LINE_GONE: ReadonlySet<number> = new Set([1001, 1005, 1006, 1011, 1012, 1013, 1014, 1015]);

export class Connection {
  #seat: Seat | null = null;
  #resumeToken: string | null = null;
  #seq = 0;
  #line: Line | null = null;
  #opened = false;
  #up = false;
  #waiting = false;
  #attempt = 0;
  #handshakeRequest = 0;
  /** The error that the server said last: the reason if the close code gets lost on the way. */
  #farewell: ErrorCode | null = null;
  readonly #requests: Requests;
  /** Cancels whatever comes next by time: dialling again, giving up on a dial or a handshake, the next heartbeat. */
  #cancelNext: () => void = () => undefined;
  #cancelDeadline: () => void = () => undefined;

  constructor(
    private readonly surroundings: ConnectionSurroundings,
    private readonly events: ConnectionEvents,
  ) {
    this.#requests = new Requests((delayMs, callback) => surroundings.after(delayMs, callback));
  }

  get up(): boolean {
    return this.#up;
  }

  /** The server knows us on this line, whether we are in or wait to be. */
  get #answers(): boolean {
    return this.#up || this.#waiting;
  }

  join(seat: Seat): void {
    this.#drop();
    this.#seat = seat;
    this.#resumeToken = null;
    this.#attempt = 0;
    this.#dial();
  }

  /** Says goodbye and stays away. */
  async leave(): Promise<void> {
    if (this.#up) await this.request({ type: "leave" }).catch(() => undefined);
    this.#finish(null, false);
  }

  /** The page goes: media ends at once, and the seat stays ours for the server's resume time. */
  dispose(): void {
    this.#drop(PAGE_GONE);
    this.#seat = null;
  }

  /** The device woke up, came online or is looked at again: find out now instead of later. */
  wake(): void {
    if (this.#seat === null) return;
    if (this.#answers) {
      this.#beat(WAKE_TIMEOUT_MS);
    } else if (!this.#opened) {
      this.#attempt = 0;
      this.#drop();
      this.#dial();
    }
  }

  /** The answer, or RequestError: with the server's code, or `offline`. */
  request<M extends ClientMessage>(message: M, timeoutMs = REQUEST_TIMEOUT_MS): Promise<AnswerTo<M["type"]>> {
    if (!this.#up) return Promise.reject(new RequestError("offline", "not connected"));
    return this.#ask(message, timeoutMs) as Promise<AnswerTo<M["type"]>>;
  }

  // ---- dialling

  #dial(): void {
    this.#attempt += 1;
    this.events.status({ name: "trying", attempt: this.#attempt });
    if (this.#attempt <= PROBE_FROM_ATTEMPT) {
      this.#open();
      return;
    }
    let abandoned = false;
    this.#cancelNext = () => {
      abandoned = true;
    };
    void this.surroundings.probe().then(
      (answers) => {
        if (abandoned) return;
        if (answers) this.#open();
        else this.#retry();
      },
      () => {
        if (!abandoned) this.#retry();
      },
    );
  }

  #open(): void {
    this.#cancelNext();
    this.#opened = false;
    this.#farewell = null;
    let current = true;
    const line = this.surroundings.dial(SUBPROTOCOL, {
      open: () => {
        if (current) this.#onOpen();
      },
      message: (data) => {
        if (current) this.#onMessage(data);
      },
      closed: (code, reason) => {
        if (!current) return;
        current = false;
        this.#onClosed(code, reason);
      },
    });
    // Closing a line over a dead network takes long: from here on what it still says is not heard.
    this.#line = {
      send: (text) => line.send(text),
      close: (code) => {
        current = false;
        line.close(code);
      },
    };
    this.#deadline(DIAL_TIMEOUT_MS);
  }

  #onOpen(): void {
    this.#opened = true;
    this.#deadline(HANDSHAKE_TIMEOUT_MS);
    if (this.#resumeToken !== null) this.#handshake({ type: "resume", resumeToken: this.#resumeToken, seq: this.#seq });
    else this.#sendJoin();
  }

  #sendJoin(): void {
    // Who cannot resume is known by the token all the same, and gets its seat back.
    const unresumed = this.#resumeToken;
    this.#resumeToken = null;
    if (!this.#seat) return;
    const { resumeToken = unresumed, ...seat } = this.#seat;
    this.#seat = seat;
    this.#handshake({ type: "join", ...seat, ...(resumeToken === null ? {} : { resumeToken }) });
  }

  #handshake(message: ClientMessage): void {
    this.#handshakeRequest = this.#requests.number();
    this.#line?.send(encode(message, this.#handshakeRequest));
  }

  #deadline(delayMs: number): void {
    this.#cancelDeadline();
    this.#cancelDeadline = this.surroundings.after(delayMs, () => this.#lost());
  }

  // ---- hearing

  #onMessage(data: unknown): void {
    let message: ServerMessage | null;
    try {
      message = decode(data);
    } catch (error) {
      if (!(error instanceof MalformedMessage)) throw error;
      // One bad message of a server that is otherwise fine must not end a consult; without a snapshot nothing works.
      if (!this.#up) this.#finish("malformed", true);
      return;
    }
    if (message === null) return;
    // Only the very last word before the end tells why it ends.
    this.#farewell = null;
    if (message.type === "joined") this.#onJoined(message);
    else if (message.type === "resumed") this.#onResumed(message);
    else if (message.type === "waiting") this.#onWaiting(message);
    else if (message.type === "error" && message.request === undefined) this.#farewell = asErrorCode(message.code);
    else if (message.request !== undefined) this.#onAnswer(message.request, message);
    else if (isChange(message)) this.#onChange(message);
    else this.events.news(message as News);
  }

  #onJoined(joined: Joined): void {
    this.#resumeToken = joined.resumeToken;
    this.#seq = joined.seq;
    this.#nowUp();
    this.events.joined(joined);
    this.#beat(HEARTBEAT_TIMEOUT_MS);
  }

  #onResumed(resumed: Resumed): void {
    this.#resumeToken = resumed.resumeToken;
    this.#nowUp();
    for (const change of resumed.missed) if (isChange(change)) this.#onChange(change);
    this.events.resumed(resumed);
    this.#beat(HEARTBEAT_TIMEOUT_MS);
  }

  /** However long it takes; only a line that is dead is given up. */
  #onWaiting({ reason, place }: Waiting): void {
    if (this.#up) return;
    const first = !this.#waiting;
    this.#waiting = true;
    this.#cancelDeadline();
    this.events.status({ name: "waiting", turn: { reason, place } });
    if (first) this.#beat(HEARTBEAT_TIMEOUT_MS);
  }

  #nowUp(): void {
    this.#cancelDeadline();
    this.#waiting = false;
    this.#up = true;
    this.#attempt = 0;
    this.events.status({ name: "up" });
  }

  #onChange(change: Change): void {
    if (change.seq <= this.#seq) return;
    this.#seq = change.seq;
    this.events.change(change);
  }

  #onAnswer(request: number, message: ServerMessage): void {
    if (request === this.#handshakeRequest && !this.#up) {
      if (message.type === "error") this.#onHandshakeRefused(asErrorCode(message.code));
      return;
    }
    this.#requests.answer(request, message);
  }

  #onHandshakeRefused(code: ErrorCode): void {
    if (this.#resumeToken !== null && code === "resumeFailed") this.#sendJoin();
    else this.#onEnd(code);
  }

  #onClosed(code: number, _reason: string): void {
    this.#line = null;
    const named = CLOSE_CODES[code] ?? (LINE_GONE.has(code) ? this.#farewell : null);
    if (named) this.#onEnd(named);
    else if (LINE_GONE.has(code)) this.#lost();
    else this.#finish(code === 1000 ? null : "internal", code !== 1000);
  }

  #onEnd(code: ErrorCode): void {
    if (COME_BACK.has(code)) this.#lost(this.#patienceMs(code));
    else this.#finish(code, ASK_FIRST.has(code));
  }

  #patienceMs(code: ErrorCode): number {
    if (code === "serverBusy") return BACKOFF_BUSY_MS + this.surroundings.random() * BACKOFF_BUSY_SPREAD_MS;
    return code === "tooMany" ? BACKOFF_CROWDED_MS : 0;
  }

  // ---- keeping it alive

  #beat(timeoutMs: number): void {
    this.#cancelNext();
    const line = this.#line;
    const askedAtMs = this.surroundings.nowMs();
    const next = () => {
      this.#cancelNext();
      this.#cancelNext = this.surroundings.after(HEARTBEAT_MS, () => this.#beat(HEARTBEAT_TIMEOUT_MS));
    };
    this.#ask({ type: "syncClock", clientAt: askedAtMs }, timeoutMs).then(
      (answer) => {
        if (answer.type === "clock") this.events.clock(askedAtMs, answer.serverTimeAt, this.surroundings.nowMs());
        if (this.#answers && this.#line === line) next();
      },
      (error: unknown) => {
        if (!this.#answers || this.#line !== line) return;
        // Any answer, even a refusal (too many messages, say), shows that the server is alive.
        if (error instanceof RequestError && error.code !== "offline") next();
        else this.#lost();
      },
    );
  }

  #ask(message: ClientMessage, timeoutMs: number): Promise<ServerMessage> {
    return this.#requests.ask((text) => this.#line?.send(text), message, timeoutMs);
  }

  // ---- losing it

  #lost(atLeastMs = 0): void {
    this.#drop();
    this.#retry(atLeastMs);
  }

  #retry(atLeastMs = 0): void {
    const cap = this.surroundings.visible() ? BACKOFF_VISIBLE_MAX_MS : BACKOFF_HIDDEN_MAX_MS;
    // Jitter over half of the pause spreads a whole room that lost the same server.
    const doublings = Math.min(Math.max(0, this.#attempt - 1), 16);
    const pauseMs = Math.min(cap, BACKOFF_FIRST_MS * 2 ** doublings) * (0.5 + this.surroundings.random() / 2);
    this.events.status({ name: "trying", attempt: Math.max(1, this.#attempt) });
    this.#cancelNext();
    this.#cancelNext = this.surroundings.after(Math.max(atLeastMs, pauseMs), () => this.#dial());
  }

  #finish(code: ErrorCode | null, again: boolean): void {
    this.#drop(1000);
    this.#resumeToken = null;
    this.#seat = null;
    this.events.status({ name: "closed", code, again });
  }

  #drop(closeCode?: number): void {
    this.#cancelNext();
    this.#cancelDeadline();
    this.#cancelNext = this.#cancelDeadline = () => undefined;
    const line = this.#line;
    this.#line = null;
    this.#opened = this.#up = this.#waiting = false;
    line?.close(closeCode);
    this.#requests.failAll();
  }
}
