// Owns the HTTP calls of the pages. The token goes into the Authorization header and nowhere else.

import { asErrorCode } from "./protocol";
import type {
  ErrorCode,
  InviteId,
  Participant,
  RecordMode,
  RecordingId,
  Role,
  Session,
  SessionFormat,
  SessionId,
  SessionKind,
} from "./protocol";

const TIMEOUT_MS = 15_000;
const JSON_TYPE = "application/json";

export interface InviteInfo {
  readonly session: Pick<Session, "id" | "title" | "kind" | "format" | "state" | "record" | "consent">;
  readonly role: Role;
  readonly point: string;
  /** Title of the installation: who invites. */
  readonly host: string;
}

export interface SessionEntry extends Session {
  readonly createdAt: number;
  readonly connected: number;
}

export interface InviteEntry {
  readonly id: InviteId;
  readonly role: Role;
  readonly point: string;
  readonly seats: number;
  readonly expiresAt: number;
  readonly revoked: boolean;
  readonly connected: number;
}

export interface SessionDetail {
  readonly session: Session;
  readonly participants: readonly Participant[];
  readonly invites: readonly InviteEntry[];
}

export interface NewSession {
  readonly title: string;
  readonly kind?: SessionKind;
  readonly format?: SessionFormat;
  readonly capacity?: number;
  readonly record?: RecordMode;
  readonly consent?: boolean;
}

/** How sessions of this installation are recorded where nothing else is said. */
export type Usual = Pick<Session, "record" | "consent">;

export interface SessionList {
  readonly sessions: readonly SessionEntry[];
  readonly usual: Usual;
}

/** What the list of recordings says of one; times in ms. */
export interface RecordedEntry {
  readonly id: RecordingId;
  readonly state: "running" | "ended" | "cut" | "shredded";
  readonly startedAt: number;
  readonly beginMs: number;
  readonly endMs: number;
  readonly clipOf: RecordingId | null;
}

export interface CreatedSession {
  readonly session: SessionId;
  readonly tokens: Readonly<Record<Role, string>>;
  readonly links: Readonly<Record<Role, string>>;
}

export interface NewInvite {
  readonly role: Role;
  readonly point?: string;
  readonly seats?: number;
  readonly expiresInS?: number;
}

export interface InviteLink {
  readonly token: string;
  readonly link: string;
}

export interface Point {
  readonly id: string;
  readonly name: string;
  readonly organisation: string;
  readonly province: string;
}

export interface NewPoint {
  readonly name: string;
  readonly organisation?: string;
  readonly province?: string;
}

/** `network`: no answer at all. */
export class ApiError extends Error {
  override readonly name = "ApiError";
  constructor(
    readonly code: ErrorCode | "network",
    text: string,
  ) {
    super(text);
  }
}

export interface Api {
  invite(): Promise<InviteInfo>;
  sessions(): Promise<SessionList>;
  createSession(wish: NewSession): Promise<CreatedSession>;
  session(id: SessionId): Promise<SessionDetail>;
  createInvite(session: SessionId, wish: NewInvite): Promise<InviteLink & { readonly invite: InviteId }>;
  revokeInvite(session: SessionId, invite: InviteId): Promise<void>;
  inviteLink(session: SessionId, invite: InviteId): Promise<InviteLink>;
  endSession(session: SessionId): Promise<void>;
  recordings(session: SessionId): Promise<readonly RecordedEntry[]>;
  points(): Promise<readonly Point[]>;
  createPoint(wish: NewPoint): Promise<Point>;
}

/** One question to the server: method, path, and a body that is written as JSON. Rejects with ApiError. */
export type Call = <T>(method: string, path: string, body?: unknown) => Promise<T>;

export function createCall(token: string, request: typeof fetch = (...args) => fetch(...args)): Call {
  return async function call<T>(method: string, path: string, body?: unknown): Promise<T> {
    const headers: Record<string, string> = { Authorization: `Bearer ${token}`, Accept: JSON_TYPE };
    if (body !== undefined) headers["Content-Type"] = JSON_TYPE;
    let response: Response;
    let text: string;
    try {
      response = await request(path, {
        method,
        headers,
        body: body === undefined ? null : JSON.stringify(body),
        cache: "no-store",
        credentials: "omit",
        signal: AbortSignal.timeout(TIMEOUT_MS),
      });
      text = await response.text();
    } catch {
      throw new ApiError("network", "no answer from the server");
    }
    if (!response.ok) throw refusal(response.status, text);
    const answer = parse(text);
    if (response.status !== 204 && answer === undefined) throw new ApiError("internal", "unreadable answer");
    return answer as T;
  };
}

export function createApi(token: string, request: typeof fetch = (...args) => fetch(...args)): Api {
  const call = createCall(token, request);
  const session = (id: SessionId) => `/api/sessions/${encodeURIComponent(id)}`;
  const invite = (id: SessionId, which: InviteId) => `${session(id)}/invites/${encodeURIComponent(which)}`;

  return {
    invite: () => call("GET", "/api/invite"),
    sessions: () => call("GET", "/api/sessions"),
    createSession: (wish) => call("POST", "/api/sessions", wish),
    session: (id) => call("GET", session(id)),
    createInvite: (id, wish) => call("POST", `${session(id)}/invites`, wish),
    revokeInvite: (id, which) => call("DELETE", invite(id, which)),
    inviteLink: (id, which) => call("GET", `${invite(id, which)}/link`),
    recordings: async (id) =>
      (await call<{ recordings: RecordedEntry[] }>("GET", `/api/recordings?session=${encodeURIComponent(id)}`)).recordings,
    endSession: (id) => call("POST", `${session(id)}/end`),
    points: async () => (await call<{ points: Point[] }>("GET", "/api/points")).points,
    createPoint: (wish) => call("POST", "/api/points", wish),
  };
}

/** What an answer that is none says; of a proxy's page instead of ours only its status counts. */
export function refusal(status: number, text: string): ApiError {
  const error = (parse(text) as { error?: { code?: unknown; text?: unknown } } | null | undefined)?.error;
  const code = typeof error?.code === "string" ? asErrorCode(error.code) : status === 404 ? "notFound" : "internal";
  return new ApiError(code, typeof error?.text === "string" ? error.text : "the server answered with an error");
}

function parse(text: string): unknown {
  if (text === "") return undefined;
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return undefined;
  }
}
