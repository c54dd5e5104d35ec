// Wires connection, room, media and devices into the one object that the pages use, and decides what follows from what:
// what is live is published, what broke is brought back. Knows no elements; all that is the browser's comes from outside.

import { computed, effect, signal } from "@preact/signals";
import { roomActions } from "./actions";
import type { Request } from "./actions";
import { browserSurroundings } from "./browser";
import { Captures } from "./captures";
import type { CaptureSurroundings, KeyValueStore } from "./captures";
import { ServerClock } from "./clock";
import { Connection } from "./connection";
import type { ConnectionStatus, ConnectionSurroundings, Turn } from "./connection";
import { EventRoom } from "./event/eventroom";
import { Measurements } from "./measurements";
import { OwnTracks } from "./own";
import { NAME_MAX_CHARACTERS } from "./protocol";
import type { ClientMessage, Joined, News, ParticipantId, Resumed, Source, TrackId } from "./protocol";
import { Publisher } from "./publisher";
import type { PublisherSurroundings } from "./publisher";
import { ReadingRoom } from "./readingroom";
import { Room } from "./room";
import type { AnswerTo } from "./requests";
import { Seats } from "./seats";
import type { Client, JoinWish, Phase, State } from "./state";
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
  return new Engine(surroundings).client();
}

class Engine {
  readonly #room: Room;
  readonly #reading: ReadingRoom;
  readonly #event = new EventRoom();
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
  readonly #own: OwnTracks;
  readonly #request: Request;
  readonly #ended: (() => void)[];
  #inSession = false;
  #lostAtMs = 0;
  #cancelHiding: () => void = () => undefined;

  constructor(private readonly surroundings: Surroundings) {
    const after = (delayMs: number, callback: () => void) => surroundings.after(delayMs, callback);
    this.#room = new Room(() => surroundings.nowMs());
    this.#reading = new ReadingRoom({
      studyCame: ({ modalities, point }) => this.#room.notice({ kind: "studyCame", modalities, point }),
      leadChanged: (leader, before) => this.#onLead(leader, before),
      leadAsked: (who) => this.#onLeadAsked(who),
    });
    this.#seats = new Seats(surroundings.tab);
    this.#captures = new Captures(surroundings, (source) => this.#room.notice({ kind: "deviceLost", source }));
    this.#connection = new Connection(surroundings, {
      status: (status) => this.#onStatus(status),
      joined: (joined) => this.#onJoined(joined),
      resumed: (resumed) => this.#onResumed(resumed),
      change: (change) => {
        this.#room.apply(change);
        this.#event.apply(change);
        if (change.type === "trackUnpublished") this.#viewing.forget(change.track);
        if (change.type === "layersWanted") this.#publisher.setLayers(change.track, change.layers);
      },
      news: (news) => this.#onNews(news),
      clock: (asked, server, answered) => this.#onClock(asked, server, answered),
    });
    const request = <M extends ClientMessage>(message: M): Promise<AnswerTo<M["type"]>> =>
      this.#connection.request(message);
    this.#request = request;
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
    this.#own = new OwnTracks(this.#room, this.#captures, this.#publisher, request);
    this.#ended = [
      ...this.#own.follow(),
      effect(() => this.#rememberSources()),
      surroundings.onWake((networkChanged) => this.#wake(networkChanged)),
      surroundings.onVisibility((visible) => this.#onVisibility(visible)),
    ];
  }

  client(): Client {
    return {
      ...this.#state(),
      ...roomActions(this.#request, (changes) => this.#reading.taken(changes)),
      join: (wish) => this.#join(wish),
      resume: (token) => this.#resume(token),
      rejoin: () => this.#rejoin(),
      leave: () => this.#leave(),
      dispose: () => this.#dispose(),
      start: (source, deviceId) => this.#captures.start(source, deviceId),
      stop: (source) => this.#captures.stop(source),
      setMuted: (source, muted) => this.#setMuted(source, muted),
      refreshDevices: () => this.#captures.refresh(),
      rememberedDevice: (source) => this.#captures.remembered(source),
      setChatShown: (shown) => this.#room.setChatShown(shown),
      setName: (name) => this.#setName(name),
      serverNowMs: () => this.surroundings.nowMs() + (this.#clock.offsetMs() ?? 0),
      setShownHeight: (track, heightPx) => this.#setShownHeight(track, heightPx),
      dismissNotice: (id) => this.#room.dismiss(id),
    };
  }

  #state(): State {
    const { self, session, participants, audience, stage, onStage, hands, handRaised } = this.#room;
    const { chat, unread, speakers, permissions, consentWording, marks, notices } = this.#room;
    return {
      phase: this.#phase,
      ...{ self, session, participants, audience, stage, onStage, hands, handRaised },
      ...{ chat, unread, speakers, permissions, consentWording, marks, notices },
      reading: this.#reading,
      event: this.#event,
      locals: computed(() => this.#own.locals()),
      tracks: computed(() => this.#own.all(this.#streams)),
      devices: this.#captures.devices,
      levels: this.#captures.levels,
      facts: this.#measurements.facts,
      line: this.#measurements.line,
    };
  }

  // ---- coming and going

  #join(wish: JoinWish): void {
    const seat = { ...wish, name: wish.name.trim().slice(0, NAME_MAX_CHARACTERS), client: CLIENT_NAME };
    this.#inSession = false;
    this.#seats.keep(seat);
    this.#phase.value = { name: "joining", attempt: 1 };
    this.#connection.join(seat);
  }

  #resume(token?: string): boolean {
    const kept = this.#seats.kept();
    if (!kept || (token !== undefined && token !== kept.token)) return false;
    const wishes = this.#seats.sources();
    this.#join(kept);
    void this.#captures.restore(wishes);
    return true;
  }

  #rejoin(): void {
    const seat = this.#seats.last();
    if (!seat) return;
    const wishes = this.#seats.sources();
    this.#join(seat);
    void this.#captures.restore(wishes.filter(({ source }) => this.#captures.get(source).state === "off"));
  }

  async #leave(): Promise<void> {
    const wishes = this.#captures.wishes();
    this.#captures.stopAll();
    await this.#connection.leave();
    // Coming back starts what was on.
    this.#seats.keepSources(wishes);
  }

  #dispose(): void {
    for (const end of this.#ended) end();
    this.#measurements.stop();
    this.#cancelHiding();
    this.#connection.dispose();
    this.#publisher.close();
    this.#subscriber.close();
    this.#captures.stopAll();
  }

  // ---- own devices

  async #setMuted(source: Source, muted: boolean): Promise<void> {
    if (!muted && this.#own.locals().get(source)?.blocked) {
      this.#room.fail("notAllowed");
      return;
    }
    await this.#captures.setMuted(source, muted);
  }

  // ---- the room

  async #setName(name: string): Promise<void> {
    await this.#connection.request({ type: "setName", name: name.trim().slice(0, NAME_MAX_CHARACTERS) });
    this.#seats.rename(name.trim());
  }

  #setShownHeight(track: TrackId, heightPx: number): void {
    const known = this.#room.tracks.peek().get(track);
    if (known?.kind === "video" && known.participant !== this.#room.selfId.peek()) this.#viewing.show(track, heightPx);
  }

  // ---- what the connection says

  #onStatus(status: ConnectionStatus): void {
    if (status.name === "trying") this.#onTrying(status.attempt);
    else if (status.name === "waiting") this.#onWaiting(status.turn);
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

  #onWaiting(turn: Turn): void {
    // Who was in the session keeps seeing it until it is in again.
    if (!this.#inSession) this.#phase.value = { name: "joining", attempt: 1, turn };
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
    this.#own.forgetTold();
    this.#clock.forgetReport();
    this.#room.snapshot(joined);
    this.#subscriber.joined();
    this.#own.publish();
    this.#publisher.joined(joined.session.format === "event");
    this.#viewing.begin(new Set(joined.tracks.map(({ id }) => id)));
    this.#entered(back);
  }

  #onResumed(resumed: Resumed): void {
    this.#seats.keepResumeToken(resumed.resumeToken);
    this.#publisher.resumed(resumed.publisher);
    this.#subscriber.resumed(resumed.subscriber);
    this.#viewing.resume();
    this.#own.forgetTold();
    this.#entered(true);
    this.#own.tellMuted();
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
    else {
      this.#room.hear(news);
      this.#reading.hear(news);
      this.#event.hear(news);
    }
  }

  #onLead(leader: ParticipantId | null, before: ParticipantId | null): void {
    const own = this.#room.selfId.peek();
    // Who takes what nobody had knows it.
    if (leader === own && before !== null) this.#room.notice({ kind: "leadIsYours" });
    else if (before === own) this.#room.notice({ kind: "leadIsOver", person: this.#room.nameOf(leader) });
  }

  #onLeadAsked(who: ParticipantId): void {
    const own = this.#room.selfId.peek();
    const person = this.#room.nameOf(who);
    if (this.#reading.leader.peek() === own && who !== own && person !== null) this.#room.notice({ kind: "leadAsked", person });
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

  #rememberSources(): void {
    const wishes = this.#captures.wishes();
    if (this.#phase.value.name === "inSession") this.#seats.keepSources(wishes);
  }
}

const yesOrNo: [() => boolean, () => boolean] = [() => true, () => false];
