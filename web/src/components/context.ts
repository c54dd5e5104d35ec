// Owns how components reach the client, and how an action that fails is told to the person.

import { signal } from "@preact/signals";
import { createContext } from "preact";
import { useContext } from "preact/hooks";
import { ApiError } from "../api";
import type { Key } from "../i18n";
import type { ErrorCode } from "../protocol";
import { ActionError } from "../state";
import type { Client } from "../state";

const FAILURE_SHOWN_MS = 8_000;

export const ClientContext = createContext<Client | null>(null);

export function useClient(): Client {
  const client = useContext(ClientContext);
  if (client === null) throw new Error("no client around this component");
  return client;
}

/** What the last action failed of, shown beside the notices for a while. */
export const failure = signal<ErrorCode | "offline" | "network" | null>(null);
let failureTimer: ReturnType<typeof setTimeout> | undefined;

/** Runs an action of the client; a refusal of the server becomes a sentence instead of an exception. */
export function ask(action: Promise<void>): void {
  action.catch((error: unknown) => {
    failure.value = error instanceof ActionError || error instanceof ApiError ? error.code : "internal";
    clearTimeout(failureTimer);
    failureTimer = setTimeout(() => (failure.value = null), FAILURE_SHOWN_MS);
  });
}

type Told = Extract<Key, `refused.${string}.todo`> extends `refused.${infer Code}.todo` ? Code : never;

/** The codes that a person can tell apart; the rest come down to one of these. */
const TOLD_AS: Readonly<Record<ErrorCode | "offline" | "network", Told>> = {
  malformed: "malformed",
  unsupported: "unsupported",
  notAuthorised: "notAuthorised",
  tokenExpired: "tokenExpired",
  inviteRevoked: "inviteRevoked",
  notAllowed: "notAllowed",
  notFound: "notFound",
  joinTimeout: "joinTimeout",
  joinedElsewhere: "joinedElsewhere",
  conflict: "conflict",
  sessionEnded: "sessionEnded",
  resumeFailed: "joinTimeout",
  removed: "removed",
  tooLarge: "tooLarge",
  wrongType: "malformed",
  damaged: "damaged",
  storageFailed: "storageFailed",
  preconditionRequired: "malformed",
  preconditionFailed: "conflict",
  tooMany: "tooMany",
  sessionFull: "sessionFull",
  sessionLocked: "sessionLocked",
  serverBusy: "serverBusy",
  shuttingDown: "shuttingDown",
  internal: "internal",
  offline: "noNetwork",
  network: "noNetwork",
};

export function toldAs(code: ErrorCode | "offline" | "network"): Told {
  return TOLD_AS[code];
}
