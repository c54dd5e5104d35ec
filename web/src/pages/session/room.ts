// Owns what one session page holds of its own (which panel is open, which picture was chosen) and derives what it shows.

import { computed, effect, signal } from "@preact/signals";
import type { ReadonlySignal, Signal } from "@preact/signals";
import { NARROW, watchMedia } from "../../components/media";
import type { Mark, MarkId, Participant, ParticipantId, TrackId } from "../../protocol";
import { ask } from "../../components/context";
import type { Client, RemoteTrack } from "../../state";
import type { StudyViewer } from "../../reading";
import { largeOfEvent } from "../../event/arrangement";
import { followGrowth } from "../reading/growth";
import { loadViewer } from "../reading/load";
import { Together } from "../reading/together";
import { LAYOUTS, mainPicture, secondPicture, visiblePictures } from "../view";
import type { Layout } from "../view";

export type Panel = "chat" | "people" | "questions" | "marks" | "send" | "studies" | null;
export type Flavour = "hub" | "satellite" | "viewer";
export type Question = "leave" | "keys" | "devices" | "recording" | "consent" | null;
/** What was just done with a mark, to be taken back by one press. */
export interface MarkDeed {
  readonly done: "added" | "removed";
  readonly mark: Mark;
}

/** A cough must not take the picture: somebody speaks only after this long. */
const SPEAKER_SETTLES_MS = 1_200;

/** A clinic's tablet needs the room for directions, a telephone for the picture; the figures are one key away. */
const FACTS_FROM: Readonly<Record<Flavour, string>> = {
  hub: "(min-width: 40rem)",
  satellite: "(min-width: 80rem)",
  viewer: "(min-width: 80rem)",
};

export interface Room {
  readonly client: Client;
  /** The own link's, for pages that open beside this one. */
  readonly token: string;
  readonly flavour: ReadonlySignal<Flavour>;
  readonly panel: Signal<Panel>;
  readonly question: Signal<Question>;
  readonly layout: Signal<Layout>;
  readonly pinned: Signal<TrackId | null>;
  readonly factsShown: Signal<boolean>;
  readonly moreShown: Signal<boolean>;
  /** What is written but not yet sent. */
  readonly draft: Signal<string>;
  /** The same of a question to the organisers. */
  readonly asking: Signal<string>;
  readonly markDeed: Signal<MarkDeed | null>;
  /** The mark whose note is being written. */
  readonly noting: Signal<MarkId | null>;
  /** A telephone: fewer controls fit beside each other. */
  readonly narrow: ReadonlySignal<boolean>;
  /** An event: its organiser decides how the stage is seen. */
  readonly event: ReadonlySignal<boolean>;
  /** The organiser's wall is before the eyes instead of the stage. */
  readonly wall: Signal<boolean>;
  /** Who comes next is heard only by a moderator who asks for it. */
  readonly heard: Signal<ParticipantId | null>;
  /** Whose sound is kept off. */
  readonly quiet: ReadonlySignal<ParticipantId | null>;
  readonly pictures: ReadonlySignal<readonly RemoteTrack[]>;
  readonly main: ReadonlySignal<RemoteTrack | null>;
  /** The large ones: one, two or all, by layout. */
  readonly large: ReadonlySignal<readonly RemoteTrack[]>;
  readonly people: ReadonlySignal<ReadonlyMap<ParticipantId, Participant>>;
  /** This person's part in reading studies together. */
  readonly together: Together<StudyViewer>;
  /** A study is before the eyes: it has the large place, and the picture that had it is small or beside it. */
  readonly reads: ReadonlySignal<boolean>;
  /** Studies that were in the list when it was open. */
  readonly studiesSeen: ReadonlySignal<ReadonlySet<string>>;
  noteStudiesSeen(): void;
  /** Makes a picture large, or lets it go; beside the study while there is one. */
  pin(track: TrackId): void;
  nextLayout(): void;
  dispose(): void;
}

export function createRoom(client: Client, token = ""): Room {
  const settledSpeaker = signal<ParticipantId | null>(null);
  const pinned = signal<TrackId | null>(null);
  const heard = signal<ParticipantId | null>(null);
  const layout = signal<Layout>("focus");
  /** What stays large while nothing better comes. */
  let last: TrackId | null = null;

  const flavour = computed<Flavour>(() => {
    const role = client.self.value?.role;
    if (role === "satellite" || role === "viewer") return role;
    return "hub";
  });
  const event = computed(() => client.session.value?.format === "event");
  const pictures = computed(() => visiblePictures(client.tracks.value, client.stage.value));
  const main = computed(() => {
    const found = mainPicture({
      pictures: pictures.value,
      pinned: pinned.value,
      last,
      speaker: settledSpeaker.value,
      ownFirst: flavour.value === "satellite",
    });
    last = found?.id ?? null;
    return found;
  });
  let lastLarge: ParticipantId | null = null;
  const arranged = computed<readonly RemoteTrack[]>(() => {
    const chosen = pictures.value.find(({ id }) => id === pinned.value);
    if (chosen) return [chosen];
    const { layout, main, second } = client.event;
    const found = largeOfEvent({
      layout: layout.value,
      main: main.value,
      second: second.value,
      stage: client.stage.value,
      pictures: pictures.value,
      speaker: settledSpeaker.value,
      last: lastLarge,
    });
    lastLarge = found[0]?.participant ?? null;
    return found;
  });
  const narrow = watchMedia(NARROW);
  const together = new Together<StudyViewer>(client, {
    nowMs: () => performance.now(),
    after,
    load: () => loadViewer(token, client.self.peek()?.name ?? ""),
    ask,
  });
  const stopGrowing = followGrowth(together.viewer, client.reading.studies, after);
  const noteSeen = (uids: readonly string[]): void => {
    if (uids.some((uid) => !studiesSeen.peek().has(uid))) studiesSeen.value = new Set([...studiesSeen.peek(), ...uids]);
  };
  // What is shown to all is seen by who looks along.
  const stopSeeing = effect(() => {
    const shown = together.viewer.value === null ? null : together.common.value;
    if (shown !== null) noteSeen([shown]);
  });
  const reads = computed(() => together.stage.value !== "closed");
  const large = computed<readonly RemoteTrack[]>(() => {
    const first = (event.value ? arranged.value[0] : null) ?? main.value;
    if (reads.value) return first && layout.value !== "focus" && !narrow.matches.value ? [first] : [];
    if (event.value) return arranged.value;
    if (layout.value === "grid") return pictures.value.filter(({ own, source }) => !(own && source === "screen"));
    if (!first) return [];
    const second = layout.value === "pair" ? secondPicture(pictures.value, first) : null;
    return second ? [first, second] : [first];
  });

  const studiesSeen = signal<ReadonlySet<string>>(new Set());

  let timer: ReturnType<typeof setTimeout> | undefined;
  let loudest: ParticipantId | null = null;
  const unsubscribe = client.speakers.subscribe((speakers) => {
    const now = speakers[0]?.participant ?? null;
    if (now === loudest) return;
    loudest = now;
    clearTimeout(timer);
    // Silence changes nothing: who spoke last stays large.
    if (now !== null) timer = setTimeout(() => (settledSpeaker.value = now), SPEAKER_SETTLES_MS);
  });

  return {
    client,
    token,
    flavour,
    panel: signal<Panel>(null),
    question: signal<Question>(null),
    layout,
    pinned,
    factsShown: signal(roomForFacts(flavour.peek())),
    moreShown: signal(false),
    draft: signal(""),
    asking: signal(""),
    markDeed: signal<MarkDeed | null>(null),
    noting: signal<MarkId | null>(null),
    narrow: narrow.matches,
    event,
    wall: signal(false),
    heard,
    quiet: computed(() => {
      const cue = client.event.cue.value;
      return cue === null || cue === heard.value || client.stage.value.includes(cue) ? null : cue;
    }),
    pictures,
    main: computed(() => (event.value ? (arranged.value[0] ?? null) : main.value)),
    large,
    people: computed(() => new Map(client.participants.value.map((person) => [person.id, person]))),
    together,
    reads,
    studiesSeen,
    noteStudiesSeen() {
      noteSeen(client.reading.studies.peek().map(({ uid }) => uid));
    },
    pin(track) {
      const beside = reads.peek() && layout.peek() === "focus";
      if (beside) layout.value = "pair";
      pinned.value = pinned.peek() === track && !beside ? null : track;
    },
    nextLayout() {
      const index = LAYOUTS.indexOf(layout.value);
      layout.value = LAYOUTS[(index + 1) % LAYOUTS.length] ?? "focus";
    },
    dispose() {
      clearTimeout(timer);
      unsubscribe();
      stopGrowing();
      stopSeeing();
      together.dispose();
      narrow.end();
    },
  };
}

function after(delayMs: number, callback: () => void): () => void {
  const timer = setTimeout(callback, delayMs);
  return () => clearTimeout(timer);
}

function roomForFacts(flavour: Flavour): boolean {
  return window.matchMedia(FACTS_FROM[flavour]).matches;
}
