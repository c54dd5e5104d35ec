// Owns the HTTP calls about an event outside its live session. The token goes into the Authorization header and nowhere else.

import { ApiError, createCall, refusal } from "../../api";
import type { Call } from "../../api";
import type { SessionId } from "../../protocol";
import type { EventFacts } from "./model";

const TIMEOUT_MS = 60_000;

export interface EventApi {
  /** `/api/events/ID`, to which paths are added. */
  readonly path: string;
  /** JSON to JSON. Rejects with ApiError. */
  readonly call: Call;
  /** Anything to a file. Rejects with ApiError. */
  readonly file: (method: string, path: string, body?: Blob) => Promise<Blob>;
  event(): Promise<EventFacts>;
}

export function createEventApi(token: string, session: SessionId, request: typeof fetch = (...args) => fetch(...args)): EventApi {
  const call = createCall(token, request);
  const path = `/api/events/${encodeURIComponent(session)}`;
  return {
    path,
    call,
    file: async (method, where, body) => {
      try {
        const response = await request(where, {
          method,
          headers: { Authorization: `Bearer ${token}`, ...(body === undefined ? {} : { "Content-Type": body.type }) },
          body: body ?? null,
          cache: "no-store",
          credentials: "omit",
          signal: AbortSignal.timeout(TIMEOUT_MS),
        });
        if (!response.ok) throw refusal(response.status, await response.text());
        return await response.blob();
      } catch (error) {
        throw error instanceof ApiError ? error : new ApiError("network", "no answer from the server");
      }
    },
    event: () => call("GET", path),
  };
}
