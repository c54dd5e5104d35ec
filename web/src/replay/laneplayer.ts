// Owns one element that plays one lane, brought to the common clock at every look. Knows no page: the element is given to it.

import { signal } from "@preact/signals";
import type { ReadonlySignal } from "@preact/signals";
import type { ApiError } from "../api";
import { MediaBuffer } from "./buffer";
import { AHEAD_MS, Feeder } from "./feeder";
import type { Bad, Lane } from "./lane";
import { LOUD_RATE_MAX, correct } from "./playclock";

/** Not sought again so shortly after: some browsers need that long until they tell the truth. */
const SEEK_SETTLES_MS = 1_000;
/** Sought at once, however shortly after another seek. */
const FAR_S = 2;
/** As exact as a frame can be shown while nothing moves. */
const EXACT_S = 0.0005;
const AHEAD_AT_MOST_MS = 60_000;
const SAME_RATE = 0.004;
/** A shorter hole is not worth telling of. */
const HOLE_TOLD_MS = 400;

/** `nothing`: the lane has nothing for this time. `loading`: it has, and it is not there yet. */
export type Shown = "nothing" | "loading" | "there" | Bad;

export interface Look {
  readonly atMs: number;
  readonly nowMs: number;
  readonly rate: number;
  /** The clock runs. */
  readonly running: boolean;
  /** This element counts its own time, and the clock follows it. */
  readonly leads: boolean;
}

export interface LanePlayerOptions {
  readonly lane: Lane;
  readonly element: HTMLMediaElement;
  readonly load: (track: number, part: number, signal: AbortSignal) => Promise<ArrayBuffer>;
  readonly onChange: () => void;
  readonly onRefused: (error: ApiError) => void;
  /** The browser wants a press before it gives sound. */
  readonly onSoundRefused: () => void;
}

export class LanePlayer {
  readonly lane: Lane;
  readonly element: HTMLMediaElement;
  readonly muted = signal(false);
  /** The line is down: it keeps trying. */
  readonly offline = signal(false);
  private readonly shownNow = signal<Shown>("loading");
  private buffer: MediaBuffer;
  private feeder: Feeder;
  private soughtMs = -Infinity;
  private nothingSinceMs = Infinity;

  constructor(private readonly options: LanePlayerOptions) {
    this.lane = options.lane;
    this.element = options.element;
    this.element.preload = "auto";
    this.element.addEventListener("error", this.onError);
    this.buffer = new MediaBuffer(this.element);
    this.feeder = this.newFeeder();
  }

  get shown(): ReadonlySignal<Shown> {
    return this.shownNow;
  }

  /** Of the element, on the recording's clock; null while it cannot be told. */
  timeMs(): number | null {
    const { paused, seeking, readyState, currentTime } = this.element;
    const steady = !paused && !seeking && readyState >= HTMLMediaElement.HAVE_FUTURE_DATA && this.shownNow.peek() === "there";
    return steady ? currentTime * 1000 : null;
  }

  /** Whether its sound is to be heard now, so that it takes a moment to begin. */
  get sounds(): boolean {
    return this.lane.kind === "audio" && this.shownNow.peek() === "there";
  }

  /** Brings it to the clock. Returns whether it could play on now. */
  follow(look: Look): boolean {
    this.feeder.follow(look.atMs, Math.min(AHEAD_AT_MOST_MS, AHEAD_MS * Math.max(1, look.rate)));
    const shown = this.look(look.atMs);
    this.tell(shown, look.nowMs);
    if (shown !== "there") {
      this.rest(look);
      return shown !== "loading";
    }
    return this.play(look);
  }

  dispose(): void {
    this.element.removeEventListener("error", this.onError);
    this.feeder.dispose();
    this.buffer.dispose();
  }

  private look(atMs: number): Shown {
    const moment = this.lane.at(atMs);
    if (moment.kind === "nothing") return "nothing";
    if (moment.kind === "bad") return moment.bad;
    if (this.buffer.nearest(atMs / 1000) !== null) return "there";
    // Taken in, and yet the browser has nothing to show for it: a hole within the piece.
    return this.feeder.has(moment.piece) && !this.buffer.busy ? "nothing" : "loading";
  }

  private tell(shown: Shown, nowMs: number): void {
    if (shown !== "nothing") this.nothingSinceMs = Infinity;
    else if (this.nothingSinceMs === Infinity) this.nothingSinceMs = nowMs;
    if (shown !== "nothing" || this.shownNow.peek() !== "there" || nowMs - this.nothingSinceMs >= HOLE_TOLD_MS) {
      this.shownNow.value = shown;
    }
  }

  private rest({ atMs, nowMs }: Look): void {
    if (!this.element.paused) this.element.pause();
    const moment = this.lane.at(atMs);
    if (moment.kind !== "nothing" || moment.nextMs === null) return;
    // To the place where it will go on.
    const placeS = this.buffer.nearest(moment.nextMs / 1000);
    if (placeS !== null && !this.element.seeking && Math.abs(this.element.currentTime - placeS) > EXACT_S) this.seek(placeS, nowMs);
  }

  private play(look: Look): boolean {
    const { element } = this;
    const placeS = this.buffer.nearest(look.atMs / 1000) ?? look.atMs / 1000;
    const offS = element.currentTime - placeS;
    const quiet = this.muted.peek() || look.rate > LOUD_RATE_MAX || this.lane.kind === "video";
    if (element.muted !== quiet) element.muted = quiet;
    // A seek that is under way to another place is given up for this one.
    if (element.seeking) {
      if (!look.running && Math.abs(offS) > EXACT_S) this.seek(placeS, look.nowMs);
      return false;
    }
    if (!look.running) {
      if (!element.paused) element.pause();
      if (Math.abs(offS) > EXACT_S) {
        this.seek(placeS, look.nowMs);
        return false;
      }
      return element.readyState >= HTMLMediaElement.HAVE_CURRENT_DATA;
    }
    const correction = correct(offS, look.rate, Math.abs(element.playbackRate - look.rate) > SAME_RATE);
    const stuck = this.buffer.nearest(element.currentTime) === null;
    if (stuck || (correction.kind === "seek" && (look.nowMs - this.soughtMs > SEEK_SETTLES_MS || Math.abs(offS) > FAR_S))) {
      this.seek(placeS, look.nowMs);
      return false;
    }
    const rate = look.leads || correction.kind === "seek" ? look.rate : correction.rate;
    if (Math.abs(element.playbackRate - rate) > SAME_RATE) element.playbackRate = rate;
    if (element.paused) this.start();
    return element.readyState >= HTMLMediaElement.HAVE_FUTURE_DATA;
  }

  private seek(toS: number, nowMs: number): void {
    this.soughtMs = nowMs;
    this.element.currentTime = toS;
  }

  private start(): void {
    this.element.play().catch((error: unknown) => {
      if (error instanceof DOMException && error.name === "NotAllowedError") this.options.onSoundRefused();
    });
  }

  private readonly onError = (): void => {
    // Only the decoder's word counts; an emptied element says so too.
    if (this.element.error?.code !== MediaError.MEDIA_ERR_DECODE) return;
    const moment = this.lane.at(this.element.currentTime * 1000);
    if (moment.kind === "there") this.lane.spoil(moment.piece, "damaged");
    this.rebuild();
    this.options.onChange();
  };

  private rebuild(): void {
    this.feeder.dispose();
    this.buffer.dispose();
    this.buffer = new MediaBuffer(this.element);
    this.offline.value = false;
    this.feeder = this.newFeeder();
  }

  private newFeeder(): Feeder {
    const { lane, load, onChange, onRefused } = this.options;
    return new Feeder({
      lane,
      store: this.buffer,
      load,
      plays: (mediaType) => MediaBuffer.plays(mediaType),
      onChange,
      onRefused,
      offline: this.offline,
      onBroken: () => {
        this.rebuild();
        onChange();
      },
    });
  }
}
