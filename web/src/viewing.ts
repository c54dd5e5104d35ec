// Owns telling the server how tall each picture is shown here, so that no more than that is sent. Knows no elements.

import type { TrackId } from "./protocol";

/** A layout settles within this. */
const DEBOUNCE_MS = 250;
/** Sizes are told in steps: dragging a window's edge is not news. */
const STEP_PX = 60;
/** A page out of sight for so long stops its pictures; a glance at another window does not. */
export const HIDDEN_AFTER_MS = 10_000;

export interface ViewingSurroundings {
  after(delayMs: number, callback: () => void): () => void;
  /** True if it was told; else it is told again later. */
  tell(track: TrackId, maxHeight: number): Promise<boolean>;
}

export class Viewing {
  readonly #shown = new Map<TrackId, number>();
  readonly #told = new Map<TrackId, number>();
  #hidden = false;
  #cancel: (() => void) | null = null;

  constructor(private readonly surroundings: ViewingSurroundings) {}

  show(track: TrackId, heightPx: number): void {
    this.#shown.set(track, Math.ceil(Math.max(0, heightPx) / STEP_PX) * STEP_PX);
    this.#soon();
  }

  /** The whole page is out of sight, or back. */
  setHidden(hidden: boolean): void {
    if (this.#hidden === hidden) return;
    this.#hidden = hidden;
    // Coming back shows at once; going away may wait.
    if (hidden) this.#soon();
    else this.#flush();
  }

  /** The track ended. */
  forget(track: TrackId): void {
    this.#shown.delete(track);
    this.#told.delete(track);
  }

  /** A new seat: the server has forgotten all that it was told, and there are only these tracks. */
  begin(tracks: ReadonlySet<TrackId>): void {
    this.#told.clear();
    for (const track of this.#shown.keys()) if (!tracks.has(track)) this.#shown.delete(track);
    this.#soon();
  }

  /** Wishes that could not be told are told now. */
  resume(): void {
    this.#soon();
  }

  #soon(): void {
    this.#cancel ??= this.surroundings.after(DEBOUNCE_MS, () => this.#flush());
  }

  #flush(): void {
    this.#cancel?.();
    this.#cancel = null;
    for (const [track, height] of this.#shown) {
      const wanted = this.#hidden ? 0 : height;
      if (this.#told.get(track) === wanted) continue;
      this.#told.set(track, wanted);
      void this.surroundings.tell(track, wanted).then((told) => {
        if (!told && this.#told.get(track) === wanted) this.#told.delete(track);
      });
    }
  }
}
