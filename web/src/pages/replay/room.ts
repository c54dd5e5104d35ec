// Owns what one replay page holds of its own (which panel is open, which picture was chosen, where a clip begins and ends) and
// derives what it shows.

import { computed, signal } from "@preact/signals";
import type { ReadonlySignal, Signal } from "@preact/signals";
import { NARROW, watchMedia } from "../../components/media";
import type { RecordingId } from "../../protocol";
import type { Recorded, ReplayApi } from "../../replay/api";
import type { Lane } from "../../replay/lane";
import { Replay } from "../../replay/player";
import type { Told } from "./faults";
import { chooseMain, orderLanes } from "./view";

export type Panel = "log" | "marks" | null;
export type Question = "keys" | "export" | null;

export interface Room {
  readonly token: string;
  readonly id: RecordingId;
  readonly api: ReplayApi;
  readonly replay: Replay;
  readonly panel: Signal<Panel>;
  readonly question: Signal<Question>;
  readonly moreShown: Signal<boolean>;
  readonly tracksShown: Signal<boolean>;
  /** A telephone: fewer controls fit beside each other. */
  readonly narrow: ReadonlySignal<boolean>;
  /** The picture that the person chose. */
  readonly pinned: Signal<string | null>;
  readonly lanes: ReadonlySignal<readonly Lane[]>;
  readonly main: ReadonlySignal<Lane | null>;
  /** The moment that a mark is being written for; null while none is. */
  readonly markAtMs: Signal<number | null>;
  readonly inMs: Signal<number | null>;
  readonly outMs: Signal<number | null>;
  readonly clipTitle: Signal<string>;
  /** A clip is being cut on the server, whatever is open here. */
  readonly cutting: Signal<boolean>;
  readonly cutFault: Signal<Told | null>;
  /** Where the person drags to; the clock follows. */
  readonly scrubMs: Signal<number | null>;
  /** What did not work lately. */
  readonly failed: Signal<Told | null>;
  /** Cut from this recording; null until they were asked for. */
  readonly clips: Signal<readonly Recorded[] | null>;
  dispose(): void;
}

/** The main picture must not change at every look. */
const CHOSEN_EVERY_MS = 500;

export function createRoom(api: ReplayApi, token: string, id: RecordingId): Room {
  const replay = new Replay(api, id);
  const pinned = signal<string | null>(null);
  const lanes = computed(() => orderLanes(replay.lanes.value, replay.story.value));
  const coarseMs = computed(() => Math.floor(replay.atMs.value / CHOSEN_EVERY_MS) * CHOSEN_EVERY_MS);
  let last: string | null = null;
  const main = computed(() => {
    const known = replay.version.value >= 0 ? lanes.value : [];
    const found = chooseMain(known, coarseMs.value, pinned.value, last);
    last = found?.id ?? null;
    return found;
  });
  const narrow = watchMedia(NARROW);
  const follow = main.subscribe((lane) => (replay.main.value = lane?.id ?? null));
  return {
    token,
    id,
    api,
    replay,
    panel: signal<Panel>(null),
    question: signal<Question>(null),
    moreShown: signal(false),
    tracksShown: signal(false),
    narrow: narrow.matches,
    pinned,
    lanes,
    main,
    markAtMs: signal<number | null>(null),
    inMs: signal<number | null>(null),
    outMs: signal<number | null>(null),
    clipTitle: signal(""),
    cutting: signal(false),
    cutFault: signal<Told | null>(null),
    scrubMs: signal<number | null>(null),
    failed: signal<Told | null>(null),
    clips: signal<readonly Recorded[] | null>(null),
    dispose() {
      follow();
      narrow.end();
      replay.dispose();
    },
  };
}
