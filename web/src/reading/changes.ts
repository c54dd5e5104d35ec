// Owns when changes of the view are told on: gathered, at most so often, the last ones always. Knows no network.

import type { View } from "./view";

export const TOLD_EVERY_MS = 50;

export class Changes {
  private waiting: Record<string, unknown> = {};
  private timer: ReturnType<typeof setTimeout> | null = null;
  private lastAt = -Infinity;

  constructor(
    private readonly tell: (changes: View) => void,
    private readonly now: () => number = () => performance.now(),
  ) {}

  add(changes: View): void {
    // Of the old study nothing is of use any more.
    if (typeof changes.study === "string") this.waiting = {};
    Object.assign(this.waiting, changes);
    if (this.timer !== null) return;
    const waitMs = Math.max(0, this.lastAt + TOLD_EVERY_MS - this.now());
    if (waitMs === 0) this.flush();
    else this.timer = setTimeout(() => this.flush(), waitMs);
  }

  /** Nothing of what waits is told any more: somebody else's view counts now. */
  drop(names: Iterable<string>): void {
    for (const name of names) Reflect.deleteProperty(this.waiting, name);
  }

  close(): void {
    if (this.timer !== null) clearTimeout(this.timer);
    this.waiting = {};
  }

  private flush(): void {
    this.timer = null;
    const changes = this.waiting;
    this.waiting = {};
    if (Object.keys(changes).length === 0) return;
    this.lastAt = this.now();
    this.tell(changes);
  }
}
