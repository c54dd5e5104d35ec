// Owns the requests of a line check (docs/protocol.md, "Line check"). The token goes into the Authorization header and nowhere else.

import { ApiError, createCall, refusal } from "../../api";
import type { Verdict } from "./reasons";

const SDP_TYPE = "application/sdp";
const EXCHANGE_TIMEOUT_MS = 15_000;

export type DeviceState = "ok" | "denied" | "none" | "busy";

/** What a check found out; null: not known. */
export interface Measured {
  readonly camera: DeviceState | null;
  readonly microphone: DeviceState | null;
  readonly udp: boolean | null;
  readonly https: boolean | null;
  readonly webSocket: boolean | null;
  readonly rttMs: number | null;
  readonly jitterMs: number | null;
  readonly lossUp: number | null;
  readonly lossDown: number | null;
  readonly upBps: number | null;
  readonly downBps: number | null;
  readonly picture: { readonly width: number; readonly height: number; readonly fps: number } | null;
  readonly browser: string;
}

export interface Graded extends Verdict {
  /** The organiser sees it. */
  readonly kept: boolean;
}

/** All reject with ApiError. */
export interface LineCheckApi {
  begin(): Promise<string>;
  /** What is sent: an offer in, the answer out. */
  up(check: string, offer: string): Promise<string>;
  /** What comes back. */
  back(check: string, offer: string): Promise<string>;
  result(check: string, measured: Measured): Promise<Graded>;
  end(check: string): Promise<void>;
}

export function createLineCheckApi(token: string, request: typeof fetch = (...args) => fetch(...args)): LineCheckApi {
  const call = createCall(token, request);
  const one = (check: string) => `/api/linecheck/${encodeURIComponent(check)}`;

  async function exchange(path: string, offer: string): Promise<string> {
    let response: Response;
    let text: string;
    try {
      response = await request(path, {
        method: "POST",
        headers: { Authorization: `Bearer ${token}`, Accept: SDP_TYPE, "Content-Type": SDP_TYPE },
        body: offer,
        cache: "no-store",
        credentials: "omit",
        signal: AbortSignal.timeout(EXCHANGE_TIMEOUT_MS),
      });
      text = await response.text();
    } catch {
      throw new ApiError("network", "no answer from the server");
    }
    if (!response.ok) throw refusal(response.status, text);
    return text;
  }

  return {
    begin: async () => (await call<{ readonly check: string }>("POST", "/api/linecheck")).check,
    up: (check, offer) => exchange(`${one(check)}/up`, offer),
    back: (check, offer) => exchange(`${one(check)}/back`, offer),
    result: (check, measured) => call("POST", `${one(check)}/result`, measured),
    end: (check) => call("DELETE", one(check)),
  };
}
