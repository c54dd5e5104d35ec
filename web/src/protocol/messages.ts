// Owns the messages of the WebSocket as types, both ways (docs/protocol.md, "WebSocket").

import type { ErrorCode } from "./errors";
import type {
  Audience,
  ChatLine,
  Language,
  LowerThird,
  Mark,
  MarkId,
  Notice,
  Participant,
  ParticipantId,
  Permission,
  Question,
  QuestionId,
  QuestionState,
  Reader,
  ServerLoad,
  Session,
  Source,
  Speaker,
  StageLayout,
  Study,
  Track,
  TrackId,
  WaitingPerson,
} from "./objects";

export interface MidTrack {
  readonly mid: string;
  readonly track: TrackId;
}

export interface TrackWish {
  readonly mid: string;
  readonly source: Source;
  readonly muted: boolean;
}

/** Slots of the common view and their values; null: gone. What they mean is the reader's (src/reading/view.ts). */
export type ViewSlots = Readonly<Record<string, unknown>>;

// ---- client to server

export type ClientMessage =
  | { type: "join"; token: string; name: string; language: Language; client: string; resumeToken?: string }
  | { type: "resume"; resumeToken: string; seq: number }
  | { type: "leave" }
  | { type: "publishOffer"; sdp: string; tracks: readonly TrackWish[]; fresh?: boolean }
  | { type: "setTrackMuted"; track: TrackId; muted: boolean }
  | { type: "subscribeAnswer"; negotiation: number; sdp: string }
  | { type: "setSubscription"; track: TrackId; maxHeight: number }
  | { type: "restartSubscriber"; fresh: boolean }
  | { type: "setHand"; raised: boolean; participant?: ParticipantId }
  | { type: "sendChat"; text: string }
  | { type: "giveFloor"; participant: ParticipantId }
  | { type: "takeFloor"; participant: ParticipantId }
  | { type: "blockTrack"; track: TrackId; blocked: boolean }
  | { type: "removeParticipant"; participant: ParticipantId }
  | { type: "endSession" }
  | { type: "setName"; name: string }
  | { type: "reportClock"; clockOffsetMs: number }
  | { type: "syncClock"; clientAt: number }
  | { type: "answerConsent"; agreed: boolean }
  | { type: "startRecording" }
  | { type: "pauseRecording"; paused: boolean }
  | { type: "stopRecording" }
  | { type: "addMark"; text: string; at?: number }
  | { type: "removeMark"; mark: MarkId }
  | { type: "askLead"; asking: boolean; participant?: ParticipantId }
  | { type: "giveLead"; participant: ParticipantId | null }
  | { type: "setView"; changes: ViewSlots }
  | { type: "setCue"; participant: ParticipantId | null }
  | { type: "takeCue"; participant: ParticipantId; replacing: ParticipantId | null }
  | { type: "setStageLayout"; layout: StageLayout; main: ParticipantId | null; second: ParticipantId | null }
  | { type: "setLowerThird"; lowerThird: LowerThird | null }
  | { type: "muteOffStage" }
  | { type: "sendNotice"; to?: Audience; participants?: readonly ParticipantId[]; text: string }
  /** What is left out stays as it is. */
  | { type: "setDoor"; lobby?: boolean; locked?: boolean }
  /** Without ids: all. */
  | { type: "admit"; waiting?: readonly string[] }
  | { type: "turnAway"; waiting: string }
  | { type: "askQuestion"; text: string }
  | { type: "withdrawQuestion"; question: QuestionId }
  | { type: "pickQuestion"; question: QuestionId; state: QuestionState }
  | {
      type: "reportReading";
      following: boolean;
      preview: number;
      sharp: number;
      total: number;
      /** False: the pictures are closed. */
      open: boolean;
    };

// ---- server to client

export type PeerState = "up" | "down" | "none";

export interface Joined {
  readonly type: "joined";
  readonly participant: ParticipantId;
  readonly resumeToken: string;
  readonly resumeWithinS: number;
  readonly seq: number;
  readonly serverTimeAt: number;
  readonly session: Session;
  readonly participants: readonly Participant[];
  readonly tracks: readonly Track[];
  readonly stage: readonly ParticipantId[];
  readonly hands: readonly ParticipantId[];
  readonly chat: readonly ChatLine[];
  readonly permissions: readonly Permission[];
  /** What everybody is asked about being recorded; null where nobody is. */
  readonly consentWording: string | null;
  /** Empty without the permission `mark`. */
  readonly marks: readonly Mark[];
}

export interface Resumed {
  readonly type: "resumed";
  readonly resumeToken: string;
  readonly missed: readonly Change[];
  readonly serverTimeAt: number;
  readonly publisher: PeerState;
  readonly subscriber: PeerState;
}

export interface PublishAnswer {
  readonly type: "publishAnswer";
  readonly sdp: string;
  readonly tracks: readonly MidTrack[];
}

export interface SubscribeOffer {
  readonly type: "subscribeOffer";
  readonly negotiation: number;
  readonly sdp: string;
  readonly tracks: readonly MidTrack[];
  readonly fresh: boolean;
}

export interface Clock {
  readonly type: "clock";
  readonly clientAt: number;
  readonly serverTimeAt: number;
}

export interface MarkAdded {
  readonly type: "markAdded";
  readonly mark: Mark;
}

export interface QuestionAsked {
  readonly type: "questionAsked";
  readonly question: QuestionId;
}

export interface WireError {
  readonly type: "error";
  readonly code: ErrorCode;
  readonly text: string;
  readonly request?: number;
}

export type LeaveReason = "left" | "lost" | "removed" | "joinedElsewhere";

/** Numbered changes: `seq` has no gaps on one connection. */
export type Change = { readonly seq: number } & (
  | { readonly type: "participantJoined"; readonly participant: Participant }
  | { readonly type: "participantLeft"; readonly participant: ParticipantId; readonly reason: LeaveReason }
  | { readonly type: "participantChanged"; readonly participant: Participant }
  | { readonly type: "audienceChanged"; readonly count: number; readonly points: number }
  | { readonly type: "trackPublished"; readonly track: Track }
  | { readonly type: "trackChanged"; readonly track: Track }
  | { readonly type: "trackUnpublished"; readonly track: TrackId }
  | { readonly type: "stageChanged"; readonly stage: readonly ParticipantId[] }
  | { readonly type: "handsChanged"; readonly hands: readonly ParticipantId[] }
  | { readonly type: "chatSent"; readonly line: ChatLine }
  | { readonly type: "sessionChanged"; readonly session: Session }
  | { readonly type: "permissionsChanged"; readonly permissions: readonly Permission[] }
  | { readonly type: "marksChanged"; readonly marks: readonly Mark[] }
  | { readonly type: "noticeReceived"; readonly notice: Notice }
  | { readonly type: "agendaChanged"; readonly version: number }
  /** Rids, "" of a track without simulcast. It may come before the answer that names the track. */
  | { readonly type: "layersWanted"; readonly track: TrackId; readonly layers: readonly string[] }
);

export type News =
  | SubscribeOffer
  | { readonly type: "speakersChanged"; readonly speakers: readonly Speaker[] }
  | { readonly type: "pictureChanged"; readonly track: TrackId; readonly layer: string | null; readonly limited: boolean }
  | { readonly type: "studiesListed"; readonly studies: readonly Study[] }
  | { readonly type: "studyChanged"; readonly study: Study }
  | { readonly type: "readingChanged"; readonly leader: ParticipantId | null; readonly asking: readonly ParticipantId[] }
  | {
      readonly type: "viewChanged";
      readonly by: ParticipantId | null;
      readonly changes: ViewSlots;
      /** These are all slots there are. */
      readonly whole: boolean;
    }
  | { readonly type: "readersChanged"; readonly readers: readonly Reader[] }
  | { readonly type: "publisherDown" }
  | EventChanged
  | Waiting
  | {
      readonly type: "deskChanged";
      readonly cue: ParticipantId | null;
      /** The longest first. */
      readonly waiting: readonly WaitingPerson[];
      readonly load: ServerLoad;
    }
  | { readonly type: "questionsChanged"; readonly questions: readonly Question[] };

/** Before `joined`: why one is not in yet, and how many come in before; 0 where nobody knows. */
export interface Waiting {
  readonly type: "waiting";
  readonly reason: "lobby" | "pacing";
  readonly place: number;
}

/** What everybody in an event follows. */
export interface EventChanged {
  readonly type: "eventChanged";
  readonly layout: StageLayout;
  readonly main: ParticipantId | null;
  readonly second: ParticipantId | null;
  readonly lowerThird: LowerThird | null;
  readonly question: Question | null;
  /** This participant comes on the stage next. */
  readonly next: boolean;
}

export type Answer =
  | Joined
  | Resumed
  | PublishAnswer
  | Clock
  | MarkAdded
  | QuestionAsked
  | { readonly type: "ok"; readonly request?: number }
  | WireError;

export type ServerMessage = (Answer | Change | News) & { readonly request?: number };
