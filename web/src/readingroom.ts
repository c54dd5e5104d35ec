// Owns what is known of reading together: the session's studies, who leads, how far the readers are, the newest common view.
// Knows neither the connection nor the viewer, and no meaning of a slot but that another study empties the others.

import { batch, signal } from "@preact/signals";
import type { News, ParticipantId, Reader, Study, ViewSlots } from "./protocol";

export class ReadingRoom {
  readonly studies = signal<readonly Study[]>([]);
  readonly leader = signal<ParticipantId | null>(null);
  readonly asking = signal<readonly ParticipantId[]>([]);
  readonly readers = signal<readonly Reader[]>([]);
  readonly view = signal<ViewSlots>({});

  /** A new seat: what was known before may have been another server's life. The server tells the rest anew. */
  snapshot(): void {
    batch(() => {
      this.studies.value = [];
      this.leader.value = null;
      this.asking.value = [];
      this.readers.value = [];
      this.view.value = {};
    });
  }

  hear(news: News): void {
    switch (news.type) {
      case "studiesListed":
        this.studies.value = inOrder(news.studies);
        break;
      case "studyChanged":
        this.studies.value = inOrder([news.study, ...this.studies.value.filter(({ uid }) => uid !== news.study.uid)]);
        break;
      case "readingChanged":
        batch(() => {
          this.leader.value = news.leader;
          this.asking.value = news.asking;
        });
        break;
      case "readersChanged":
        this.readers.value = news.readers;
        break;
      case "viewChanged":
        this.view.value = news.whole ? without(news.changes) : changed(this.view.value, news.changes);
        break;
    }
  }

  /** What we changed ourselves, once the server has taken it. */
  taken(changes: ViewSlots): void {
    this.view.value = changed(this.view.value, changes);
  }
}

/** The view after these changes. */
export function changed(view: ViewSlots, changes: ViewSlots): ViewSlots {
  const anew = "study" in changes && (changes.study ?? null) !== (view.study ?? null);
  return without(anew ? changes : { ...view, ...changes });
}

/** Slots of the one that are other, or none, in the other: what makes `from` into `to`. */
export function difference(from: ViewSlots, to: ViewSlots): ViewSlots {
  const gone = Object.keys(from).filter((name) => !(name in to));
  const other = Object.entries(to).filter(([name, value]) => JSON.stringify(from[name]) !== JSON.stringify(value));
  return Object.fromEntries([...gone.map((name) => [name, null] as const), ...other]);
}

function without(slots: ViewSlots): ViewSlots {
  return Object.fromEntries(Object.entries(slots).filter(([, value]) => value !== null));
}

/** The newest first, whatever grows: a list must not move under a finger. */
function inOrder(studies: readonly Study[]): readonly Study[] {
  return [...studies].sort((a, b) => b.receivedAt - a.receivedAt || (a.uid < b.uid ? -1 : 1));
}
