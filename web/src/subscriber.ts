// Owns the receiving peer connection: answering the server's offers in their order, and bringing it back.
// Knows no pages; each track of the session becomes one MediaStream. docs/protocol.md, Receiving.

import { ULTRASOUND_SOUND_BITRATE_BPS } from "./encodings";
import { PeerWatch } from "./peerwatch";
import type { ClientMessage, PeerState, SubscribeOffer, TrackId } from "./protocol";
import { Serial } from "./queue";
import { RequestError } from "./requests";
import { withOpusParameters, withStream } from "./sdp";
import { SyncGroups } from "./syncgroups";
import type { Described } from "./syncgroups";

/** An answer that the browser cannot make is a reason to begin anew, but not in a hurry. */
const RENEW_PAUSE_MS = 1_000;

type Outgoing = Extract<ClientMessage, { type: "subscribeAnswer" | "restartSubscriber" }>;

export interface SubscriberSurroundings {
  createPeer(): RTCPeerConnection;
  request(message: Outgoing): Promise<unknown>;
  after(delayMs: number, callback: () => void): () => void;
  createStream(track: MediaStreamTrack): MediaStream;
  /** What the room knows of a track and of whose it is. */
  describe(track: TrackId): Described | undefined;
}

export class Subscriber {
  readonly #order = new Serial();
  readonly #watch: PeerWatch;
  #peer: RTCPeerConnection | null = null;
  #groups = new SyncGroups();
  #newest = -1;
  #online = false;
  /** A restart that was wished for while nobody could be asked. */
  #owed: "ice" | "fresh" | null = null;
  #streams = new Map<TrackId, MediaStream>();
  #tracksByMid = new Map<string, TrackId>();
  #cancelRenew: () => void = () => undefined;

  constructor(
    private readonly surroundings: SubscriberSurroundings,
    private readonly changed: (streams: ReadonlyMap<TrackId, MediaStream>) => void,
  ) {
    this.#watch = new PeerWatch({
      after: (delayMs, callback) => surroundings.after(delayMs, callback),
      restartIce: () => this.#ask("ice"),
      renew: () => this.#ask("fresh"),
    });
  }

  get connected(): boolean {
    return this.#watch.connected;
  }

  /** True once something was offered: only then is there a line to judge. */
  get exists(): boolean {
    return this.#peer !== null;
  }

  /** A new seat: its first offer comes by itself, with numbers that begin anew. */
  joined(): void {
    this.#online = true;
    this.#owed = null;
    this.#discard();
  }

  resumed(state: PeerState): void {
    this.#online = true;
    const owed = this.#owed;
    this.#owed = null;
    if (state !== "up") {
      if (this.#peer) this.#ask("fresh");
    } else if (!this.#peer) this.#ask("fresh");
    else if (owed) this.#ask(owed);
    else if (!this.#watch.connected) this.#ask("ice");
  }

  offline(): void {
    this.#online = false;
  }

  wake(changed: boolean): void {
    this.#watch.wake(changed);
  }

  offered(offer: SubscribeOffer): void {
    if (offer.negotiation <= this.#newest) return;
    this.#newest = offer.negotiation;
    void this.#order.run(() => this.#answer(offer));
  }

  tracksByMid(): ReadonlyMap<string, TrackId> {
    return this.#tracksByMid;
  }

  async stats(): Promise<RTCStatsReport | null> {
    return (await this.#peer?.getStats()) ?? null;
  }

  close(): void {
    this.#online = false;
    this.#discard();
  }

  async #answer(offer: SubscribeOffer): Promise<void> {
    if (offer.negotiation < this.#newest) return;
    const fresh = offer.fresh || !this.#peer;
    if (fresh) {
      this.#replacePeer();
      this.#watch.begin();
    }
    const peer = this.#peer;
    if (!peer) return;
    try {
      await peer.setRemoteDescription({ type: "offer", sdp: this.#inStep(offer) });
      const answer = await peer.createAnswer();
      await peer.setLocalDescription({ type: "answer", sdp: this.#stereo(answer.sdp ?? "", offer) });
      if (peer !== this.#peer) return;
      this.#map(peer, offer);
      await this.surroundings.request({
        type: "subscribeAnswer",
        negotiation: offer.negotiation,
        sdp: peer.localDescription?.sdp ?? "",
      });
    } catch (error) {
      if (peer === this.#peer) this.#answerFailed(error, offer);
    }
  }

  #answerFailed(error: unknown, offer: SubscribeOffer): void {
    // A newer offer is on its way (conflict), or after resuming the server repeats what was not answered (offline).
    if (error instanceof RequestError && (error.code === "conflict" || error.code === "offline")) {
      this.#newest = Math.min(this.#newest, offer.negotiation - (error.code === "offline" ? 1 : 0));
      return;
    }
    this.#cancelRenew();
    this.#cancelRenew = this.surroundings.after(RENEW_PAUSE_MS, () => this.#ask("fresh"));
  }

  #ask(what: "ice" | "fresh"): void {
    if (!this.#online) {
      this.#owed = this.#owed === "fresh" ? "fresh" : what;
      return;
    }
    this.surroundings.request({ type: "restartSubscriber", fresh: what === "fresh" }).catch(() => {
      this.#owed = what;
    });
    // If no offer comes of it, the watch finds out and asks again.
    if (what === "fresh") this.#watch.begin();
  }

  #map(peer: RTCPeerConnection, offer: SubscribeOffer): void {
    const sections = new Map(peer.getTransceivers().map((section) => [section.mid, section]));
    const streams = new Map<TrackId, MediaStream>();
    for (const { mid, track } of offer.tracks) {
      const received = sections.get(mid)?.receiver.track;
      if (!received) continue;
      const known = this.#streams.get(track);
      // A stream that stays the same object does not make the page's player begin anew.
      streams.set(track, known?.getTracks()[0] === received ? known : this.surroundings.createStream(received));
    }
    this.#streams = streams;
    this.#tracksByMid = new Map(offer.tracks.map(({ mid, track }) => [mid, track]));
    this.changed(streams);
  }

  #inStep(offer: SubscribeOffer): string {
    const known = offer.tracks.flatMap(({ track }) => this.surroundings.describe(track) ?? []);
    const groups = this.#groups.assign(known);
    return offer.tracks.reduce((sdp, { mid, track }) => {
      const group = groups.get(track);
      return group === undefined ? sdp : withStream(sdp, mid, group);
    }, offer.sdp);
  }

  #stereo(sdp: string, offer: SubscribeOffer): string {
    return offer.tracks
      .filter(({ track }) => this.surroundings.describe(track)?.source === "ultrasoundSound")
      .reduce(
        (text, { mid }) =>
          withOpusParameters(text, mid, { stereo: "1", maxaveragebitrate: String(ULTRASOUND_SOUND_BITRATE_BPS) }),
        sdp,
      );
  }

  #replacePeer(): void {
    this.#closePeer();
    this.#groups = new SyncGroups();
    const peer = this.surroundings.createPeer();
    const changed = () => {
      if (peer === this.#peer) this.#watch.changed(peer.iceConnectionState, peer.connectionState);
    };
    peer.oniceconnectionstatechange = changed;
    peer.onconnectionstatechange = changed;
    this.#peer = peer;
  }

  #discard(): void {
    this.#closePeer();
    this.#newest = -1;
    this.#cancelRenew();
    this.#streams = new Map();
    this.#tracksByMid = new Map();
    this.changed(this.#streams);
  }

  #closePeer(): void {
    this.#watch.end();
    const peer = this.#peer;
    this.#peer = null;
    if (!peer) return;
    peer.oniceconnectionstatechange = peer.onconnectionstatechange = null;
    peer.close();
  }
}
