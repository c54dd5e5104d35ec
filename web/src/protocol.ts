// Owns the wire schema on the page's side: what docs/protocol.md says, as types, and the check of what arrives.
// Knows no socket, no DOM and no state. Unknown fields and unknown messages from the server are ignored.

export const SUBPROTOCOL = "bridge.v1";
/** The server refuses longer messages, so there is no use in sending one. */
export const MESSAGE_MAX_BYTES = 256 * 1024;
export const CHAT_MAX_CHARACTERS = 2000;
export const NAME_MAX_CHARACTERS = 80;

export type SessionId = string & { readonly __id?: "session" };
export type ParticipantId = string & { readonly __id?: "participant" };
export type TrackId = string & { readonly __id?: "track" };
export type InviteId = string & { readonly __id?: "invite" };

export const SOURCES = ["microphone", "camera", "ultrasound", "ultrasoundSound", "screen", "microscope"] as const;
export type Source = (typeof SOURCES)[number];
export type Kind = "audio" | "video";
export type Role = "organiser" | "hub" | "satellite" | "viewer";
export type Language = "vi" | "ru" | "en";
export const SESSION_KINDS = ["advice", "consultation", "radiology", "pathology", "surgery", "training"] as const;
export type SessionKind = (typeof SESSION_KINDS)[number];
export type SessionFormat = "consult" | "event";
export type Permission = `publish:${Source}` | "moderate" | "endSession" | "chat" | "raiseHand";

export interface Session {
  readonly id: SessionId;
  readonly title: string;
  readonly kind: SessionKind;
  readonly format: SessionFormat;
  readonly state: "open" | "ended";
  readonly capacity: number;
  readonly startedAt: number | null;
}

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

export interface Speaker {
  readonly participant: ParticipantId;
  /** dBov: 0 is the loudest, -127 silence. */
  readonly level: number;
}

export const ERROR_CODES = [
  "malformed",
  "unsupported",
  "notAuthorised",
  "tokenExpired",
  "inviteRevoked",
  "notAllowed",
  "notFound",
  "joinTimeout",
  "joinedElsewhere",
  "conflict",
  "sessionEnded",
  "resumeFailed",
  "removed",
  "tooLarge",
  "wrongType",
  "preconditionRequired",
  "preconditionFailed",
  "tooMany",
  "sessionFull",
  "shuttingDown",
  "internal",
] as const;
export type ErrorCode = (typeof ERROR_CODES)[number];

/** WebSocket close codes that carry a reason of ours. */
export const CLOSE_CODES: Readonly<Record<number, ErrorCode>> = {
  4400: "malformed",
  4401: "notAuthorised",
  4402: "tokenExpired",
  4403: "inviteRevoked",
  4404: "notFound",
  4406: "unsupported",
  4408: "joinTimeout",
  4409: "joinedElsewhere",
  4410: "sessionEnded",
  4411: "removed",
  4413: "tooLarge",
  4429: "tooMany",
  4453: "sessionFull",
  4500: "internal",
  4503: "shuttingDown",
};

export interface MidTrack {
  readonly mid: string;
  readonly track: TrackId;
}

export interface TrackWish {
  readonly mid: string;
  readonly source: Source;
  readonly muted: boolean;
}

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
  | { type: "syncClock"; clientAt: number };

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
  | { readonly type: "audienceChanged"; readonly count: number }
  | { readonly type: "trackPublished"; readonly track: Track }
  | { readonly type: "trackChanged"; readonly track: Track }
  | { readonly type: "trackUnpublished"; readonly track: TrackId }
  | { readonly type: "stageChanged"; readonly stage: readonly ParticipantId[] }
  | { readonly type: "handsChanged"; readonly hands: readonly ParticipantId[] }
  | { readonly type: "chatSent"; readonly line: ChatLine }
  | { readonly type: "sessionChanged"; readonly session: Session }
  | { readonly type: "permissionsChanged"; readonly permissions: readonly Permission[] }
);

export type News =
  | SubscribeOffer
  | { readonly type: "speakersChanged"; readonly speakers: readonly Speaker[] }
  | { readonly type: "pictureChanged"; readonly track: TrackId; readonly layer: string | null; readonly limited: boolean }
  | { readonly type: "publisherDown" };

export type Answer =
  | Joined
  | Resumed
  | PublishAnswer
  | Clock
  | { readonly type: "ok"; readonly request?: number }
  | WireError;

export type ServerMessage = (Answer | Change | News) & { readonly request?: number };

// ---- decoding

type Check = (value: unknown) => boolean;

const text: Check = (v) => typeof v === "string";
const number: Check = (v) => typeof v === "number" && Number.isFinite(v);
const count: Check = (v) => Number.isSafeInteger(v) && (v as number) >= 0;
const flag: Check = (v) => typeof v === "boolean";
const orNull =
  (check: Check): Check =>
  (v) =>
    v === null || check(v);
const oneOf =
  (...words: readonly string[]): Check =>
  (v) =>
    typeof v === "string" && words.includes(v);
const list =
  (check: Check): Check =>
  (v) =>
    Array.isArray(v) && v.every(check);
const object =
  (fields: Readonly<Record<string, Check>>): Check =>
  (v) =>
    isRecord(v) && Object.entries(fields).every(([name, check]) => check(v[name]));

const session = object({
  id: text,
  title: text,
  kind: oneOf(...SESSION_KINDS),
  format: oneOf("consult", "event"),
  state: oneOf("open", "ended"),
  capacity: count,
  startedAt: orNull(number),
});
const participant = object({
  id: text,
  name: text,
  role: oneOf("organiser", "hub", "satellite", "viewer"),
  point: text,
  connected: flag,
  quality: (v) => v === null || v === 0 || v === 1 || v === 2 || v === 3,
  rttMs: orNull(number),
  loss: orNull(number),
  clockOffsetMs: orNull(number),
  language: text,
});
const track = object({
  id: text,
  participant: text,
  source: oneOf(...SOURCES),
  kind: oneOf("audio", "video"),
  muted: flag,
  blocked: flag,
  flowing: flag,
  layers: list(text),
  codec: text,
});
const chatLine = object({ id: text, from: text, name: text, text, sentAt: number });
const midTracks = list(object({ mid: text, track: text }));
const ids = list(text);

const CHANGES: Readonly<Record<string, Check>> = {
  participantJoined: object({ participant }),
  participantLeft: object({ participant: text, reason: text }),
  participantChanged: object({ participant }),
  audienceChanged: object({ count }),
  trackPublished: object({ track }),
  trackChanged: object({ track }),
  trackUnpublished: object({ track: text }),
  stageChanged: object({ stage: ids }),
  handsChanged: object({ hands: ids }),
  chatSent: object({ line: chatLine }),
  sessionChanged: object({ session }),
  permissionsChanged: object({ permissions: ids }),
};
/** A missed change of a newer server's kind is passed over, as it would be when live. */
const missedChange: Check = (v) => isRecord(v) && count(v.seq) && (CHANGES[String(v.type)]?.(v) ?? true);

const OTHERS: Readonly<Record<string, Check>> = {
  joined: object({
    participant: text,
    resumeToken: text,
    resumeWithinS: number,
    seq: count,
    serverTimeAt: number,
    session,
    participants: list(participant),
    tracks: list(track),
    stage: ids,
    hands: ids,
    chat: list(chatLine),
    permissions: ids,
  }),
  resumed: object({
    resumeToken: text,
    missed: list(missedChange),
    serverTimeAt: number,
    publisher: oneOf("up", "down", "none"),
    subscriber: oneOf("up", "down", "none"),
  }),
  publishAnswer: object({ sdp: text, tracks: midTracks }),
  clock: object({ clientAt: number, serverTimeAt: number }),
  ok: object({}),
  error: object({ code: text, text }),
  subscribeOffer: object({ negotiation: count, sdp: text, tracks: midTracks, fresh: flag }),
  speakersChanged: object({ speakers: list(object({ participant: text, level: number })) }),
  pictureChanged: object({ track: text, layer: orNull(text), limited: flag }),
  publisherDown: object({}),
};

export class MalformedMessage extends Error {
  override readonly name = "MalformedMessage";
}

/** The message, or null for a type that this version does not know. Throws MalformedMessage on anything else. */
export function decode(data: unknown): ServerMessage | null {
  if (typeof data !== "string") throw new MalformedMessage("not a text frame");
  let value: unknown;
  try {
    value = JSON.parse(data);
  } catch {
    throw new MalformedMessage("not JSON");
  }
  if (!isRecord(value) || typeof value.type !== "string") throw new MalformedMessage("no type");
  if (value.request !== undefined && !count(value.request)) throw new MalformedMessage("bad request number");
  const type = value.type;
  const change = Object.hasOwn(CHANGES, type) ? CHANGES[type] : undefined;
  const other = Object.hasOwn(OTHERS, type) ? OTHERS[type] : undefined;
  if (change) {
    if (!count(value.seq) || !change(value)) throw new MalformedMessage(`bad ${type}`);
  } else if (other) {
    if (!other(value)) throw new MalformedMessage(`bad ${type}`);
  } else {
    return null;
  }
  return value as unknown as ServerMessage;
}

export function encode(message: ClientMessage, request?: number): string {
  return JSON.stringify(request === undefined ? message : { ...message, request });
}

export function isChange(message: { readonly type: string }): message is Change {
  return Object.hasOwn(CHANGES, message.type);
}

/** Any code a newer server may send is shown as `internal`: pages translate only what they know. */
export function asErrorCode(code: string): ErrorCode {
  return (ERROR_CODES as readonly string[]).includes(code) ? (code as ErrorCode) : "internal";
}

export function sourceKind(source: Source): Kind {
  return source === "microphone" || source === "ultrasoundSound" ? "audio" : "video";
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
