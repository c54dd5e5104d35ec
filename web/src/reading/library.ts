// Owns the studies and series that are open in this browser, each asked for once. What could not be had says why, and can be asked
// for again; what nobody looks at any more is kept for a while, and not without bounds.

import type { Signal } from "@preact/signals";
import { ApiError } from "../api";
import { videosAmong } from "./loading/api";
import type { OpenStudy, StudyApi } from "./loading/api";
import { Places } from "./loading/places";
import type { Loading } from "./loading/places";
import { beginningOf, seriesOf } from "./model";
import type { Series, SeriesHead } from "./model";

export type { OpenStudy } from "./loading/api";
export type { Loading } from "./loading/places";

/** Pictures of series that nobody looks at: what is known of one takes about a kilobyte. */
const IDLE_PICTURES = 5_000;
const IDLE_STUDIES = 8;
/** Small pictures of series give way to the first picture of what is being opened, but for no longer than this. */
const GIVE_WAY_MS = 3_000;
const SMALL_AT_ONCE = 2;
/** The others of a series are asked for so long after its first picture: they come just behind it on a thin line, and on a long one no time is lost. */
export const BEHIND_MS = 250;
const AGAIN_MS = 500;
const AGAIN_MOST_MS = 8_000;

interface Small {
  readonly address: Promise<string | null>;
  readonly begin: () => void;
}

export class Library {
  private readonly studies: Places<OpenStudy>;
  private readonly series: Places<Series>;
  private readonly small = new Map<string, Small>();
  private readonly queue: Small[] = [];
  private readonly stop = new AbortController();
  private running = 0;
  private giveWayUntilMs = 0;
  private readonly waiting = new Set<() => void>();
  private timer: ReturnType<typeof setTimeout> | undefined;

  /** `isFromStart`: somebody opens this series at its beginning, and sees a picture before it is known how many there are. */
  constructor(
    private readonly api: StudyApi,
    private readonly isFromStart: (series: string) => boolean = () => false,
  ) {
    this.studies = new Places({
      ask: (uid, signal) => {
        this.giveWay();
        return api.openStudy(uid, signal);
      },
      weigh: () => 1,
      limit: IDLE_STUDIES,
      gone: (uid) => this.forgetSmall((key) => key.startsWith(`${uid}/`)),
    });
    this.series = new Places({
      ask: (key, signal) => {
        this.giveWay();
        const [study = "", uid = ""] = key.split("/");
        return this.openSeries(key, study, uid, signal);
      },
      weigh: ({ pictures, instancesOf }) => pictures.length + instancesOf.length,
      limit: IDLE_PICTURES,
    });
  }

  study(uid: string): Signal<Loading<OpenStudy>> {
    return this.studies.at(uid);
  }

  seriesOf(study: string, uid: string): Signal<Loading<Series>> {
    return this.series.at(`${study}/${uid}`);
  }

  /** What could not be had is asked for once more. */
  again(): void {
    this.studies.again();
    this.series.again();
  }

  /** A picture is there: the line is free for what gave way to it. */
  pictureCame(): void {
    if (this.giveWayUntilMs === 0) return;
    this.giveWayUntilMs = 0;
    for (const go of this.waiting) go();
    this.goOn();
  }

  /** The study grew: what is known of it is asked for anew, and stays until then. Returns whether all of it came. */
  async refresh(uid: string): Promise<boolean> {
    const before = this.studies.known(uid);
    if (!before) return true;
    try {
      const next = await this.api.openStudy(uid, this.stop.signal);
      await Promise.all(
        next.series.map(async (head) => {
          const key = `${uid}/${head.uid}`;
          const known = this.series.known(key);
          if (known && known.instances !== head.instances) this.series.put(key, await this.made(head, this.api.metadata(uid, head.uid, this.stop.signal)));
        }),
      );
      // Of a series that held nothing there was no small picture.
      const wereEmpty = before.series.filter(({ instances }) => instances === 0).map((head) => `${uid}/${head.uid}`);
      this.forgetSmall((key) => wereEmpty.includes(key));
      this.studies.put(uid, next);
      return true;
    } catch {
      return false;
    }
  }

  /** An address of the series' small picture; null where there is none. */
  thumbnail(study: string, series: string): Promise<string | null> {
    const key = `${study}/${series}`;
    let small = this.small.get(key);
    if (!small) {
      small = this.ask(key, study, series);
      this.small.set(key, small);
      this.queue.push(small);
      this.goOn();
    }
    return small.address;
  }

  close(): void {
    clearTimeout(this.timer);
    this.stop.abort();
    this.studies.close();
    this.series.close();
    this.queue.length = 0;
    this.forgetSmall(() => true);
  }

  // ---- series

  private async openSeries(key: string, study: string, uid: string, signal: AbortSignal): Promise<Series> {
    const isFromStart = this.isFromStart(uid);
    // Who follows to another place knows the series before the study: both are asked for at once then.
    const early = isFromStart ? null : this.api.metadata(study, uid, signal);
    early?.catch(() => undefined);
    const open = await this.studies.answer(study);
    const head = open.series.find((each) => each.uid === uid);
    if (!head) throw new ApiError("notFound", "no such series");
    const first = open.firsts.get(uid);
    const beginning = isFromStart && first && head.instances > 1 ? beginningOf(head, first) : null;
    if (beginning && !signal.aborted) {
      this.series.put(key, beginning);
      await this.behindPicture(signal);
      return this.made(head, this.persistently(study, uid, signal));
    }
    return this.made(head, early ?? this.api.metadata(study, uid, signal));
  }

  /** The picture that is there already does not go because the line breaks: what belongs to it is asked for until it comes. */
  private async persistently(study: string, uid: string, signal: AbortSignal): ReturnType<StudyApi["metadata"]> {
    for (let waitMs = AGAIN_MS; ; waitMs = Math.min(AGAIN_MOST_MS, 2 * waitMs)) {
      try {
        return await this.api.metadata(study, uid, signal);
      } catch (error) {
        if (signal.aborted || !(error instanceof ApiError) || !["network", "tooMany", "shuttingDown"].includes(error.code)) throw error;
      }
      await new Promise((resolve) => setTimeout(resolve, waitMs));
    }
  }

  private behindPicture(signal: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      const go = (): void => {
        clearTimeout(timer);
        this.waiting.delete(go);
        signal.removeEventListener("abort", go);
        resolve();
      };
      const timer = setTimeout(go, BEHIND_MS);
      this.waiting.add(go);
      signal.addEventListener("abort", go);
    });
  }

  private async made(head: SeriesHead, coming: ReturnType<StudyApi["metadata"]>): Promise<Series> {
    const metadata = await coming;
    return seriesOf(head, metadata, videosAmong(metadata));
  }

  // ---- small pictures of series

  private ask(key: string, study: string, series: string): Small {
    let begin = (): void => undefined;
    const turn = new Promise<void>((resolve) => (begin = resolve));
    const asked = async (): Promise<string | null> => {
      await turn;
      try {
        return URL.createObjectURL(await this.api.thumbnail(study, series, this.stop.signal));
      } catch (error) {
        // Where the line broke, it is asked for again by who looks next.
        if (error instanceof ApiError && error.code === "network") this.small.delete(key);
        return null;
      } finally {
        this.running -= 1;
        this.goOn();
      }
    };
    return { address: asked(), begin };
  }

  private giveWay(): void {
    this.giveWayUntilMs = performance.now() + GIVE_WAY_MS;
  }

  private goOn(): void {
    clearTimeout(this.timer);
    if (this.stop.signal.aborted || this.queue.length === 0) return;
    const waitMs = this.giveWayUntilMs - performance.now();
    if (waitMs > 0) {
      this.timer = setTimeout(() => this.goOn(), waitMs);
      return;
    }
    while (this.running < SMALL_AT_ONCE) {
      const next = this.queue.shift();
      if (!next) return;
      this.running += 1;
      next.begin();
    }
  }

  private forgetSmall(isGone: (key: string) => boolean): void {
    for (const [key, { address }] of this.small) {
      if (!isGone(key)) continue;
      this.small.delete(key);
      void address.then((made) => made !== null && URL.revokeObjectURL(made));
    }
  }
}
