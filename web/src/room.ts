// Owns what is known of the session: the snapshot, and the numbered changes applied to it, as signals.
// Knows neither the connection nor media; what a person should be told comes out as notices.

import { batch, computed, signal } from "@preact/signals";
import type { ReadonlySignal } from "@preact/signals";
import type {
  Change,
  ChatLine,
  ErrorCode,
  Joined,
  LeaveReason,
  Mark,
  News,
  Participant,
  ParticipantId,
  Permission,
  Role,
  Session,
  Source,
  Speaker,
  Track,
  TrackId,
} from "./protocol";
import type { Notice } from "./state";

const NOTICES_KEPT = 20;
/** As many as the server hands to who joins; more would grow for as long as the page is open. */
const CHAT_KEPT = 500;

export interface Picture {
  readonly layer: string | null;
  readonly limited: boolean;
}

type NoticeBody<N = Notice> = N extends Notice ? Omit<N, "id" | "atMs"> : never;

export class Room {
  readonly selfId = signal<ParticipantId | null>(null);
  readonly session = signal<Session | null>(null);
  readonly audience = signal(0);
  readonly stage = signal<readonly ParticipantId[]>([]);
  readonly hands = signal<readonly ParticipantId[]>([]);
  readonly chat = signal<readonly ChatLine[]>([]);
  readonly unread = signal(0);
  readonly speakers = signal<readonly Speaker[]>([]);
  readonly permissions = signal<ReadonlySet<Permission>>(new Set());
  readonly consentWording = signal<string | null>(null);
  readonly marks = signal<readonly Mark[]>([]);
  readonly notices = signal<readonly Notice[]>([]);
  readonly byId = signal<ReadonlyMap<ParticipantId, Participant>>(new Map());
  readonly tracks = signal<ReadonlyMap<TrackId, Track>>(new Map());
  readonly pictures = signal<ReadonlyMap<TrackId, Picture>>(new Map());

  readonly participants: ReadonlySignal<readonly Participant[]> = computed(() => [...this.byId.value.values()]);
  readonly self: ReadonlySignal<Participant | null> = computed(() =>
    this.selfId.value === null ? null : (this.byId.value.get(this.selfId.value) ?? null),
  );
  readonly onStage: ReadonlySignal<boolean> = computed(() => includes(this.stage.value, this.selfId.value));
  readonly handRaised: ReadonlySignal<boolean> = computed(() => includes(this.hands.value, this.selfId.value));

  #chatShown = false;
  #nextNotice = 1;

  constructor(private readonly nowMs: () => number) {}

  snapshot(joined: Joined): void {
    batch(() => {
      this.selfId.value = joined.participant;
      this.session.value = joined.session;
      this.byId.value = new Map(joined.participants.map((one) => [one.id, one]));
      this.tracks.value = new Map(joined.tracks.map((one) => [one.id, one]));
      this.pictures.value = new Map();
      this.stage.value = joined.stage;
      this.hands.value = joined.hands;
      this.speakers.value = [];
      this.permissions.value = new Set(joined.permissions);
      this.consentWording.value = joined.consentWording;
      this.marks.value = inTime(joined.marks);
      this.#snapshotChat(joined.chat);
    });
  }

  apply(change: Change): void {
    batch(() => this.#apply(change));
  }

  hear(news: News): void {
    if (news.type === "speakersChanged") this.speakers.value = news.speakers;
    else if (news.type === "pictureChanged") {
      this.pictures.value = withEntry(this.pictures.value, news.track, { layer: news.layer, limited: news.limited });
    }
  }

  /** A track and the role of whose it is. */
  describe(id: TrackId): (Track & { readonly role: Role }) | undefined {
    const track = this.tracks.peek().get(id);
    const role = track && this.byId.peek().get(track.participant)?.role;
    return track && role && { ...track, role };
  }

  nameOf(id: ParticipantId | null): string | null {
    return id === null ? null : (this.byId.peek().get(id)?.name ?? null);
  }

  setChatShown(shown: boolean): void {
    this.#chatShown = shown;
    if (shown) this.unread.value = 0;
  }

  notice(body: NoticeBody): void {
    const notice = { ...body, id: this.#nextNotice++, atMs: this.nowMs() } as Notice;
    this.notices.value = [...this.notices.value, notice].slice(-NOTICES_KEPT);
  }

  fail(code: ErrorCode): void {
    this.notice({ kind: "failed", code });
  }

  dismiss(id: number): void {
    this.notices.value = this.notices.value.filter((notice) => notice.id !== id);
  }

  #apply(change: Change): void {
    switch (change.type) {
      case "participantJoined":
        this.#joined(change.participant);
        break;
      case "participantLeft":
        this.#left(change.participant, change.reason);
        break;
      case "participantChanged":
        this.byId.value = withEntry(this.byId.value, change.participant.id, change.participant);
        break;
      case "audienceChanged":
        this.audience.value = change.count;
        break;
      case "trackPublished":
        this.tracks.value = withEntry(this.tracks.value, change.track.id, change.track);
        break;
      case "trackChanged":
        this.#trackChanged(change.track);
        break;
      case "trackUnpublished":
        this.tracks.value = withoutEntry(this.tracks.value, change.track);
        this.pictures.value = withoutEntry(this.pictures.value, change.track);
        break;
      case "stageChanged":
        this.#stageChanged(change.stage);
        break;
      case "handsChanged":
        this.#handsChanged(change.hands);
        break;
      case "chatSent":
        this.#chatSent(change.line);
        break;
      case "sessionChanged":
        this.#sessionChanged(change.session);
        break;
      case "permissionsChanged":
        this.permissions.value = new Set(change.permissions);
        break;
      case "marksChanged":
        this.marks.value = inTime(change.marks);
        break;
    }
  }

  #joined(participant: Participant): void {
    const known = this.byId.value.has(participant.id);
    this.byId.value = withEntry(this.byId.value, participant.id, participant);
    if (!known && participant.id !== this.selfId.value && !this.#isEvent()) this.#noticeOf("joined", participant);
  }

  #left(id: ParticipantId, reason: LeaveReason): void {
    const participant = this.byId.value.get(id);
    this.byId.value = withoutEntry(this.byId.value, id);
    const told = !this.#isEvent() || this.stage.value.includes(id);
    if (participant && told && id !== this.selfId.value) this.#noticeOf(reason === "lost" || reason === "removed" ? reason : "left", participant);
  }

  /** Hundreds come and go: who runs it has a wall for that. */
  #isEvent(): boolean {
    return this.session.value?.format === "event";
  }

  #trackChanged(track: Track): void {
    const before = this.tracks.value.get(track.id);
    this.tracks.value = withEntry(this.tracks.value, track.id, track);
    if (before && before.blocked !== track.blocked && track.participant === this.selfId.value) {
      this.notice({ kind: track.blocked ? "blocked" : "unblocked", source: track.source });
    }
  }

  #sessionChanged(session: Session): void {
    const before = this.session.value?.recording ?? null;
    this.session.value = session;
    const now = session.recording;
    if (before !== null && before.trouble !== null && now?.id === before.id && now.trouble === null) {
      this.notice({ kind: "storageBack", lostMs: now.lostMs });
    }
  }

  #stageChanged(stage: readonly ParticipantId[]): void {
    const before = this.onStage.value;
    this.stage.value = stage;
    if (before !== this.onStage.value) this.notice({ kind: before ? "floorTaken" : "floorGiven" });
  }

  #handsChanged(hands: readonly ParticipantId[]): void {
    const before = this.hands.value;
    this.hands.value = hands;
    if (!this.permissions.value.has("moderate")) return;
    for (const id of hands) {
      const participant = this.byId.value.get(id);
      if (participant && id !== this.selfId.value && !before.includes(id) && !this.#isEvent()) this.#noticeOf("handRaised", participant);
    }
  }

  #chatSent(line: ChatLine): void {
    this.chat.value = [...this.chat.value, line].slice(-CHAT_KEPT);
    if (!this.#chatShown && line.from !== this.selfId.value) this.unread.value += 1;
  }

  /** After an interruption the lines said meanwhile count as unread; those before the first join do not. */
  #snapshotChat(lines: readonly ChatLine[]): void {
    const before = this.chat.value;
    const last = before.at(-1);
    this.chat.value = lines;
    if (!last || this.#chatShown) return;
    this.unread.value += lines.slice(lines.findIndex((line) => line.id === last.id) + 1).length;
  }

  #noticeOf(kind: "joined" | "left" | "lost" | "removed" | "handRaised", participant: Participant): void {
    this.notice({ kind, participant: participant.id, person: participant.name });
  }
}

export function ownTrack(
  tracks: ReadonlyMap<TrackId, Track>,
  self: ParticipantId | null,
  source: Source,
): Track | undefined {
  return [...tracks.values()].find((track) => track.participant === self && track.source === source);
}

function inTime(marks: readonly Mark[]): readonly Mark[] {
  return [...marks].sort((a, b) => a.at - b.at);
}

function includes(ids: readonly ParticipantId[], id: ParticipantId | null): boolean {
  return id !== null && ids.includes(id);
}

function withEntry<K, V>(map: ReadonlyMap<K, V>, key: K, value: V): ReadonlyMap<K, V> {
  return new Map(map).set(key, value);
}

function withoutEntry<K, V>(map: ReadonlyMap<K, V>, key: K): ReadonlyMap<K, V> {
  const copy = new Map(map);
  copy.delete(key);
  return copy;
}
