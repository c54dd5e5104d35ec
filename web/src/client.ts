// Wires connection, room, media and devices into the one object that the pages use, and decides what follows from what:
// what is live is published, what broke is brought back. Knows no elements; all that is the browser's comes from outside.

import { computed, effect, signal } from "@preact/signals";
import type { ReadonlySignal } from "@preact/signals";
import { browserSurroundings } from "./browser";
import { Captures } from "./captures";
import type { CaptureSurroundings, KeyValueStore } from "./captures";
import { ServerClock } from "./clock";
import { Connection } from "./connection";
import type { ConnectionStatus, ConnectionSurroundings } from "./connection";
import { Measurements } from "./measurements";
import { CHAT_MAX_CHARACTERS, NAME_MAX_CHARACTERS, SOURCES } from "./protocol";
import type { ClientMessage, Joined, News, Permission, Resumed, Source, TrackId } from "./protocol";
import { Publisher } from "./publisher";
import type { PublisherSurroundings } from "./publisher";
import { ownTrack, Room } from "./room";
import { RequestError } from "./requests";
import type { AnswerTo } from "./requests";
import { Seats } from "./seats";
import type { Client, JoinWish, LocalTrack, Phase, RemoteTrack } from "./state";
import { Subscriber } from "./subscriber";
import type { SubscriberSurroundings } from "./subscriber";
import { HIDDEN_AFTER_MS, Viewing } from "./viewing";

const CLIENT_NAME = "bridge-web 0.1.0";

/** What the client needs from its surroundings; the page passes none, tests pass their own. */
export interface Surroundings
  extends ConnectionSurroundings,
    CaptureSurroundings,
    Pick<PublisherSurroundings, "createPeer" | "codecs" | "capabilities">,
    Pick<SubscriberSurroundings, "createStream"> {
  online(): boolean;
  /** Kept with this tab over a reload. */
  readonly tab: KeyValueStore;
  onWake(callback: (networkChanged: boolean) => void): () => void;
  onVisibility(callback: (visible: boolean) => void): () => void;
}

export function createClient(surroundings: Surroundings = browserSurroundings()): Client {
  return new Engine(surroundings);
}

class Engine implements Client {
  readonly #room: Room;
  readonly #captures: Captures;
  readonly #connection: Connection;
  readonly #publisher: Publisher;
  readonly #subscriber: Subscriber;
  readonly #viewing: Viewing;
  readonly #measurements: Measurements;
  readonly #clock = new ServerClock();
  readonly #seats: Seats;

  readonly #phase = signal<Phase>({ name: "idle" });
  readonly #streams = signal<ReadonlyMap<TrackId, MediaStream>>(new Map());
  readonly #ended: (() => void)[];
  /** What each own track was last told to be; asked for again after every new start. */
  readonly #toldMuted = new Map<TrackId, boolean>();
  #inSession = false;
  #lostAtMs = 0;
  #cancelHiding: () => void = () => undefined;

  readonly locals: ReadonlySignal<ReadonlyMap<Source, LocalTrack>>;
  readonly tracks: ReadonlySignal<readonly RemoteTrack[]>;

  constructor(private readonly surroundings: Surroundings) {
    const after = (delayMs: number, callback: () => void) => surroundings.after(delayMs, callback);
    this.#room = new Room(() => surroundings.nowMs());
    this.#seats = new Seats(surroundings.tab);
    this.#captures = new Captures(surroundings, (source) => this.#room.notice({ kind: "deviceLost", source }));
    this.#connection = new Connection(surroundings, {
      status: (status) => this.#onStatus(status),
      joined: (joined) => this.#onJoined(joined),
      resumed: (resumed) => this.#onResumed(resumed),
      change: (change) => {
        this.#room.apply(change);
        if (change.type === "trackUnpublished") this.#viewing.forget(change.track);
      },
      news: (news) => this.#onNews(news),
      clock: (asked, server, answered) => this.#onClock(asked, server, answered),
    });
    const request = <M extends ClientMessage>(message: M): Promise<AnswerTo<M["type"]>> =>
      this.#connection.request(message);
    this.#publisher = new Publisher(
      {
        createPeer: () => surroundings.createPeer(),
        codecs: () => surroundings.codecs(),
        capabilities: surroundings.capabilities,
        after,
        request,
      },
      {
        published: () => undefined,
        refused: (error) => this.#room.fail(error.code === "offline" ? "internal" : error.code),
      },
    );
    this.#subscriber = new Subscriber(
      {
        createPeer: () => surroundings.createPeer(),
        createStream: (track) => surroundings.createStream(track),
        describe: (id) => this.#room.describe(id),
        after,
        request,
      },
      (streams) => {
        this.#streams.value = streams;
      },
    );
    this.#viewing = new Viewing({
      after,
      tell: (track, maxHeight) => request({ type: "setSubscription", track, maxHeight }).then(...yesOrNo),
    });
    this.#measurements = new Measurements(
      { after, nowMs: () => surroundings.nowMs() },
      { publisher: this.#publisher, subscriber: this.#subscriber, captures: this.#captures, room: this.#room },
      this.#clock,
      // The timers stood still: the machine slept.
      () => this.#wake(false),
    );
    this.locals = computed(() => this.#localTracks());
    this.tracks = computed(() => this.#remoteTracks());
    this.#ended = [
      effect(() => this.#publish()),
      effect(() => this.#tellMuted()),
      effect(() => this.#rememberSources()),
      this.#watchPermissions(),
      surroundings.onWake((networkChanged) => this.#wake(networkChanged)),
      surroundings.onVisibility((visible) => this.#onVisibility(visible)),
    ];
  }

  // ---- state

  get phase() {
    return this.#phase;
  }
  get self() {
    return this.#room.self;
  }
  get session() {
    return this.#room.session;
  }
  get participants() {
    return this.#room.participants;
  }
  get audience() {
    return this.#room.audience;
  }
  get stage() {
    return this.#room.stage;
  }
  get onStage() {
    return this.#room.onStage;
  }
  get hands() {
    return this.#room.hands;
  }
  get handRaised() {
    return this.#room.handRaised;
  }
  get chat() {
    return this.#room.chat;
  }
  get unread() {
    return this.#room.unread;
  }
  get speakers() {
    return this.#room.speakers;
  }
  get permissions() {
    return this.#room.permissions;
  }
  get devices() {
    return this.#captures.devices;
  }
  get levels() {
    return this.#captures.levels;
  }
  get facts() {
    return this.#measurements.facts;
  }
  get line() {
    return this.#measurements.line;
  }
  get notices() {
    return this.#room.notices;
  }

  // ---- coming and going

  join(wish: JoinWish): void {
    const seat = { ...wish, name: wish.name.trim().slice(0, NAME_MAX_CHARACTERS), client: CLIENT_NAME };
    this.#inSession = false;
    this.#seats.keep(seat);
    this.#phase.value = { name: "joining", attempt: 1 };
    this.#connection.join(seat);
  }

  resume(token?: string): boolean {
    const kept = this.#seats.kept();
    if (!kept || (token !== undefined && token !== kept.token)) return false;
    const wishes = this.#seats.sources();
    this.join(kept);
    void this.#captures.restore(wishes);
    return true;
  }

  rejoin(): void {
    const seat = this.#seats.last();
    if (!seat) return;
    const wishes = this.#seats.sources();
    this.join(seat);
    void this.#captures.restore(wishes.filter(({ source }) => this.#captures.get(source).state === "off"));
  }

  async leave(): Promise<void> {
    const wishes = this.#captures.wishes();
    this.#captures.stopAll();
    await this.#connection.leave();
    // Coming back starts what was on.
    this.#seats.keepSources(wishes);
  }

  async endSession(): Promise<void> {
    await this.#connection.request({ type: "endSession" });
  }

  dispose(): void {
    for (const end of this.#ended) end();
    this.#measurements.stop();
    this.#cancelHiding();
    this.#connection.dispose();
    this.#publisher.close();
    this.#subscriber.close();
    this.#captures.stopAll();
  }

  // ---- own devices

  start(source: Source, deviceId?: string): Promise<void> {
    return this.#captures.start(source, deviceId);
  }

  stop(source: Source): Promise<void> {
    return this.#captures.stop(source);
  }

  async setMuted(source: Source, muted: boolean): Promise<void> {
    if (!muted && this.locals.value.get(source)?.blocked) {
      this.#room.fail("notAllowed");
      return;
    }
    await this.#captures.setMuted(source, muted);
  }

  refreshDevices(): Promise<void> {
    return this.#captures.refresh();
  }

  rememberedDevice(source: Source): string | null {
    return this.#captures.remembered(source);
  }

  // ---- the room

  async setHand(raised: boolean, participant?: string): Promise<void> {
    await this.#connection.request({ type: "setHand", raised, ...(participant === undefined ? {} : { participant }) });
  }

  async sendChat(text: string): Promise<void> {
    const trimmed = text.trim().slice(0, CHAT_MAX_CHARACTERS);
    if (trimmed !== "") await this.#connection.request({ type: "sendChat", text: trimmed });
  }

  setChatShown(shown: boolean): void {
    this.#room.setChatShown(shown);
  }

  async giveFloor(participant: string): Promise<void> {
    await this.#connection.request({ type: "giveFloor", participant });
  }

  async takeFloor(participant: string): Promise<void> {
    await this.#connection.request({ type: "takeFloor", participant });
  }

  async blockTrack(track: TrackId, blocked: boolean): Promise<void> {
    await this.#connection.request({ type: "blockTrack", track, blocked });
  }

  async removeParticipant(participant: string): Promise<void> {
    await this.#connection.request({ type: "removeParticipant", participant });
  }

  async setName(name: string): Promise<void> {
    await this.#connection.request({ type: "setName", name: name.trim().slice(0, NAME_MAX_CHARACTERS) });
    this.#seats.rename(name.trim());
  }

  setShownHeight(track: TrackId, heightPx: number): void {
    const known = this.#room.tracks.peek().get(track);
    if (known?.kind === "video" && known.participant !== this.#room.selfId.peek()) this.#viewing.show(track, heightPx);
  }

  dismissNotice(id: number): void {
    this.#room.dismiss(id);
  }

  // ---- what the connection says

  #onStatus(status: ConnectionStatus): void {
    if (status.name === "trying") this.#onTrying(status.attempt);
    else if (status.name === "closed") this.#onClosed(status);
  }

  #onTrying(attempt: number): void {
    if (!this.#inSession) {
      this.#phase.value = { name: "joining", attempt };
      return;
    }
    if (this.#phase.peek().name === "inSession") this.#lostAtMs = this.surroundings.nowMs();
    this.#publisher.offline();
    this.#subscriber.offline();
    this.#phase.value = {
      name: "reconnecting",
      attempt,
      online: this.surroundings.online(),
      sinceMs: this.#lostAtMs,
    };
  }

  #onClosed({ code, again }: Extract<ConnectionStatus, { name: "closed" }>): void {
    const wasIn = this.#inSession;
    this.#inSession = false;
    this.#publisher.close();
    this.#subscriber.close();
    this.#measurements.stop();
    if (again || code === null) this.#seats.rest();
    else this.#seats.forget();
    // Whoever was thrown out must not go on being filmed; on the join page the previews stay.
    if (wasIn) this.#captures.stopAll();
    if (code === null) this.#phase.value = { name: "left" };
    else if (code === "sessionEnded") this.#phase.value = { name: "ended" };
    else this.#phase.value = { name: "refused", code, again };
  }

  #onJoined(joined: Joined): void {
    this.#seats.keepResumeToken(joined.resumeToken);
    const back = this.#inSession;
    this.#toldMuted.clear();
    this.#clock.forgetReport();
    this.#room.snapshot(joined);
    this.#subscriber.joined();
    this.#publish();
    this.#publisher.joined();
    this.#viewing.begin(new Set(joined.tracks.map(({ id }) => id)));
    this.#entered(back);
  }

  #onResumed(resumed: Resumed): void {
    this.#seats.keepResumeToken(resumed.resumeToken);
    this.#publisher.resumed(resumed.publisher);
    this.#subscriber.resumed(resumed.subscriber);
    this.#viewing.resume();
    this.#toldMuted.clear();
    this.#entered(true);
    this.#tellMuted();
  }

  #entered(back: boolean): void {
    this.#inSession = true;
    this.#phase.value = { name: "inSession" };
    this.#measurements.start();
    if (back) this.#room.notice({ kind: "back" });
  }

  #onNews(news: News): void {
    if (news.type === "subscribeOffer") this.#subscriber.offered(news);
    else if (news.type === "publisherDown") this.#publisher.restart();
    else this.#room.hear(news);
  }

  #onClock(askedAtMs: number, serverTimeAtMs: number, answeredAtMs: number): void {
    this.#clock.add(askedAtMs, serverTimeAtMs, answeredAtMs);
    const clockOffsetMs = this.#clock.takeReport();
    if (clockOffsetMs === null) return;
    this.#connection.request({ type: "reportClock", clockOffsetMs }).catch(() => this.#clock.forgetReport());
  }

  // ---- what follows from what

  #wake(networkChanged: boolean): void {
    this.#connection.wake();
    this.#publisher.wake(networkChanged);
    this.#subscriber.wake(networkChanged);
    this.#captures.wake();
  }

  #onVisibility(visible: boolean): void {
    this.#cancelHiding();
    this.#cancelHiding = visible
      ? () => undefined
      : this.surroundings.after(HIDDEN_AFTER_MS, () => this.#viewing.setHidden(true));
    if (visible) this.#viewing.setHidden(false);
  }

  /** Publishes what is live and allowed, and nothing else. */
  #publish(): void {
    const permissions = this.#room.permissions.value;
    const captures = this.#captures.all.value;
    for (const source of SOURCES) {
      const capture = captures.get(source);
      const starting = capture?.state === "starting" && (capture.stream !== null || this.#publisher.has(source));
      if (capture && permissions.has(`publish:${source}`) && (capture.state === "live" || starting)) {
        this.#publisher.set(source, { track: capture.stream?.getTracks()[0] ?? null, muted: capture.muted });
      } else {
        this.#publisher.remove(source);
      }
    }
  }

  /** Makes the server's idea of what is muted agree with ours. */
  #tellMuted(): void {
    const tracks = this.#room.tracks.value;
    const self = this.#room.selfId.value;
    for (const { source, muted } of this.#captures.all.value.values()) {
      const track = ownTrack(tracks, self, source);
      if (!track || (this.#toldMuted.get(track.id) ?? track.muted) === muted) continue;
      this.#toldMuted.set(track.id, muted);
      this.#connection.request({ type: "setTrackMuted", track: track.id, muted }).catch((error: unknown) => {
        // Offline: resuming tells it again. Refused: a moderator's block stands, so it stays as the server has it.
        if (error instanceof RequestError && error.code !== "offline") this.#room.fail(error.code);
      });
    }
  }

  /** Who lost the floor is no longer filmed. */
  #watchPermissions(): () => void {
    let before: ReadonlySet<Permission> = new Set();
    return effect(() => {
      const now = this.#room.permissions.value;
      for (const source of SOURCES) {
        if (before.has(`publish:${source}`) && !now.has(`publish:${source}`)) void this.#captures.stop(source);
      }
      before = now;
    });
  }

  #rememberSources(): void {
    const wishes = this.#captures.wishes();
    if (this.#phase.value.name === "inSession") this.#seats.keepSources(wishes);
  }

  #localTracks(): ReadonlyMap<Source, LocalTrack> {
    const tracks = this.#room.tracks.value;
    const self = this.#room.selfId.value;
    return new Map(
      [...this.#captures.all.value].map(([source, capture]) => {
        const track = ownTrack(tracks, self, source);
        return [source, { ...capture, blocked: track?.blocked ?? false, track: track?.id ?? null }] as const;
      }),
    );
  }

  #remoteTracks(): readonly RemoteTrack[] {
    const self = this.#room.selfId.value;
    const pictures = this.#room.pictures.value;
    return [...this.#room.tracks.value.values()].map((track) => {
      const own = track.participant === self;
      const stream = own ? this.#captures.all.value.get(track.source)?.stream : this.#streams.value.get(track.id);
      const picture = pictures.get(track.id);
      return { ...track, own, stream: stream ?? null, layer: picture?.layer ?? null, limited: picture?.limited ?? false };
    });
  }
}

const yesOrNo: [() => boolean, () => boolean] = [() => true, () => false];
