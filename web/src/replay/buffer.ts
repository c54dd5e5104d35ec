// Owns one MediaSource with one SourceBuffer behind one element, as a line of operations of which each waits for the one before.
// Knows bytes and media types; not where they come from.

/** The recording may grow, and seeking needs a duration that does not get in the way. */
const DURATION_S = 7 * 24 * 3600;

/** Times of parts are whole milliseconds, and sound begins with what its decoder needs to settle. */
const SOON_S = 0.05;

export class BufferBroken extends Error {
  override readonly name = "BufferBroken";
}

export class MediaBuffer {
  private readonly source = new MediaSource();
  private readonly url = URL.createObjectURL(this.source);
  private buffer: SourceBuffer | null = null;
  private mediaType = "";
  private last: Promise<void>;
  private gone = false;

  constructor(private readonly element: HTMLMediaElement) {
    this.last = new Promise((opened) => this.source.addEventListener("sourceopen", () => opened(), { once: true }));
    element.src = this.url;
  }

  static plays(mediaType: string): boolean {
    return typeof MediaSource !== "undefined" && MediaSource.isTypeSupported(mediaType);
  }

  get busy(): boolean {
    return this.buffer?.updating === true;
  }

  /** Raises BufferBroken if the browser cannot make anything of it. */
  append(mediaType: string, data: ArrayBuffer): Promise<void> {
    return this.next(async () => {
      if (this.buffer === null) {
        this.source.duration = DURATION_S;
        this.buffer = this.source.addSourceBuffer(mediaType);
      } else if (mediaType !== this.mediaType) {
        this.buffer.changeType(mediaType);
      }
      this.mediaType = mediaType;
      const { buffer } = this;
      await this.done(buffer, () => buffer.appendBuffer(data));
    });
  }

  /** Seconds. */
  remove(from: number, to: number): Promise<void> {
    return this.next(async () => {
      const { buffer } = this;
      if (buffer !== null && to > from) await this.done(buffer, () => buffer.remove(from, to));
    });
  }

  /** Forgets everything, what is still being taken in included. */
  clear(): Promise<void> {
    if (this.buffer !== null && this.source.readyState === "open" && !this.gone) {
      try {
        this.buffer.abort();
      } catch {
        // Being removed from just now: what follows waits for that.
      }
    }
    return this.remove(0, DURATION_S);
  }

  /** The nearest time that can be shown: this one, or where something begins a moment later. Null if there is none. */
  nearest(atS: number): number | null {
    const ranges = this.buffer !== null && this.source.readyState === "open" ? this.buffer.buffered : null;
    for (let i = 0; ranges !== null && i < ranges.length; i++) {
      const start = ranges.start(i);
      if (atS < ranges.end(i) && start - SOON_S <= atS) return Math.max(atS, start);
    }
    return null;
  }

  dispose(): void {
    this.gone = true;
    this.element.removeAttribute("src");
    this.element.load();
    URL.revokeObjectURL(this.url);
  }

  private next(deed: () => Promise<void>): Promise<void> {
    const mine = this.last.then(async () => {
      if (this.gone) return;
      if (this.source.readyState !== "open" || this.element.error !== null) throw new BufferBroken("the buffer was given up");
      await deed();
    });
    this.last = mine.catch(() => undefined);
    return mine;
  }

  private done(buffer: SourceBuffer, begin: () => void): Promise<void> {
    return new Promise((resolve, reject) => {
      let failed = false;
      const onError = (): void => {
        failed = true;
      };
      const onEnd = (): void => {
        buffer.removeEventListener("error", onError);
        buffer.removeEventListener("updateend", onEnd);
        if (failed) reject(new BufferBroken("these bytes cannot be played"));
        else resolve();
      };
      buffer.addEventListener("error", onError);
      buffer.addEventListener("updateend", onEnd);
      try {
        begin();
      } catch (error) {
        buffer.removeEventListener("error", onError);
        buffer.removeEventListener("updateend", onEnd);
        reject(error instanceof DOMException ? error : new BufferBroken(String(error)));
      }
    });
  }
}
