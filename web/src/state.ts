// Owns the interface between the engine room and the pages: signals to read, actions to call.
// Pages import types from here and `createClient` from client.ts; nothing here does I/O.

import type { ReadonlySignal } from "@preact/signals";
import type {
  Audience,
  ChatLine,
  ErrorCode,
  Language,
  LowerThird,
  Mark,
  MarkId,
  Notice as Message,
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
  ViewSlots,
  WaitingPerson,
} from "./protocol";
import type { Turn } from "./connection";

// ---- where we are

export type Phase =
  | { readonly name: "idle" }
  /** `attempt` counts the tries so far; over 1 means that the server cannot be reached yet. */
  /** With a `turn` the server has heard us and lets us in by and by. */
  | { readonly name: "joining"; readonly attempt: number; readonly turn?: Turn }
  | { readonly name: "inSession" }
  /** The line to the server is down; pictures may still flow. It comes back without a click. */
  | { readonly name: "reconnecting"; readonly attempt: number; readonly online: boolean; readonly sinceMs: number }
  /** The server said no, or threw us out. `again`: pressing the button (rejoin) may help. */
  | { readonly name: "refused"; readonly code: ErrorCode; readonly again: boolean }
  | { readonly name: "ended" }
  | { readonly name: "left" };

// ---- own devices

export type DeviceProblem =
  | "noPermission"
  | "noDevice"
  | "inUse"
  | "overconstrained"
  | "insecure"
  | "cancelled"
  | "unplugged"
  | "unknown";

export interface DeviceChoice {
  readonly id: string;
  /** Empty until the person has allowed devices once. */
  readonly label: string;
}

/** What looks wrong about an own picture. Checked for the ultrasound only. */
export type CaptureWarning = "black" | "slow" | "squeezed" | "small";

export interface LocalTrack {
  readonly source: Source;
  /** off: not wanted. starting: asking the device. live: there. failed: see `problem`. */
  readonly state: "off" | "starting" | "live" | "failed";
  /** What the person wants; a camera that is off is released, so that its lamp goes out. */
  readonly muted: boolean;
  /** A moderator muted it; only a moderator can lift that. */
  readonly blocked: boolean;
  /** For the own preview; null while off or failed. Replaced when the device changes. */
  readonly stream: MediaStream | null;
  readonly deviceId: string | null;
  readonly deviceLabel: string;
  readonly problem: DeviceProblem | null;
  readonly warnings: readonly CaptureWarning[];
  /** Its id on the wire once it is published. */
  readonly track: TrackId | null;
}

export interface Devices {
  readonly cameras: readonly DeviceChoice[];
  readonly microphones: readonly DeviceChoice[];
  readonly speakers: readonly DeviceChoice[];
  /** False until the person has allowed devices once: the labels are empty. */
  readonly named: boolean;
}

// ---- what comes in

export interface RemoteTrack extends Track {
  /** Own tracks: the local stream. Others: what is received. Null while not (yet) received. */
  readonly stream: MediaStream | null;
  readonly own: boolean;
  /** The quality now sent to us, null: paused or unknown. */
  readonly layer: string | null;
  /** True: our own line is the reason that it is not better. */
  readonly limited: boolean;
}

/** Numbers about one picture or sound, own or received; null where not known (yet). */
export interface TrackFacts {
  readonly width: number | null;
  readonly height: number | null;
  readonly framesPerSecond: number | null;
  readonly bitrateBps: number | null;
  /** Share 0..1 of the packets of the last seconds. */
  readonly loss: number | null;
  readonly roundTripMs: number | null;
  /** From the sender's capture to our display. Null where the clocks are not known. */
  readonly delayMs: number | null;
  /** How long pictures stood still in all, and in how many freezes. */
  readonly frozenMs: number | null;
  readonly freezes: number | null;
  readonly codec: string | null;
}

export interface LineFacts {
  readonly quality: 0 | 1 | 2 | 3 | null;
  readonly roundTripMs: number | null;
  readonly sendBps: number | null;
  readonly receiveBps: number | null;
  readonly loss: number | null;
}

// ---- news for the person

export type Notice = { readonly id: number; readonly atMs: number } & (
  | { readonly kind: "joined" | "left" | "lost" | "removed"; readonly participant: ParticipantId; readonly person: string }
  | { readonly kind: "handRaised"; readonly participant: ParticipantId; readonly person: string }
  | { readonly kind: "floorGiven" | "floorTaken" }
  | { readonly kind: "blocked" | "unblocked"; readonly source: Source }
  | { readonly kind: "deviceLost"; readonly source: Source }
  | { readonly kind: "ultrasoundSlow" }
  | { readonly kind: "back" }
  | { readonly kind: "storageBack"; readonly lostMs: number }
  | { readonly kind: "studyCame"; readonly modalities: readonly string[]; readonly point: string }
  | { readonly kind: "leadIsYours" }
  /** `person` leads now; null: nobody. */
  | { readonly kind: "leadIsOver"; readonly person: string | null }
  | { readonly kind: "leadAsked"; readonly person: string }
  | { readonly kind: "failed"; readonly code: ErrorCode }
);

// ---- reading together

/** Only who may `read` knows anything of it. */
export interface ReadingState {
  /** The newest first. */
  readonly studies: ReadonlySignal<readonly Study[]>;
  readonly leader: ReadonlySignal<ParticipantId | null>;
  /** Who wants to lead, the longest first. */
  readonly asking: ReadonlySignal<readonly ParticipantId[]>;
  /** Those who have the pictures open. */
  readonly readers: ReadonlySignal<readonly Reader[]>;
  /** What all are shown, own changes once the server has taken them. */
  readonly view: ReadonlySignal<ViewSlots>;
  /** Raised each time the server has said the whole view, as after coming back. */
  readonly renewed: ReadonlySignal<number>;
}

export interface ReadingActions {
  /** Leads at once if nobody does. `participant`: turns its wish down. */
  askLead(asking: boolean, participant?: ParticipantId): Promise<void>;
  /** Null lets it go to who asks for it the longest. */
  giveLead(participant: ParticipantId | null): Promise<void>;
  setView(changes: ViewSlots): Promise<void>;
  /** Null: the pictures are closed. */
  reportReading(progress: Omit<Reader, "participant"> | null): Promise<void>;
}

// ---- an event

export interface EventFacts {
  readonly layout: ReadonlySignal<StageLayout>;
  readonly main: ReadonlySignal<ParticipantId | null>;
  readonly second: ReadonlySignal<ParticipantId | null>;
  readonly lowerThird: ReadonlySignal<LowerThird | null>;
  /** The question that all are shown. */
  readonly shown: ReadonlySignal<Question | null>;
  /** We come on the stage next. */
  readonly next: ReadonlySignal<boolean>;
  /** Who comes on the stage next; only moderators know. */
  readonly cue: ReadonlySignal<ParticipantId | null>;
  /** Who waits in the lobby; only moderators know. */
  readonly waiting: ReadonlySignal<readonly WaitingPerson[]>;
  /** Moderators: all; others: their own. The oldest first. */
  readonly questions: ReadonlySignal<readonly Question[]>;
  /** What the organisers wrote to us, until it is closed. */
  readonly messages: ReadonlySignal<readonly Message[]>;
  /** How many points are here. */
  readonly points: ReadonlySignal<number>;
  /** How near its limit the server is; only moderators are told. */
  readonly load: ReadonlySignal<ServerLoad>;
  /** The newest version of the run of show that was told of; 0: none was. Only moderators are told. */
  readonly agendaVersion: ReadonlySignal<number>;
  close(message: string): void;
}

/** What is left out stays as it is. */
export interface DoorChange {
  readonly lobby?: boolean;
  readonly locked?: boolean;
}

export interface EventActions {
  setCue(participant: ParticipantId | null): Promise<void>;
  /** `participant` as it is shown to be next. In one step also takes `replacing` from the stage. */
  takeCue(participant: ParticipantId, replacing: ParticipantId | null): Promise<void>;
  setStageLayout(layout: StageLayout, main: ParticipantId | null, second: ParticipantId | null): Promise<void>;
  setLowerThird(lowerThird: LowerThird | null): Promise<void>;
  muteOffStage(): Promise<void>;
  sendNotice(to: Audience | readonly ParticipantId[], text: string): Promise<void>;
  askQuestion(text: string): Promise<void>;
  setDoor(change: DoorChange): Promise<void>;
  /** Without ids: all who wait. */
  admit(waiting?: readonly string[]): Promise<void>;
  turnAway(waiting: string): Promise<void>;
  withdrawQuestion(question: QuestionId): Promise<void>;
  pickQuestion(question: QuestionId, state: QuestionState): Promise<void>;
}

// ---- all of it

export interface State {
  readonly phase: ReadonlySignal<Phase>;
  /** Own participant; null before joining. */
  readonly self: ReadonlySignal<Participant | null>;
  readonly session: ReadonlySignal<Session | null>;
  readonly participants: ReadonlySignal<readonly Participant[]>;
  /** Viewers that are not listed for us. */
  readonly audience: ReadonlySignal<number>;
  /** Every track of the session, own ones too, in order of publishing. */
  readonly tracks: ReadonlySignal<readonly RemoteTrack[]>;
  readonly stage: ReadonlySignal<readonly ParticipantId[]>;
  readonly onStage: ReadonlySignal<boolean>;
  /** The longest raised first. */
  readonly hands: ReadonlySignal<readonly ParticipantId[]>;
  readonly handRaised: ReadonlySignal<boolean>;
  readonly chat: ReadonlySignal<readonly ChatLine[]>;
  readonly unread: ReadonlySignal<number>;
  /** Loudest first, empty in silence. */
  readonly speakers: ReadonlySignal<readonly Speaker[]>;
  readonly permissions: ReadonlySignal<ReadonlySet<Permission>>;
  /** What everybody is asked about being recorded; null where nobody is. Own answer: `self.consent`. */
  readonly consentWording: ReadonlySignal<string | null>;
  /** In order of time; only for who may `mark`. */
  readonly marks: ReadonlySignal<readonly Mark[]>;
  readonly reading: ReadingState;
  readonly event: EventFacts;
  readonly locals: ReadonlySignal<ReadonlyMap<Source, LocalTrack>>;
  readonly devices: ReadonlySignal<Devices>;
  /** 0..1, about ten times a second while the microphone (or ultrasound sound) is live. */
  readonly levels: ReadonlySignal<ReadonlyMap<Source, number>>;
  readonly facts: ReadonlySignal<ReadonlyMap<TrackId, TrackFacts>>;
  readonly line: ReadonlySignal<LineFacts>;
  /** Newest last, at most 20; pages dismiss them. */
  readonly notices: ReadonlySignal<readonly Notice[]>;
}

export interface JoinWish {
  readonly token: string;
  readonly name: string;
  readonly language: Language;
}

/** What is asked of the server about the room; rejects with ActionError. */
export interface RoomActions extends ReadingActions, EventActions {
  endSession(): Promise<void>;
  setHand(raised: boolean, participant?: ParticipantId): Promise<void>;
  sendChat(text: string): Promise<void>;
  giveFloor(participant: ParticipantId): Promise<void>;
  takeFloor(participant: ParticipantId): Promise<void>;
  blockTrack(track: TrackId, blocked: boolean): Promise<void>;
  removeParticipant(participant: ParticipantId): Promise<void>;

  /** May be answered anew at any time. */
  answerConsent(agreed: boolean): Promise<void>;
  startRecording(): Promise<void>;
  pauseRecording(paused: boolean): Promise<void>;
  stopRecording(): Promise<void>;
  /** `at`: the moment by the server's clock; without it, now. */
  addMark(text: string, at?: number): Promise<Mark>;
  removeMark(mark: MarkId): Promise<void>;
}

/** `leave` and `setName` reject with ActionError; those on own devices never reject, they set `problem`. */
export interface Actions extends RoomActions {
  /** Sources that are live by then are published. Resolves once in the session; never if refused: watch `phase`. */
  join(wish: JoinWish): void;
  /** After a reload: goes on where this tab was. False if there is nothing to go on with. `token`: only that link's. */
  resume(token?: string): boolean;
  /** After `refused` with `again`, e.g. to take the seat back. */
  rejoin(): void;
  leave(): Promise<void>;

  /** Asks for the device (remembered or given) and shows its preview; publishes it when in a session. Also switches. */
  start(source: Source, deviceId?: string): Promise<void>;
  stop(source: Source): Promise<void>;
  setMuted(source: Source, muted: boolean): Promise<void>;
  refreshDevices(): Promise<void>;
  /** The remembered choice for a source, or null. */
  rememberedDevice(source: Source): string | null;

  /** The page shows the chat: while true, lines do not count as unread. */
  setChatShown(shown: boolean): void;
  setName(name: string): Promise<void>;
  /** Now by the server's clock, as far as it is known. */
  serverNowMs(): number;

  /** How tall (device pixels) the page shows a received picture; 0 while hidden. Call freely, it is debounced. */
  setShownHeight(track: TrackId, heightPx: number): void;
  dismissNotice(id: number): void;
}

export interface Client extends State, Actions {
  /** Ends everything at once, without goodbye: the page is going away. The seat can be resumed after a reload. */
  dispose(): void;
}

export { RequestError as ActionError } from "./requests";
