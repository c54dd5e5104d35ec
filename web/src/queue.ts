// Owns one thing: that work which must not overlap does not, and that a burst of wishes becomes one run.

/** Runs `work` when poked; pokes during a run lead to exactly one more run after it. Never rejects. */
export class Coalescer {
  #running = false;
  #again = false;
  #closed = false;

  /** `work` must deal with its own errors: what it throws is handed to `failed`. */
  constructor(
    private readonly work: () => Promise<void>,
    private readonly failed: (error: unknown) => void,
  ) {}

  poke(): void {
    if (this.#closed) return;
    if (this.#running) {
      this.#again = true;
      return;
    }
    void this.#run();
  }

  /** No run begins after this; one that is under way ends by itself. */
  close(): void {
    this.#closed = true;
    this.#again = false;
  }

  async #run(): Promise<void> {
    this.#running = true;
    try {
      do {
        this.#again = false;
        await this.work();
      } while (this.#wanted());
    } catch (error) {
      this.failed(error);
    } finally {
      this.#running = false;
    }
    // A poke that came while the failed run ended is still owed.
    if (this.#wanted()) void this.#run();
  }

  #wanted(): boolean {
    return this.#again && !this.#closed;
  }
}

/** One after the other, in order; a failure of one does not stop the next. */
export class Serial {
  #tail: Promise<unknown> = Promise.resolve();

  run<T>(work: () => Promise<T>): Promise<T> {
    const result = this.#tail.then(work, work);
    this.#tail = result.catch(() => undefined);
    return result;
  }
}
