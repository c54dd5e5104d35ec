// Owns the HTTP calls about an event outside its live session. The token goes into the Authorization header and nowhere else.

import { ApiError, createCall, refusal } from "../../api";
import type { Call } from "../../api";
import type { Language, SessionId } from "../../protocol";
import type { AgendaItem, EventFacts, EventPoint, PointFields } from "./model";
import { read } from "./sheet";
import type { Preview, Reading, Taken } from "./sheet";

const TIMEOUT_MS = 60_000;

export interface EventApi {
  /** `/api/events/ID`, to which paths are added. */
  readonly path: string;
  /** JSON to JSON. Rejects with ApiError. */
  readonly call: Call;
  /** Anything to a file. Rejects with ApiError. */
  readonly file: (method: string, path: string, body?: Blob) => Promise<Blob>;
  event(): Promise<EventFacts>;
  /** The same with the link of each point. */
  withLinks(): Promise<EventFacts>;
  setStart(startsAt: number | null): Promise<void>;
  /** What a sheet would change. */
  preview(sheet: Blob, how: Reading): Promise<Preview>;
  take(sheet: Blob, how: Reading): Promise<Taken>;
  add(fields: PointFields): Promise<EventPoint>;
  change(point: string, fields: Partial<PointFields>): Promise<EventPoint>;
  remove(point: string): Promise<void>;
  restore(point: string): Promise<EventPoint>;
  link(point: string): Promise<string>;
  /** The old link is good no more. */
  renewLink(point: string): Promise<string>;
  links(language: Language): Promise<Blob>;
  /** The new version. Rejects with `conflict` if `version` is not the present one. */
  setAgenda(version: number, items: readonly AgendaItem[]): Promise<number>;
}

export function createEventApi(token: string, session: SessionId, request: typeof fetch = (...args) => fetch(...args)): EventApi {
  const call = createCall(token, request);
  const path = `/api/events/${encodeURIComponent(session)}`;
  const point = (id: string) => `${path}/points/${encodeURIComponent(id)}`;
  const file: EventApi["file"] = async (method, where, body) => {
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
  };
  const handIn = async <T>(sheet: Blob, { charset, remove }: Reading, more: Readonly<Record<string, string>>): Promise<T> => {
    const query = new URLSearchParams({ ...more, ...(charset === null ? {} : { charset }), ...(remove ? { remove: "1" } : {}) });
    return read<T>(await file("PUT", `${path}/points?${query.toString()}`, new Blob([sheet], { type: "text/csv" })));
  };
  const linkOf = async (answer: Promise<EventPoint>): Promise<string> => (await answer).link ?? "";
  return {
    path,
    call,
    file,
    event: () => call("GET", path),
    withLinks: () => call("GET", `${path}?links=1`),
    setStart: (startsAt) => call("PATCH", path, { startsAt }),
    preview: (sheet, how) => handIn(sheet, how, { preview: "1" }),
    take: (sheet, how) => handIn(sheet, how, {}),
    add: (fields) => call("POST", `${path}/points`, fields),
    change: (id, fields) => call("PATCH", point(id), fields),
    remove: (id) => call("DELETE", point(id)),
    restore: (id) => call("POST", `${point(id)}/restore`),
    link: (id) => linkOf(call("GET", `${point(id)}/link`)),
    renewLink: (id) => linkOf(call("POST", `${point(id)}/link`)),
    links: (language) => file("GET", `${path}/points.csv?language=${language}`),
    setAgenda: async (version, items) => (await call<{ version: number }>("PUT", `${path}/agenda`, { version, items })).version,
  };
}
