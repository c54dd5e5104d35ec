// Owns the judgement whether one peer connection is well, and which of two cures it needs: an ICE restart (RFC 8445
// section 9), which keeps everything, or a new connection. Knows no peer connection: states and timers come from outside.

/** Short breaks heal by themselves; longer ones are felt. */
const DISCONNECTED_MS = 2_000;
/** An ICE restart that works does so within a few round trips. */
const RESTART_MS = 5_000;
/** From the answer to connected, DTLS included, over a slow line. */
const CONNECT_MS = 10_000;
/** After so many ICE restarts in vain something else is wrong. */
const RESTARTS_MAX = 2;

export interface PeerWatchSurroundings {
  after(delayMs: number, callback: () => void): () => void;
  /** Calls of these two are wishes: whoever gets them may be offline and act later. */
  restartIce(): void;
  renew(): void;
}

export class PeerWatch {
  #restarts = 0;
  #wasConnected = false;
  #connected = false;
  #cancel: () => void = () => undefined;

  constructor(private readonly surroundings: PeerWatchSurroundings) {}

  get connected(): boolean {
    return this.#connected;
  }

  /** A new connection begins: call when its first answer is in place. */
  begin(): void {
    this.end();
    this.#cancel = this.surroundings.after(CONNECT_MS, () => this.surroundings.renew());
  }

  end(): void {
    this.#cancel();
    this.#restarts = 0;
    this.#connected = this.#wasConnected = false;
  }

  changed(ice: RTCIceConnectionState, connection: RTCPeerConnectionState): void {
    if (connection === "closed") return;
    this.#connected = connection === "connected";
    if (this.#connected) {
      this.#cancel();
      this.#restarts = 0;
      this.#wasConnected = true;
    } else if (connection === "failed" && ice !== "failed" && ice !== "disconnected") {
      // ICE is fine and the whole is not: DTLS has failed, which no ICE restart mends.
      this.#cancel();
      this.surroundings.renew();
    } else if (ice === "failed") {
      this.#cure();
    } else if (ice === "disconnected") {
      this.#cancel();
      this.#cancel = this.surroundings.after(DISCONNECTED_MS, () => this.#cure());
    }
  }

  /** The network changed or came back (`changed`), or the device woke up: do not wait for timers. */
  wake(changed: boolean): void {
    if (this.#wasConnected && (changed || !this.#connected)) {
      this.#restarts = 0;
      this.#cure();
    }
  }

  #cure(): void {
    this.#cancel();
    if (!this.#wasConnected || this.#restarts >= RESTARTS_MAX) {
      this.surroundings.renew();
      return;
    }
    this.#restarts += 1;
    this.#cancel = this.surroundings.after(RESTART_MS, () => {
      if (!this.#connected) this.#cure();
    });
    this.surroundings.restartIce();
  }
}
