// Owns how recordings are asked for (docs/protocol.md, "Recordings over HTTP"). The token goes into the Authorization
// header and nowhere else. Knows no page.

import { ApiError, refusal } from "../api";
import type { RecordedEntry } from "../api";
import { sessionOf } from "../claims";
import type { Kind, MarkId, RecordingId, SessionId, SessionKind } from "../protocol";

const ANSWER_TIMEOUT_MS = 20_000;
/** A clip of hours is written anew on the server's disk before it answers. */
const CUT_TIMEOUT_MS = 15 * 60_000;
/** A thin line may take long for a part, but something comes all the time. */
const STALLED_MS = 30_000;

/** `beginMs` and `endMs` are the window on the recording's clock. */
export interface Recorded extends RecordedEntry {
  readonly session: SessionId;
  readonly title: string;
  readonly kind: SessionKind;
  readonly sizeBytes: number;
  readonly hold: boolean;
  readonly retainUntil: number | null;
}

export interface InitInfo {
  readonly part: number;
  readonly mediaType: string;
  readonly codec: string;
  readonly width: number;
  readonly height: number;
}

export interface RecordedTrack {
  readonly id: number;
  readonly participant: string;
  /** A later server may know more sources than this page. */
  readonly source: string;
  readonly kind: Kind;
  readonly live: boolean;
  readonly beginMs: number;
  readonly endMs: number;
  readonly sizeBytes: number;
  readonly inits: readonly InitInfo[];
}

export type RecordedEvent = Readonly<Record<string, unknown>> & { readonly type: string; readonly atMs: number };

export interface RecordingDetail {
  readonly recording: Recorded;
  readonly tracks: readonly RecordedTrack[];
  readonly events: readonly RecordedEvent[];
}

/** number, init (below 0: lost), startMs, durationMs, flags, sizeBytes, frames */
export type PartRow = readonly [number, number | null, number, number, number, number, number];

export const PART_KEY = 1;
export const PART_DAMAGED = 2;
export const PART_GAP = 4;

export interface Finding {
  readonly part: number | null;
  readonly trouble: string;
  readonly text: string;
}

export interface PartList {
  readonly parts: readonly PartRow[];
  readonly findings: readonly Finding[];
}

export interface FrameTimes {
  readonly frames: readonly number[];
  readonly endUs: number;
}

export type ExportFormat = "mkv" | "mp4" | "dicom";

export interface ReplayApi {
  /** Of a session, or all that the token may see. The server writes each look into its audit. */
  recordings(session?: SessionId): Promise<readonly Recorded[]>;
  open(id: RecordingId): Promise<RecordingDetail>;
  changes(id: RecordingId, eventsKnown: number): Promise<RecordingDetail>;
  parts(id: RecordingId, track: number, after: number): Promise<PartList>;
  /** Raises ApiError `damaged` for one that is missing or altered, `network` when nothing comes any more. */
  part(id: RecordingId, track: number, part: number, signal: AbortSignal): Promise<ArrayBuffer>;
  frames(id: RecordingId, track: number, from: number, to: number): Promise<FrameTimes>;
  addMark(id: RecordingId, atMs: number, text: string): Promise<MarkId>;
  removeMark(id: RecordingId, mark: MarkId): Promise<void>;
  cut(id: RecordingId, beginMs: number, endMs: number, title: string): Promise<Recorded>;
  /** The file as it comes; raises ApiError before anything came. */
  exported(id: RecordingId, format: ExportFormat, track: number | null, signal: AbortSignal): Promise<Response>;
}

export function createReplayApi(token: string, request: typeof fetch = (...args) => fetch(...args)): ReplayApi {
  async function ask(method: string, path: string, body: unknown, signal: AbortSignal): Promise<Response> {
    const headers: Record<string, string> = { Authorization: `Bearer ${token}` };
    if (body !== undefined) headers["Content-Type"] = "application/json";
    let response: Response;
    try {
      response = await request(path, {
        method,
        headers,
        body: body === undefined ? null : JSON.stringify(body),
        cache: "no-store",
        credentials: "omit",
        signal,
      });
    } catch {
      throw new ApiError("network", "no answer from the server");
    }
    if (!response.ok) throw refusal(response.status, await response.text().catch(() => ""));
    return response;
  }

  async function call<T>(method: string, path: string, body?: unknown, timeoutMs = ANSWER_TIMEOUT_MS): Promise<T> {
    const response = await ask(method, path, body, AbortSignal.timeout(timeoutMs));
    if (response.status === 204) return undefined as T;
    try {
      return (await response.json()) as T;
    } catch {
      throw new ApiError("network", "the answer broke off");
    }
  }

  const one = (id: RecordingId) => `/api/recordings/${encodeURIComponent(id)}`;
  const track = (id: RecordingId, number: number) => `${one(id)}/tracks/${number}`;

  return {
    async recordings(session = sessionOf(token) ?? undefined) {
      const filter = session === undefined ? "" : `?session=${encodeURIComponent(session)}`;
      return (await call<{ recordings: readonly Recorded[] }>("GET", `/api/recordings${filter}`)).recordings;
    },
    open: (id) => call("GET", one(id)),
    changes: (id, eventsKnown) => call("GET", `${one(id)}/changes?events=${eventsKnown}`),
    parts: (id, number, after) => call("GET", `${track(id, number)}/parts?after=${after}`),
    async part(id, number, part, signal) {
      const watch = new StallWatch(signal);
      try {
        const response = await ask("GET", `${track(id, number)}/parts/${part}`, undefined, watch.signal);
        return await watch.collect(response);
      } catch (error) {
        throw error instanceof ApiError ? error : new ApiError("network", "the part broke off");
      } finally {
        watch.end();
      }
    },
    frames: (id, number, from, to) => call("GET", `${track(id, number)}/frames?from=${from}&to=${to}`),
    addMark: async (id, atMs, text) => (await call<{ mark: MarkId }>("POST", `${one(id)}/marks`, { atMs, text })).mark,
    removeMark: (id, mark) => call("DELETE", `${one(id)}/marks/${encodeURIComponent(mark)}`),
    async cut(id, beginMs, endMs, title) {
      const wish = title === "" ? { beginMs, endMs } : { beginMs, endMs, title };
      return (await call<{ recording: Recorded }>("POST", `${one(id)}/clips`, wish, CUT_TIMEOUT_MS)).recording;
    },
    exported: (id, format, number, signal) =>
      ask("GET", `${one(id)}/export?format=${format}${number === null ? "" : `&track=${number}`}`, undefined, signal),
  };
}

/** Gives up a request when nothing came for a while, or when its asker does. */
class StallWatch {
  private readonly stop = new AbortController();
  private timer: ReturnType<typeof setTimeout> | undefined;
  private readonly giveUp = (): void => this.stop.abort();

  constructor(private readonly asker: AbortSignal) {
    asker.addEventListener("abort", this.giveUp);
    if (asker.aborted) this.giveUp();
    this.seen();
  }

  get signal(): AbortSignal {
    return this.stop.signal;
  }

  collect(response: Response): Promise<ArrayBuffer> {
    const watched = new TransformStream<Uint8Array<ArrayBuffer>, Uint8Array<ArrayBuffer>>({
      transform: (chunk, controller) => {
        this.seen();
        controller.enqueue(chunk);
      },
    });
    return new Response(response.body?.pipeThrough(watched) ?? null).arrayBuffer();
  }

  end(): void {
    clearTimeout(this.timer);
    this.asker.removeEventListener("abort", this.giveUp);
  }

  private seen(): void {
    clearTimeout(this.timer);
    this.timer = setTimeout(this.giveUp, STALLED_MS);
  }
}
