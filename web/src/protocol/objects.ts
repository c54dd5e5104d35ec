// Owns the nouns of the protocol as types: sessions, people, tracks, lines, marks, and the limits of what is sent.

export const SUBPROTOCOL = "bridge.v1";
/** The server refuses longer messages, so there is no use in sending one. */
export const MESSAGE_MAX_BYTES = 256 * 1024;
export const CHAT_MAX_CHARACTERS = 2000;
export const NAME_MAX_CHARACTERS = 80;
export const MARK_MAX_CHARACTERS = 200;
export const NOTICE_MAX_CHARACTERS = 500;
export const LOWER_THIRD_MAX_CHARACTERS = 120;

export type SessionId = string & { readonly __id?: "session" };
export type ParticipantId = string & { readonly __id?: "participant" };
export type TrackId = string & { readonly __id?: "track" };
export type InviteId = string & { readonly __id?: "invite" };
export type RecordingId = string & { readonly __id?: "recording" };
export type MarkId = string & { readonly __id?: "mark" };
export type QuestionId = string & { readonly __id?: "question" };

export const SOURCES = ["microphone", "camera", "ultrasound", "ultrasoundSound", "screen", "microscope"] as const;
export type Source = (typeof SOURCES)[number];
export type Kind = "audio" | "video";
export type Role = "organiser" | "hub" | "satellite" | "viewer";
export type Language = "vi" | "ru" | "en";
export const SESSION_KINDS = ["advice", "consultation", "radiology", "pathology", "surgery", "training"] as const;
export type SessionKind = (typeof SESSION_KINDS)[number];
export type SessionFormat = "consult" | "event";
/** By itself, when somebody says so, or not at all. */
export const RECORD_MODES = ["auto", "manual", "never"] as const;
export type RecordMode = (typeof RECORD_MODES)[number];
export type Permission =
  | `publish:${Source}`
  | "moderate"
  | "endSession"
  | "chat"
  | "raiseHand"
  | "record"
  | "mark"
  | "replay"
  | "read";

/** How everybody in an event sees the stage. */
export const STAGE_LAYOUTS = ["speaker", "pair", "ultrasound", "grid"] as const;
export type StageLayout = (typeof STAGE_LAYOUTS)[number];
export const QUESTION_STATES = ["open", "shown", "answered", "declined"] as const;
export type QuestionState = (typeof QUESTION_STATES)[number];
export type Audience = "everybody" | "points" | "viewers";

export interface LowerThird {
  readonly participant: ParticipantId;
  readonly title: string;
  readonly subtitle: string;
}

/** Asked in writing, in an event. */
export interface Question {
  readonly id: QuestionId;
  readonly participant: ParticipantId;
  readonly name: string;
  readonly point: string;
  readonly text: string;
  readonly state: QuestionState;
  readonly askedAt: number;
}

/** What a moderator says to some or all. */
export interface Notice {
  readonly id: string;
  readonly name: string;
  readonly text: string;
  readonly sentAt: number;
}

export const STORAGE_TROUBLES = ["diskFull", "readOnly", "io", "slow"] as const;
export type StorageTrouble = (typeof STORAGE_TROUBLES)[number];

export interface Recording {
  readonly id: RecordingId;
  readonly state: "recording" | "paused";
  readonly startedAt: number;
  /** It cannot be written now; only told to who may `record`. A trouble of a newer server is `io`. */
  readonly trouble: StorageTrouble | null;
  /** Missing so far because of that. */
  readonly lostMs: number;
}

export interface Session {
  readonly id: SessionId;
  readonly title: string;
  readonly kind: SessionKind;
  readonly format: SessionFormat;
  readonly state: "open" | "ended";
  readonly capacity: number;
  readonly startedAt: number | null;
  readonly record: RecordMode;
  /** Everybody is asked whether they agree to be recorded. */
  readonly consent: boolean;
  readonly recording: Recording | null;
  /** Of an event: who comes waits to be let in. */
  readonly lobby: boolean;
  /** Of an event: nobody new comes in. */
  readonly locked: boolean;
}

/** Somebody in the lobby. */
export interface WaitingPerson {
  readonly id: string;
  readonly name: string;
  readonly role: Role;
  readonly point: string;
  readonly sinceAt: number;
}

export const SERVER_LOADS = ["calm", "strained", "full"] as const;
export type ServerLoad = (typeof SERVER_LOADS)[number];

export type Consent = "pending" | "given" | "declined";

/** 0 lost, 1 bad, 2 weak, 3 good, null unknown. */
export type Quality = 0 | 1 | 2 | 3 | null;

export interface Participant {
  readonly id: ParticipantId;
  readonly name: string;
  readonly role: Role;
  readonly point: string;
  readonly connected: boolean;
  readonly quality: Quality;
  readonly rttMs: number | null;
  readonly loss: number | null;
  readonly clockOffsetMs: number | null;
  readonly language: Language;
  /** Null where nobody is asked. */
  readonly consent: Consent | null;
}

export interface Track {
  readonly id: TrackId;
  readonly participant: ParticipantId;
  readonly source: Source;
  readonly kind: Kind;
  readonly muted: boolean;
  readonly blocked: boolean;
  readonly flowing: boolean;
  readonly layers: readonly string[];
  readonly codec: string;
}

export interface ChatLine {
  readonly id: string;
  readonly from: ParticipantId;
  readonly name: string;
  readonly text: string;
  readonly sentAt: number;
}

/** A moment to come back to; the text may be empty. */
export interface Mark {
  readonly id: MarkId;
  readonly participant: ParticipantId;
  readonly name: string;
  readonly text: string;
  readonly at: number;
}

/** A study of the session, as far as it has come. */
export interface Study {
  /** StudyInstanceUID. */
  readonly uid: string;
  readonly modalities: readonly string[];
  readonly description: string;
  readonly patient: string;
  /** YYYYMMDD, or as the sender wrote it, or empty. */
  readonly date: string;
  readonly series: number;
  readonly instances: number;
  /** How many instances it will have in all; null where nobody said. */
  readonly expected: number | null;
  /** Something came just now. */
  readonly arriving: boolean;
  /** The point that it came from; may be empty. */
  readonly point: string;
  readonly receivedAt: number;
}

/** How far somebody who has the pictures open is. `total` is 0 while unknown. */
export interface Reader {
  readonly participant: ParticipantId;
  readonly following: boolean;
  readonly preview: number;
  readonly sharp: number;
  readonly total: number;
}

export interface Speaker {
  readonly participant: ParticipantId;
  /** dBov: 0 is the loudest, -127 silence. */
  readonly level: number;
}

export function sourceKind(source: Source): Kind {
  return source === "microphone" || source === "ultrasoundSound" ? "audio" : "video";
}
