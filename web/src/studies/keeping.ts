// Owns the HTTP calls of keeping studies (docs/protocol.md, "Studies over HTTP"), and what a link may offer of it: only the server allows.

import { createCall } from "../api";
import { isStaff, roleOf } from "../claims";
import type { ErrorCode, SessionId, SessionKind } from "../protocol";

/** Times in ms. */
export interface KeptStudy {
  readonly id: string;
  readonly studyInstanceUID: string;
  readonly session: SessionId | null;
  readonly instances: number;
  readonly sizeBytes: number;
  readonly hold: boolean;
  readonly retainUntil: number | null;
  /** Days after its session's end, 0 for ever; null without a session. */
  readonly rule: { readonly kind: SessionKind; readonly days: number } | null;
}

export type JobState = "waiting" | "running" | "confirming" | "done" | "failed" | "stopped";

/** `done`, `failed` and `total` are objects. */
export interface Job {
  readonly id: string;
  readonly kind: "send" | "copy" | "shred";
  /** Null once the study was shredded. */
  readonly studyInstanceUID: string | null;
  readonly to: string;
  readonly copyInstanceUID: string | null;
  readonly state: JobState;
  readonly done: number;
  readonly failed: number;
  readonly total: number;
  readonly attempts: number;
  readonly error: { readonly code: ErrorCode } | null;
  readonly commitment: "" | "asked" | "confirmed" | "refused" | "silent";
  readonly createdAt: number;
  readonly dueAt: number;
}

/** What is done with pictures that may have a name written into them. */
export interface CopyWish {
  readonly leaveOut?: boolean;
  readonly blankRows?: number;
  readonly looked?: boolean;
  readonly shiftDates: boolean;
  readonly inSession: boolean;
}

export interface KeepingApi {
  study(uid: string): Promise<KeptStudy>;
  hold(uid: string, hold: boolean): Promise<void>;
  shred(uid: string): Promise<void>;
  destinations(): Promise<readonly string[]>;
  send(uid: string, to: string): Promise<void>;
  copy(uid: string, wish: CopyWish): Promise<void>;
  /** The newest first. */
  jobs(): Promise<readonly Job[]>;
  stop(job: string): Promise<void>;
  retry(job: string): Promise<void>;
}

/** Everything, sending on only, or nothing. */
export type Offered = "all" | "send" | null;

export function offeredTo(token: string): Offered {
  if (isStaff(token)) return "all";
  return roleOf(token) === "hub" ? "send" : null;
}

export function isOver({ state }: Job): boolean {
  return state === "done" || state === "failed" || state === "stopped";
}

export function createKeepingApi(token: string, request?: typeof fetch): KeepingApi {
  const call = createCall(token, request);
  const study = (uid: string): string => `/api/studies/${encodeURIComponent(uid)}`;
  const job = (id: string): string => `/api/study-jobs/${encodeURIComponent(id)}`;
  return {
    study: async (uid) => (await call<{ study: KeptStudy }>("GET", study(uid))).study,
    hold: (uid, hold) => call("POST", `${study(uid)}/hold`, { hold }),
    shred: (uid) => call("DELETE", study(uid)),
    destinations: async () => (await call<{ destinations: string[] }>("GET", "/api/destinations")).destinations,
    send: (uid, to) => call("POST", `${study(uid)}/send`, { to }),
    copy: (uid, wish) => call("POST", `${study(uid)}/deidentify`, wish),
    jobs: async () => (await call<{ jobs: Job[] }>("GET", "/api/study-jobs")).jobs,
    stop: (id) => call("POST", `${job(id)}/stop`),
    retry: (id) => call("POST", `${job(id)}/retry`),
  };
}
