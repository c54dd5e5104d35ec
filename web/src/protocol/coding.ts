// Owns the check of what arrives and the writing of what is sent. Unknown fields and unknown messages from the server are ignored.

import type { Change, ClientMessage, ServerMessage } from "./messages";
import { QUESTION_STATES, RECORD_MODES, SERVER_LOADS, SESSION_KINDS, SOURCES, STAGE_LAYOUTS } from "./objects";

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

const recording = object({
  id: text,
  state: oneOf("recording", "paused"),
  startedAt: number,
  trouble: orNull(text),
  lostMs: number,
});
const session = object({
  id: text,
  title: text,
  kind: oneOf(...SESSION_KINDS),
  format: oneOf("consult", "event"),
  state: oneOf("open", "ended"),
  capacity: count,
  startedAt: orNull(number),
  record: oneOf(...RECORD_MODES),
  consent: flag,
  recording: orNull(recording),
  lobby: flag,
  locked: flag,
});
const waitingPerson = object({ id: text, name: text, role: oneOf("organiser", "hub", "satellite", "viewer"), point: text, sinceAt: number });
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
  consent: orNull(oneOf("pending", "given", "declined")),
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
const mark = object({ id: text, participant: text, name: text, text, at: number });
const study = object({
  uid: text,
  modalities: list(text),
  description: text,
  patient: text,
  date: text,
  series: count,
  instances: count,
  expected: orNull(count),
  arriving: flag,
  point: text,
  receivedAt: number,
});
const reader = object({ participant: text, following: flag, preview: count, sharp: count, total: count });
const lowerThird = object({ participant: text, title: text, subtitle: text });
const question = object({
  id: text,
  participant: text,
  name: text,
  point: text,
  text,
  state: oneOf(...QUESTION_STATES),
  askedAt: number,
});
const notice = object({ id: text, name: text, text, sentAt: number });
const midTracks = list(object({ mid: text, track: text }));
const ids = list(text);

const CHANGES: Readonly<Record<string, Check>> = {
  participantJoined: object({ participant }),
  participantLeft: object({ participant: text, reason: text }),
  participantChanged: object({ participant }),
  audienceChanged: object({ count, points: count }),
  trackPublished: object({ track }),
  trackChanged: object({ track }),
  trackUnpublished: object({ track: text }),
  stageChanged: object({ stage: ids }),
  handsChanged: object({ hands: ids }),
  chatSent: object({ line: chatLine }),
  sessionChanged: object({ session }),
  permissionsChanged: object({ permissions: ids }),
  marksChanged: object({ marks: list(mark) }),
  noticeReceived: object({ notice }),
  agendaChanged: object({ version: count }),
  layersWanted: object({ track: text, layers: ids }),
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
    consentWording: orNull(text),
    marks: list(mark),
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
  markAdded: object({ mark }),
  ok: object({}),
  error: object({ code: text, text }),
  subscribeOffer: object({ negotiation: count, sdp: text, tracks: midTracks, fresh: flag }),
  speakersChanged: object({ speakers: list(object({ participant: text, level: number })) }),
  pictureChanged: object({ track: text, layer: orNull(text), limited: flag }),
  studiesListed: object({ studies: list(study) }),
  studyChanged: object({ study }),
  readingChanged: object({ leader: orNull(text), asking: ids }),
  viewChanged: object({ by: orNull(text), changes: isRecord, whole: flag }),
  readersChanged: object({ readers: list(reader) }),
  publisherDown: object({}),
  questionAsked: object({ question: text }),
  eventChanged: object({
    layout: oneOf(...STAGE_LAYOUTS),
    main: orNull(text),
    second: orNull(text),
    lowerThird: orNull(lowerThird),
    question: orNull(question),
    next: flag,
  }),
  deskChanged: object({ cue: orNull(text), waiting: list(waitingPerson), load: oneOf(...SERVER_LOADS) }),
  waiting: object({ reason: oneOf("lobby", "pacing"), place: count }),
  questionsChanged: object({ questions: list(question) }),
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

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
