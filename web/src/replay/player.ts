// Owns one replay: what is known of the recording, the clock, and the players of its lanes. Pages read its signals and call it.
// It waits where something is on its way, stops where something is damaged, and grows while the recording still runs.

import { computed, signal } from "@preact/signals";
import type { ReadonlySignal, Signal } from "@preact/signals";
import { ApiError } from "../api";
import type { ErrorCode } from "../protocol";
import type { Recorded, RecordedEvent, ReplayApi } from "./api";
import { mergeTracks } from "./lane";
import type { Lane, Stretch } from "./lane";
import { LanePlayer } from "./laneplayer";
import { PlayClock } from "./playclock";
import { Steps } from "./steps";
import { tell } from "./story";
import type { Story } from "./story";

/** Corrections of a hundredth of a second need no more. */
const LOOK_EVERY_MS = 50;
const POLL_EVERY_MS = 2_000;
/** Far from the end, what came there meanwhile can wait. */
const IDLE_POLLS = 5;
const NEAR_END_MS = 60_000;
/** Where "go to live" goes: so far behind what there is that the next poll comes in time. */
const LIVE_MS = 5_000;
/** So near to what there is, it waits; until there is so much again, for to and fro would be worse than waiting. */
const EDGE_MS = 300;
const EDGE_LEFT_MS = 3_000;
/** A track that is behind the others by more is silent and not late. */
const SILENT_FROM_MS = 8_000;
/** One small picture that does not come must not hold up all the rest. */
const PATIENCE_MS = 4_000;
const WAITING_TOLD_MS = 250;
/** A browser without a sound device never begins. */
const STARTS_WITHIN_MS = 400;
/** A shorter pause is played through. */
const SHORT_PAUSE_MS = 1_500;

export interface Stop {
  readonly lane: Lane;
  readonly stretch: Stretch;
}

export interface Notice {
  readonly kind: "pauseSkipped";
  readonly lengthMs: number;
}

export class Replay {
  readonly recording = signal<Recorded | null>(null);
  readonly lanes = signal<readonly Lane[]>([]);
  /** Goes up whenever a lane knows more: what is drawn from lanes reads it. */
  readonly version = signal(0);
  readonly story: ReadonlySignal<Story>;
  readonly fault = signal<ErrorCode | "network" | null>(null);
  /** Polling a running recording gets no answer at present. */
  readonly offline = signal(false);
  readonly atMs = signal(0);
  /** What the person wants; `waiting` says that it cannot be at the moment. */
  readonly playing = signal(false);
  readonly waiting = signal(false);
  readonly rate = signal(1);
  readonly stop = signal<Stop | null>(null);
  readonly notice = signal<Notice | null>(null);
  readonly soundRefused = signal(false);
  /** The large lane: everything waits for it, and frames are stepped on it. */
  readonly main: Signal<string | null> = signal(null);
  readonly players = signal<ReadonlyMap<string, LanePlayer>>(new Map());
  readonly beginMs: ReadonlySignal<number>;
  readonly endMs: ReadonlySignal<number>;
  readonly running: ReadonlySignal<boolean>;

  /** As the server counts them: of what is known, it is asked for the rest. */
  private readonly events = signal<readonly RecordedEvent[]>([]);
  private readonly steps: Steps;
  private clock = new PlayClock(0);
  private looking: ReturnType<typeof setInterval> | undefined;
  private polling: ReturnType<typeof setTimeout> | undefined;
  private polls = 0;
  /** Number of the newest question about changes, and of the newest that was answered. */
  private asked = 0;
  private answered = 0;
  private waitingSinceMs: number | null = null;
  private startingSinceMs: number | null = null;
  /** Since when a lane has not been able to play on. */
  private readonly behind = new Map<string, number>();
  private readonly passed = new Set<string>();
  private leader: string | null = null;
  private atEdge = false;
  private disposed = false;

  constructor(
    private readonly api: ReplayApi,
    readonly id: string,
  ) {
    this.beginMs = computed(() => this.recording.value?.beginMs ?? 0);
    this.endMs = computed(() => {
      const lanesEndMs = this.version.value >= 0 ? Math.max(0, ...this.lanes.value.map(({ endMs }) => endMs)) : 0;
      const told = this.recording.value;
      // The window of a clip ends where it ends; what still runs has got as far as its newest part.
      return told?.state === "running" ? Math.max(told.endMs, lanesEndMs) : (told?.endMs ?? 0);
    });
    this.running = computed(() => this.recording.value?.state === "running");
    this.story = computed(() => tell(this.events.value, this.endMs.value));
    this.steps = new Steps((track, from, to) => api.frames(id, track, from, to));
  }

  async open(): Promise<void> {
    try {
      const { recording, tracks, events } = await this.api.open(this.id);
      this.lanes.value = mergeTracks([], tracks);
      await this.loadParts(this.lanes.value.flatMap((lane) => [...lane.tracks.keys()].map((track) => [lane, track] as const)));
      if (this.disposed) return;
      this.events.value = events;
      this.recording.value = recording;
      this.moveTo(recording.beginMs);
      this.looking = setInterval(() => this.look(), LOOK_EVERY_MS);
      if (recording.state === "running") this.pollSoon();
    } catch (error) {
      this.fault.value = error instanceof ApiError ? error.code : "internal";
    }
  }

  /** Gives a lane the element that plays it; call what is returned before the element goes. */
  attach(lane: Lane, element: HTMLMediaElement): () => void {
    const player = new LanePlayer({
      lane,
      element,
      load: (track, part, signal) => this.api.part(this.id, track, part, signal),
      onChange: () => this.changed(),
      onRefused: (error) => (this.fault.value = error.code),
      onSoundRefused: () => (this.soundRefused.value = true),
    });
    this.players.value = new Map(this.players.peek()).set(lane.id, player);
    return () => {
      player.dispose();
      const left = new Map(this.players.peek());
      if (left.get(lane.id) === player) left.delete(lane.id);
      this.players.value = left;
    };
  }

  play(): void {
    this.soundRefused.value = false;
    this.stop.value = null;
    if (!this.running.peek() && this.atMs.peek() >= this.endMs.peek() - 20) this.moveTo(this.beginMs.peek());
    this.playing.value = true;
    this.waitingSinceMs = null;
    this.look();
  }

  pause(): void {
    this.playing.value = false;
    this.clock.run(false, performance.now());
    this.look();
  }

  toggle(): void {
    if (this.playing.peek()) this.pause();
    else this.play();
  }

  seek(toMs: number): void {
    this.stop.value = null;
    this.notice.value = null;
    this.moveTo(toMs);
    this.look();
  }

  goLive(): void {
    this.seek(this.edgeMs() - LIVE_MS);
    this.play();
  }

  setRate(rate: number): void {
    this.rate.value = rate;
    this.clock.setRate(rate, performance.now());
    this.look();
  }

  /** One picture of the large lane on or back; false where there is none. Raises ApiError where the server does not say. */
  async step(direction: 1 | -1): Promise<boolean> {
    this.pause();
    const lane = this.lanes.peek().find(({ id }) => id === this.main.peek());
    if (lane?.kind !== "video") return false;
    const fromMs = this.atMs.peek();
    const toMs = await this.steps.next(lane, fromMs, direction);
    // Meanwhile the person went elsewhere.
    if (toMs === null || this.atMs.peek() !== fromMs || this.playing.peek()) return false;
    if (toMs < this.beginMs.peek() || toMs > this.endMs.peek()) return false;
    this.seek(toMs);
    return true;
  }

  /** Plays on behind the damage. */
  goBehind(): void {
    const stop = this.stop.peek();
    if (!stop) return;
    this.seek(Math.min(stop.stretch.toMs, this.endMs.peek()));
    this.play();
  }

  /** Plays on with what the other lanes have. */
  goWithout(): void {
    const stop = this.stop.peek();
    if (!stop) return;
    this.passed.add(passName(stop));
    this.play();
  }

  /** Asks for events and tracks anew, as after setting a mark. */
  async refresh(): Promise<void> {
    const from = this.events.peek().length;
    const turn = ++this.asked;
    const { recording, tracks, events } = await this.api.changes(this.id, from);
    if (this.disposed) return;
    // Another question, asked meanwhile, may have brought some of them already.
    const fresh = events.slice(this.events.peek().length - from);
    if (fresh.length > 0) this.events.value = [...this.events.peek(), ...fresh];
    if (turn < this.answered) return;
    this.answered = turn;
    const wasRunning = this.running.peek();
    const known = new Set(this.lanes.peek().flatMap((lane) => [...lane.tracks.keys()]));
    const live = new Set(this.lanes.peek().flatMap((lane) => [...lane.tracks.values()].filter((track) => track.live).map(({ id }) => id)));
    this.lanes.value = mergeTracks(this.lanes.peek(), tracks);
    const due = this.atMs.peek() > this.endMs.peek() - NEAR_END_MS || this.polls % IDLE_POLLS === 0 || (wasRunning && recording.state !== "running");
    if (due) {
      const growing = this.lanes.peek().flatMap((lane) =>
        [...lane.tracks.values()].filter(({ id }) => !known.has(id) || live.has(id)).map(({ id }) => [lane, id] as const),
      );
      await this.loadParts(growing);
    }
    // What ended while this one was still loading parts must not run again.
    if (turn === this.answered) this.recording.value = recording;
  }

  dispose(): void {
    this.disposed = true;
    clearInterval(this.looking);
    clearTimeout(this.polling);
    for (const player of this.players.peek().values()) player.dispose();
  }

  private async loadParts(wanted: readonly (readonly [Lane, number])[]): Promise<void> {
    const lists = await Promise.all(
      wanted.map(async ([lane, track]) => lane.take(track, await this.api.parts(this.id, track, lane.newest.get(track) ?? -1))),
    );
    if (lists.includes(true)) this.changed();
  }

  private changed(): void {
    this.version.value += 1;
  }

  private moveTo(toMs: number): void {
    const endMs = this.running.peek() ? this.edgeMs() : this.endMs.peek();
    const atMs = Math.max(this.beginMs.peek(), Math.min(toMs, endMs));
    this.atEdge = false;
    this.clock.set(atMs, performance.now());
    this.atMs.value = atMs;
    this.waitingSinceMs = null;
  }

  /** Twenty times a second: every lane is brought to the clock, and the clock waits for what is on its way. */
  private look(): void {
    if (this.disposed || this.recording.peek() === null) return;
    const nowMs = performance.now();
    this.keepInside(nowMs);
    this.passPause(nowMs);
    this.stopAtDamage(nowMs);
    const ready = this.follow(nowMs);
    const held = this.holds(ready, nowMs);
    const going = this.playing.peek() && !held;
    if (!going) this.startingSinceMs = null;
    this.clock.run(going && (this.clock.runs || this.started(nowMs)), nowMs);
    this.waiting.value = this.playing.peek() && held && nowMs - (this.waitingSinceMs ?? nowMs) > WAITING_TOLD_MS;
    this.atMs.value = this.clock.at(nowMs);
  }

  /** Returns whether all that count can play on. */
  private follow(nowMs: number): boolean {
    const { runs } = this.clock;
    const starting = this.startingSinceMs !== null;
    const main = this.main.peek();
    let ready = true;
    this.leader = this.nextLeader();
    for (const [id, player] of this.players.peek()) {
      const heard = player.lane.kind === "audio";
      const look = { atMs: this.clock.at(nowMs), nowMs, rate: this.rate.peek(), running: runs || (starting && heard), leads: id === this.leader };
      const behind = this.lags(id, !player.follow(look), nowMs);
      // A small picture catches up by itself. A hidden page gets no pictures from the browser, but its sound goes on.
      const counts = (heard || id === main || !runs) && !(document.hidden && !heard);
      if (behind && counts) ready = false;
    }
    const leader = this.players.peek().get(this.leader ?? "")?.timeMs() ?? null;
    if (runs && leader !== null) this.clock.lean(leader, nowMs);
    return ready;
  }

  /** Sound takes up to a tenth of a second until it begins; pictures begin at once, so they begin then. */
  private started(nowMs: number): boolean {
    const sounds = [...this.players.peek().values()].filter((player) => player.sounds);
    if (sounds.length === 0) return true;
    this.startingSinceMs ??= nowMs;
    const atMs = this.clock.at(nowMs);
    const heardMs = sounds.map((player) => player.timeMs()).filter((timeMs) => timeMs !== null && timeMs > atMs + 1);
    const [firstMs] = heardMs;
    if (firstMs === undefined || firstMs === null) return nowMs - this.startingSinceMs > STARTS_WITHIN_MS;
    this.clock.set(firstMs, nowMs);
    return true;
  }

  /** A sound that plays, since changes of its speed could be heard; else the large picture. It stays as long as it can. */
  private nextLeader(): string | null {
    const players = this.players.peek();
    const main = this.main.peek();
    const plays = (id: string | null): boolean => typeof players.get(id ?? "")?.timeMs() === "number";
    const sound = (id: string | null): boolean => players.get(id ?? "")?.lane.kind === "audio" && plays(id);
    if (sound(this.leader)) return this.leader;
    for (const id of players.keys()) if (sound(id)) return id;
    // A hidden page gets no pictures from the browser.
    return plays(main) && !document.hidden ? main : null;
  }

  /** Whether all have to wait for it. */
  private lags(id: string, behind: boolean, nowMs: number): boolean {
    if (!behind) this.behind.delete(id);
    else if (!this.behind.has(id)) this.behind.set(id, nowMs);
    return behind && (id === this.main.peek() || nowMs - (this.behind.get(id) ?? nowMs) <= PATIENCE_MS);
  }

  /** Whether the clock has to wait: for what is on its way, or since what comes next is still being written. */
  private holds(ready: boolean, nowMs: number): boolean {
    const edge = this.running.peek() && this.edgeMs() - this.clock.at(nowMs) < (this.atEdge ? EDGE_LEFT_MS : EDGE_MS);
    this.atEdge = edge;
    if (ready && !edge) this.waitingSinceMs = null;
    else this.waitingSinceMs ??= nowMs;
    return !ready || edge;
  }

  /** Until when a running recording has all that its tracks bring. */
  private edgeMs(): number {
    const lanes = this.lanes.peek().filter(({ live }) => live);
    const newestMs = Math.max(this.beginMs.peek(), ...lanes.map(({ endMs }) => endMs));
    return Math.min(newestMs, ...lanes.map(({ endMs }) => endMs).filter((endMs) => newestMs - endMs < SILENT_FROM_MS));
  }

  private keepInside(nowMs: number): void {
    const endMs = this.endMs.peek();
    if (this.clock.at(nowMs) < endMs || this.running.peek()) return;
    this.clock.run(false, nowMs);
    this.clock.set(endMs, nowMs);
    this.playing.value = false;
  }

  private passPause(nowMs: number): void {
    if (!this.playing.peek()) return;
    const atMs = this.clock.at(nowMs);
    const pause = this.story.peek().paused.find(({ fromMs, toMs }) => fromMs <= atMs && atMs < toMs - SHORT_PAUSE_MS);
    if (!pause || pause.toMs >= this.endMs.peek()) return;
    this.moveTo(pause.toMs);
    this.notice.value = { kind: "pauseSkipped", lengthMs: pause.toMs - pause.fromMs };
  }

  private stopAtDamage(nowMs: number): void {
    if (!this.playing.peek()) return;
    const atMs = this.clock.at(nowMs);
    for (const lane of this.lanes.peek()) {
      const stretch = lane.damageAt(atMs);
      if (!stretch || this.passed.has(passName({ lane, stretch }))) continue;
      this.clock.run(false, nowMs);
      this.playing.value = false;
      this.stop.value = { lane, stretch };
      return;
    }
  }

  private pollSoon(): void {
    this.polling = setTimeout(() => void this.poll(), POLL_EVERY_MS);
  }

  private async poll(): Promise<void> {
    this.polls += 1;
    try {
      await this.refresh();
      this.offline.value = false;
    } catch (error) {
      const code = error instanceof ApiError ? error.code : "internal";
      if (code === "notAuthorised" || code === "tokenExpired" || code === "inviteRevoked" || code === "notAllowed") this.fault.value = code;
      this.offline.value = true;
    }
    if (!this.disposed && this.running.peek() && this.fault.peek() === null) this.pollSoon();
  }
}

/** Damage that was looked past once is not told again, however much more of it is found. */
function passName({ lane, stretch }: Stop): string {
  return `${lane.id} ${stretch.fromMs}`;
}
