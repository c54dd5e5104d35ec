// Owns the studies and series that are open in this browser, each asked for once. What could not be had says why, and can be asked
// for again; what nobody looks at any more is kept for a while, and not without bounds.

import type { Signal } from "@preact/signals";
import { ApiError } from "../api";
import { videosAmong } from "./loading/api";
import type { OpenStudy, StudyApi } from "./loading/api";
import { Places } from "./loading/places";
import type { Loading } from "./loading/places";
import { picturesOf, seriesOf } from "./model";
import type { Picture, Series, SeriesHead } from "./model";

export type { OpenStudy } from "./loading/api";
export type { Loading } from "./loading/places";

/** Pictures of series that nobody looks at: what is known of one takes about a kilobyte. */
const IDLE_PICTURES = 5_000;
const IDLE_STUDIES = 8;
/** Small pictures of series give way to the first picture of what is being opened, but for no longer than this. */
const GIVE_WAY_MS = 3_000;
const SMALL_AT_ONCE = 2;

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
  private timer: ReturnType<typeof setTimeout> | undefined;

  /** `onFirst` is told of the first object of a series before the others have come. */
  constructor(
    private readonly api: StudyApi,
    private readonly onFirst: (picture: Picture) => void = () => undefined,
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
        return this.openSeries(study, uid, signal);
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

  /** A picture is there: the line is free for the small ones of series. */
  pictureCame(): void {
    if (this.giveWayUntilMs === 0) return;
    this.giveWayUntilMs = 0;
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
          if (known && known.instances !== head.instances) this.series.put(key, await this.made(head, this.metadata(uid, head.uid, this.stop.signal)));
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

  private async openSeries(study: string, uid: string, signal: AbortSignal): Promise<Series> {
    // Who follows knows the series before the study: both are asked for at once then.
    const metadata = this.metadata(study, uid, signal, this.onFirst);
    metadata.catch(() => undefined);
    const open = await this.studies.answer(study);
    const head = open.series.find((each) => each.uid === uid);
    if (!head) throw new ApiError("notFound", "no such series");
    return this.made(head, metadata);
  }

  private metadata(study: string, series: string, signal: AbortSignal, onFirst?: (picture: Picture) => void): ReturnType<StudyApi["metadata"]> {
    return this.api.metadata(study, series, signal, (dataset) => {
      if (!onFirst || videosAmong([dataset]).size > 0) return;
      const [picture] = picturesOf(dataset, { study, uid: series });
      if (picture) onFirst(picture);
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
