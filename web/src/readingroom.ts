// Owns what is known of reading together: the session's studies, who leads, how far the readers are, the newest common view.
// Knows neither the connection nor the viewer, and no meaning of a slot but that another study empties the others.

import { batch, signal } from "@preact/signals";
import type { News, ParticipantId, Reader, Study, ViewSlots } from "./protocol";

/** What a person should be told at once. */
export interface ReadingNews {
  studyCame(study: Study): void;
  /** The lead is with another now, or with nobody. */
  leadChanged(leader: ParticipantId | null, before: ParticipantId | null): void;
  /** Somebody asks for the lead who did not before. */
  leadAsked(who: ParticipantId): void;
}

export class ReadingRoom {
  readonly studies = signal<readonly Study[]>([]);
  readonly leader = signal<ParticipantId | null>(null);
  readonly asking = signal<readonly ParticipantId[]>([]);
  readonly readers = signal<readonly Reader[]>([]);
  readonly view = signal<ViewSlots>({});
  /** Raised each time the server says the whole view. */
  readonly renewed = signal(0);

  constructor(private readonly news: ReadingNews) {}

  hear(news: News): void {
    switch (news.type) {
      case "studiesListed":
        this.studies.value = inOrder(news.studies);
        break;
      case "studyChanged":
        this.#studyChanged(news.study);
        break;
      case "readingChanged":
        this.#leadChanged(news.leader, news.asking);
        break;
      case "readersChanged":
        this.readers.value = news.readers;
        break;
      case "viewChanged":
        batch(() => {
          this.view.value = news.whole ? without(news.changes) : changed(this.view.value, news.changes);
          if (news.whole) this.renewed.value += 1;
        });
        break;
    }
  }

  /** What we changed ourselves, once the server has taken it. */
  taken(changes: ViewSlots): void {
    this.view.value = changed(this.view.value, changes);
  }

  #studyChanged(study: Study): void {
    const others = this.studies.value.filter(({ uid }) => uid !== study.uid);
    const isNew = others.length === this.studies.value.length;
    this.studies.value = inOrder([study, ...others]);
    if (isNew && study.arriving) this.news.studyCame(study);
  }

  #leadChanged(leader: ParticipantId | null, asking: readonly ParticipantId[]): void {
    const before = { leader: this.leader.value, asking: this.asking.value };
    batch(() => {
      this.leader.value = leader;
      this.asking.value = asking;
    });
    if (leader !== before.leader) this.news.leadChanged(leader, before.leader);
    for (const who of asking) if (!before.asking.includes(who)) this.news.leadAsked(who);
  }
}

/** The view after these changes. */
export function changed(view: ViewSlots, changes: ViewSlots): ViewSlots {
  const anew = "study" in changes && (changes.study ?? null) !== (view.study ?? null);
  return without(anew ? changes : { ...view, ...changes });
}

/** What makes the one view into the other; of another study all that it has. */
export function difference(from: ViewSlots, to: ViewSlots): ViewSlots {
  if ((from.study ?? null) !== (to.study ?? null)) return { ...to, study: to.study ?? null };
  const gone = Object.keys(from).filter((name) => !(name in to));
  const other = Object.entries(to).filter(([name, value]) => from[name] !== value && JSON.stringify(from[name]) !== JSON.stringify(value));
  return Object.fromEntries([...gone.map((name) => [name, null] as const), ...other]);
}

function without(slots: ViewSlots): ViewSlots {
  return Object.fromEntries(Object.entries(slots).filter(([, value]) => value !== null));
}

/** The newest first, whatever grows: a list must not move under a finger. */
function inOrder(studies: readonly Study[]): readonly Study[] {
  return [...studies].sort((a, b) => b.receivedAt - a.receivedAt || (a.uid < b.uid ? -1 : 1));
}
