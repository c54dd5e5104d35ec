// Owns the sending peer connection: which sources are in it, offering them to the server one negotiation at a time, and
// bringing it back. Knows neither devices nor pages. docs/protocol.md, Publishing; JSEP is RFC 9429.

import type { PictureSize } from "./encodings";
import { encodings, firstCodec, orderCodecs, SEND_PLANS, ULTRASOUND_SOUND_BITRATE_BPS } from "./encodings";
import { PeerWatch } from "./peerwatch";
import { sourceKind, SOURCES } from "./protocol";
import type { ClientMessage, PeerState, PublishAnswer, Source, TrackId } from "./protocol";
import { Coalescer } from "./queue";
import { RequestError } from "./requests";
import { withOpusParameters } from "./sdp";

/** Pause after a negotiation that failed, doubled each time: a server in trouble is not helped by offers. */
const RETRY_FIRST_MS = 500;
const RETRY_MAX_MS = 10_000;

export interface PublisherSurroundings {
  createPeer(): RTCPeerConnection;
  request(message: Extract<ClientMessage, { type: "publishOffer" }>): Promise<PublishAnswer>;
  after(delayMs: number, callback: () => void): () => void;
  /** Codecs that this browser can send; absent in browsers without the call. */
  codecs(): readonly RTCRtpCodec[] | undefined;
  readonly capabilities: Pick<MediaCapabilities, "encodingInfo"> | undefined;
}

export interface PublisherEvents {
  /** The source's id on the wire, or null when it is no longer published. */
  published(source: Source, track: TrackId | null): void;
  /** The server refused an offer for good; what is wanted has to change before another try. */
  refused(error: RequestError): void;
}

/** What shall be sent. `track` null: the section stays, nothing flows (a camera that is off). */
export interface Outgoing {
  readonly track: MediaStreamTrack | null;
  readonly muted: boolean;
}

export class Publisher {
  readonly #wanted = new Map<Source, Outgoing>();
  readonly #sections = new Map<Source, RTCRtpTransceiver>();
  readonly #ids = new Map<Source, TrackId>();
  /** What the server wants of each track; all layers where it has said nothing. */
  readonly #layers = new Map<TrackId, readonly string[]>();
  readonly #negotiation: Coalescer;
  readonly #watch: PeerWatch;
  #peer: RTCPeerConnection | null = null;
  /** The server has seen an offer of this peer. */
  #introduced = false;
  #online = false;
  #dirty = false;
  #restartIce = false;
  #failures = 0;
  /** Hundreds send a camera here. */
  #crowded = false;
  #cancelRetry: () => void = () => undefined;
  /** Parameters are read and written in one go, one after the other: a browser refuses those that were read before. */
  #tuned: Promise<void> = Promise.resolve();

  constructor(
    private readonly surroundings: PublisherSurroundings,
    private readonly events: PublisherEvents,
  ) {
    this.#negotiation = new Coalescer(
      () => this.#negotiate(),
      (error) => this.#failed(error),
    );
    this.#watch = new PeerWatch({
      after: (delayMs, callback) => surroundings.after(delayMs, callback),
      restartIce: () => this.restart(),
      renew: () => this.#renew(),
    });
  }

  get connected(): boolean {
    return this.#watch.connected;
  }

  /** True while there is a connection: only then is there a line to judge. */
  get exists(): boolean {
    return this.#introduced;
  }

  /** Sends this from now on; a change of device or of muting alone needs no negotiation. */
  set(source: Source, outgoing: Outgoing): void {
    const isNew = !this.#wanted.has(source);
    this.#wanted.set(source, outgoing);
    const section = this.#sections.get(source);
    if (section?.sender.track === outgoing.track && !isNew) return;
    if (section && !isNew) void this.#attach(source, section);
    if (isNew) this.#poke();
  }

  remove(source: Source): void {
    if (this.#wanted.delete(source)) this.#poke();
  }

  has(source: Source): boolean {
    return this.#wanted.has(source);
  }

  /** Sends these layers only (rids, "" of a track without simulcast). The track may not be known here yet. */
  setLayers(track: TrackId, layers: readonly string[]): void {
    this.#layers.set(track, layers);
    for (const [source, id] of this.#ids) {
      const section = this.#sections.get(source);
      if (id === track && section) void this.#tune(source, section);
    }
  }

  /** A new seat: the server knows nothing of us. `crowded`: in an event, where most are seen in small only. */
  joined(crowded = false): void {
    this.#online = true;
    this.#crowded = crowded;
    this.#renew();
  }

  /** The old seat goes on; `state` is what the server says of this connection. */
  resumed(state: PeerState): void {
    this.#online = true;
    if (state !== "up") this.#renew();
    else if (this.#peer && !this.#watch.connected) this.restart();
    else this.#negotiation.poke();
  }

  offline(): void {
    this.#online = false;
  }

  /** The server hears nothing of us, or the network changed. */
  restart(): void {
    if (!this.#peer) return;
    this.#restartIce = true;
    this.#poke();
  }

  wake(changed: boolean): void {
    this.#watch.wake(changed);
  }

  async stats(): Promise<RTCStatsReport | null> {
    return (await this.#peer?.getStats()) ?? null;
  }

  /** Which track each media section carries. */
  tracksByMid(): ReadonlyMap<string, TrackId> {
    const found = new Map<string, TrackId>();
    for (const [source, section] of this.#sections) {
      const id = this.#ids.get(source);
      if (section.mid !== null && id !== undefined) found.set(section.mid, id);
    }
    return found;
  }

  /** Stops sending; what is wanted is forgotten. */
  close(): void {
    this.#wanted.clear();
    this.#cancelRetry();
    this.#online = false;
    this.#discard();
  }

  // ---- negotiation

  #poke(): void {
    this.#dirty = true;
    this.#cancelRetry();
    this.#negotiation.poke();
  }

  #renew(): void {
    this.#discard();
    this.#poke();
  }

  #discard(): void {
    this.#watch.end();
    const peer = this.#peer;
    this.#peer = null;
    this.#introduced = this.#restartIce = false;
    this.#sections.clear();
    for (const source of this.#ids.keys()) this.events.published(source, null);
    this.#ids.clear();
    this.#layers.clear();
    if (peer) {
      peer.oniceconnectionstatechange = peer.onconnectionstatechange = null;
      peer.close();
    }
  }

  async #negotiate(): Promise<void> {
    if (!this.#online || !this.#dirty) return;
    if (!this.#peer && this.#wanted.size === 0) return;
    this.#dirty = false;
    const peer = (this.#peer ??= this.#createPeer());
    const fresh = !this.#introduced;
    const sectionsBefore = [...this.#sections.values()];
    for (const source of SOURCES) await this.#arrange(peer, source);
    const keepable = !fresh && sameItems(sectionsBefore, [...this.#sections.values()]);
    const iceRestart = this.#restartIce && !fresh;
    this.#restartIce = false;
    const offer = await peer.createOffer({ iceRestart });
    if (peer !== this.#peer) return;
    await peer.setLocalDescription(offer);
    const answer = await this.#propose(peer, fresh, keepable);
    if (!answer || peer !== this.#peer) return;
    if (fresh) this.#watch.begin();
    await peer.setRemoteDescription({ type: "answer", sdp: this.#stereo(answer.sdp) });
    this.#introduced = true;
    this.#failures = 0;
    this.#learnIds(answer);
    for (const [source, section] of this.#sections) await this.#tune(source, section);
  }

  /** The answer, or null if the line broke: an offer without new sections is then taken back, and media flows on. */
  async #propose(peer: RTCPeerConnection, fresh: boolean, keepable: boolean): Promise<PublishAnswer | null> {
    try {
      return await this.surroundings.request({
        type: "publishOffer",
        sdp: peer.localDescription?.sdp ?? "",
        tracks: this.#wishes(),
        ...(fresh ? { fresh } : {}),
      });
    } catch (error) {
      const offline = error instanceof RequestError && error.code === "offline";
      if (!offline || !keepable || peer !== this.#peer) throw error;
      await peer.setLocalDescription({ type: "rollback" });
      this.#dirty = this.#restartIce = true;
      return null;
    }
  }

  #wishes(): Extract<ClientMessage, { type: "publishOffer" }>["tracks"] {
    return [...this.#sections].flatMap(([source, section]) => {
      const outgoing = this.#wanted.get(source);
      if (!outgoing || section.mid === null) return [];
      return [{ mid: section.mid, source, muted: outgoing.muted }];
    });
  }

  #learnIds(answer: PublishAnswer): void {
    const byMid = new Map(answer.tracks.map(({ mid, track }) => [mid, track]));
    for (const [source, section] of this.#sections) {
      const id = section.mid === null ? undefined : byMid.get(section.mid);
      if (id === this.#ids.get(source)) continue;
      if (id === undefined) this.#ids.delete(source);
      else this.#ids.set(source, id);
      this.events.published(source, id ?? null);
    }
  }

  #failed(error: unknown): void {
    const code = error instanceof RequestError ? error.code : null;
    // Whether the server took the offer is not known, or the browser rejected the answer: only a new peer is certain.
    this.#discard();
    this.#dirty = true;
    if (code === "notAllowed" || code === "unsupported" || code === "malformed" || code === "tooLarge") {
      this.#dirty = false;
      this.events.refused(error as RequestError);
      return;
    }
    if (!this.#online) return;
    const pauseMs = Math.min(RETRY_MAX_MS, RETRY_FIRST_MS * 2 ** this.#failures);
    this.#failures = Math.min(this.#failures + 1, 8);
    this.#cancelRetry();
    this.#cancelRetry = this.surroundings.after(pauseMs, () => this.#negotiation.poke());
  }

  // ---- the peer connection

  #createPeer(): RTCPeerConnection {
    const peer = this.surroundings.createPeer();
    const changed = () => {
      if (peer === this.#peer) this.#watch.changed(peer.iceConnectionState, peer.connectionState);
    };
    peer.oniceconnectionstatechange = changed;
    peer.onconnectionstatechange = changed;
    return peer;
  }

  /**
   * Brings one section into line with what is wanted. A source that ends stops its section for good: the browser gives
   * the next one new SSRCs, which it names by mid and rid again (RFC 8843 section 15); of known ones it says nothing.
   */
  async #arrange(peer: RTCPeerConnection, source: Source): Promise<void> {
    const outgoing = this.#wanted.get(source);
    const section = this.#sections.get(source);
    if (!outgoing) {
      if (section) this.#stop(peer, source, section);
      return;
    }
    if (section) {
      await this.#attach(source, section);
      return;
    }
    const first = await firstCodec(source, this.surroundings.capabilities);
    if (peer !== this.#peer) return;
    const added = peer.addTransceiver(outgoing.track ?? sourceKind(source), {
      direction: "sendonly",
      sendEncodings: encodings(source, sizeOf(outgoing.track)),
    });
    this.#sections.set(source, added);
    const codecs = sourceKind(source) === "video" ? this.surroundings.codecs() : undefined;
    if (codecs?.length) added.setCodecPreferences(orderCodecs(codecs, first));
    if (outgoing.track) outgoing.track.contentHint = SEND_PLANS[source].contentHint;
  }

  #stop(peer: RTCPeerConnection, source: Source, section: RTCRtpTransceiver): void {
    // The first section carries the transport of all (RFC 9143): stopping it would take the others down with it.
    if (peer.getTransceivers()[0] === section) section.direction = "inactive";
    else section.stop();
    void section.sender.replaceTrack(null).catch(() => undefined);
    this.#sections.delete(source);
    if (this.#ids.delete(source)) this.events.published(source, null);
  }

  async #attach(source: Source, section: RTCRtpTransceiver): Promise<void> {
    const track = this.#wanted.get(source)?.track ?? null;
    if (section.sender.track === track) return;
    if (track) track.contentHint = SEND_PLANS[source].contentHint;
    try {
      await section.sender.replaceTrack(track);
      await this.#tune(source, section);
    } catch {
      // The section cannot carry this track (another kind of capture): only a new connection can.
      if (this.#sections.get(source) === section) this.#renew();
    }
  }

  /** What can only be said once the connection is negotiated, and layers for the size of the present picture. */
  #tune(source: Source, section: RTCRtpTransceiver): Promise<void> {
    this.#tuned = this.#tuned.then(() => this.#tuneNow(source, section));
    return this.#tuned;
  }

  async #tuneNow(source: Source, section: RTCRtpTransceiver): Promise<void> {
    const { sender } = section;
    const parameters = sender.getParameters();
    if (parameters.encodings.length === 0) return;
    const { degradation } = SEND_PLANS[source];
    if (degradation) parameters.degradationPreference = degradation;
    const wanted = this.#layers.get(this.#ids.get(source) ?? "");
    const wall = this.#crowded && wanted?.length === 1 && wanted[0] === "l";
    const planned = encodings(source, sizeOf(sender.track), wall ? "wall" : "people");
    for (const encoding of parameters.encodings) {
      const plan = planned.find((one) => one.rid === encoding.rid) ?? planned.at(-1);
      if (plan) Object.assign(encoding, { ...plan, rid: encoding.rid });
      encoding.active = wanted?.includes(encoding.rid ?? "") ?? true;
    }
    try {
      await sender.setParameters(parameters);
    } catch {
      // Not every browser takes every parameter; the connection works without.
    }
  }

  #stereo(sdp: string): string {
    const mid = this.#sections.get("ultrasoundSound")?.mid;
    if (!mid) return sdp;
    return withOpusParameters(sdp, mid, {
      stereo: "1",
      "sprop-stereo": "1",
      maxaveragebitrate: String(ULTRASOUND_SOUND_BITRATE_BPS),
    });
  }
}

function sameItems<T>(a: readonly T[], b: readonly T[]): boolean {
  return a.length === b.length && a.every((item, i) => item === b[i]);
}

function sizeOf(track: MediaStreamTrack | null): PictureSize {
  const { width, height } = track?.kind === "video" ? track.getSettings() : {};
  return { widthPx: width ?? 0, heightPx: height ?? 0 };
}
