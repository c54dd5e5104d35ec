// Owns the codes of errors and of closed connections (docs/protocol.md, "Errors").

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
  "damaged",
  "storageFailed",
  "preconditionRequired",
  "preconditionFailed",
  "tooMany",
  "sessionFull",
  "sessionLocked",
  "serverBusy",
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
  4454: "sessionLocked",
  4455: "serverBusy",
  4500: "internal",
  4503: "shuttingDown",
};

/** Any code a newer server may send is shown as `internal`: pages translate only what they know. */
export function asErrorCode(code: string): ErrorCode {
  return (ERROR_CODES as readonly string[]).includes(code) ? (code as ErrorCode) : "internal";
}
