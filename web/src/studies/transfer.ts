// Owns the HTTP calls of sending (docs/protocol.md, "DICOMweb" and "Sending from a page"): what is there, what will come, objects in a batch
// by STOW-RS, large ones piece by piece. The token goes into the Authorization header and nowhere else.

import { ApiError, refusal } from "../api";

export interface Refused {
  readonly sopInstance: string;
  /**
   * `again`: it may be otherwise in a moment. `other`: another object has its UID. `foreign`: its study is another session's. `failed`: the
   * fault is not the object's.
   */
  readonly why: "again" | "other" | "foreign" | "unreadable" | "failed";
}

export interface Outcome {
  readonly kept: readonly string[];
  readonly refused: readonly Refused[];
}

export interface Upload {
  readonly id: string;
  /** How far it is already: it may have been begun before. */
  readonly offset: number;
}

export interface Taken {
  readonly offset: number;
  /** What became of the object, once it is whole. */
  readonly outcome: Refused["why"] | "kept" | null;
}

export interface Transfer {
  /** The SOPInstanceUIDs that need not be sent; none where the study is not there, or not for us. */
  known(study: string): Promise<readonly string[]>;
  announce(study: string, expected: number): Promise<void>;
  store(objects: readonly { readonly sopInstance: string; readonly content: Blob }[], signal: AbortSignal): Promise<Outcome>;
  /** The same key and size find what was begun before. */
  begin(key: string, sizeBytes: number): Promise<Upload>;
  /** The next piece, or nothing where it is whole and its outcome was lost. */
  piece(upload: string, offset: number, content: Uint8Array<ArrayBuffer>, signal: AbortSignal): Promise<Taken>;
}

const TIMEOUT_MS = 20_000;
/** A piece is sized to take two seconds; the last one of a gigabyte waits until the server has sealed it. */
const SENDING_TIMEOUT_MS = 180_000;
const JSON_TYPE = "application/json";
const DICOM_JSON = "application/dicom+json";

const REASON = { noRoom: 0xa700, failed: 0x0110, other: 0x0111, foreign: 0x0124 } as const;
const TAG = { kept: "00081199", refused: "00081198", others: "0008119A", sopInstance: "00081155", reason: "00081197" } as const;
const CODES: Readonly<Record<string, Refused["why"]>> = { conflict: "other", notAllowed: "foreign", internal: "failed" };

type Item = Readonly<Record<string, { readonly Value?: readonly unknown[] } | undefined>>;

export function createTransfer(token: string, request: typeof fetch = (...args) => fetch(...args)): Transfer {
  async function call(method: string, path: string, body: BodyInit | null, headers: Record<string, string>, signal: AbortSignal): Promise<Response> {
    try {
      return await request(path, {
        method,
        headers: { Authorization: `Bearer ${token}`, Accept: JSON_TYPE, ...headers },
        body,
        cache: "no-store",
        credentials: "omit",
        priority: "low",
        signal,
      });
    } catch {
      throw new ApiError("network", "no answer from the server");
    }
  }
  async function told(response: Response): Promise<unknown> {
    let text: string;
    try {
      text = await response.text();
    } catch {
      throw new ApiError("network", "the answer broke off");
    }
    if (!response.ok) throw refusal(response.status, text);
    if (text === "") return undefined;
    try {
      return JSON.parse(text) as unknown;
    } catch {
      throw new ApiError("internal", "unreadable answer");
    }
  }
  const ask = async (method: string, path: string, body?: unknown): Promise<unknown> => {
    const type: Record<string, string> = body === undefined ? {} : { "Content-Type": JSON_TYPE };
    return told(await call(method, path, body === undefined ? null : JSON.stringify(body), type, AbortSignal.timeout(TIMEOUT_MS)));
  };

  return {
    async known(study) {
      try {
        const answer = (await ask("GET", `/api/studies/${study}/instances`)) as { instances?: unknown } | undefined;
        return Array.isArray(answer?.instances) ? answer.instances.filter((each) => typeof each === "string") : [];
      } catch (error) {
        if (error instanceof ApiError && error.code === "notFound") return [];
        throw error;
      }
    },
    async announce(study, expected) {
      await ask("POST", "/api/studies/announce", { study, expected });
    },
    async store(objects, signal) {
      const boundary = `bridge-${crypto.randomUUID()}`;
      const parts = objects.flatMap(({ content }) => [`--${boundary}\r\nContent-Type: application/dicom\r\n\r\n`, content, "\r\n"]);
      const type = `multipart/related; type="application/dicom"; boundary=${boundary}`;
      const headers = { "Content-Type": type, Accept: DICOM_JSON };
      const body = new Blob([...parts, `--${boundary}--\r\n`]);
      const answer = await within(signal, async (ended) => outcomeBody(await call("POST", "/dicom-web/studies", body, headers, ended)));
      return outcomeOf(answer, objects.map(({ sopInstance }) => sopInstance));
    },
    async begin(key, sizeBytes) {
      const answer = (await ask("POST", "/api/studies/uploads", { key, sizeBytes })) as { upload?: unknown; offset?: unknown } | undefined;
      if (typeof answer?.upload !== "string" || typeof answer.offset !== "number") throw new ApiError("internal", "unreadable answer");
      return { id: answer.upload, offset: answer.offset };
    },
    async piece(upload, offset, content, signal) {
      const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", content));
      const headers = {
        "Content-Type": "application/offset+octet-stream",
        "Upload-Offset": String(offset),
        "Upload-Checksum": `sha256 ${btoa(String.fromCharCode(...digest))}`,
      };
      return within(signal, async (ended) => takenOf(await call("PATCH", `/api/studies/uploads/${upload}`, content, headers, ended)));
    },
  };

  async function takenOf(response: Response): Promise<Taken> {
    if (response.status === 409) return { offset: placeOf(response), outcome: null };
    const answer = (await told(response)) as { outcome?: { kept?: unknown; code?: unknown } | null } | undefined;
    const outcome = answer?.outcome;
    if (outcome === undefined || outcome === null) return { offset: placeOf(response), outcome: null };
    const why = outcome.kept === true ? "kept" : (CODES[String(outcome.code)] ?? "unreadable");
    return { offset: placeOf(response), outcome: why };
  }

  /** Some kept, none kept and why: all three are answers about objects. */
  async function outcomeBody(response: Response): Promise<Item> {
    const isAnswer = response.headers.get("Content-Type")?.startsWith(DICOM_JSON) === true;
    if (!isAnswer) {
      await told(response);
      throw new ApiError("internal", "unreadable answer");
    }
    try {
      return (await response.json()) as Item;
    } catch {
      throw new ApiError("network", "the answer broke off");
    }
  }
}

export function outcomeOf(answer: Item, sent: readonly string[]): Outcome {
  const kept = new Set(itemsOf(answer, TAG.kept).map((item) => valueOf(item, TAG.sopInstance)));
  const reasons = new Map(itemsOf(answer, TAG.refused).map((item) => [valueOf(item, TAG.sopInstance), valueOf(item, TAG.reason)]));
  const others = itemsOf(answer, TAG.others).map((item) => valueOf(item, TAG.reason));
  // What was refused before its UID was known is none of the named; with one reason for all it is that one.
  const unnamed = others.length > 0 && others.every((reason) => reason === REASON.noRoom) ? REASON.noRoom : 0;
  return {
    kept: sent.filter((uid) => kept.has(uid)),
    refused: sent.filter((uid) => !kept.has(uid)).map((uid) => ({ sopInstance: uid, why: whyOf(reasons.get(uid) ?? unnamed) })),
  };
}

function whyOf(reason: unknown): Refused["why"] {
  if (reason === REASON.noRoom) return "again";
  if (reason === REASON.other) return "other";
  if (reason === REASON.failed) return "failed";
  return reason === REASON.foreign ? "foreign" : "unreadable";
}

function itemsOf(answer: Item, tag: string): readonly Item[] {
  const value = answer[tag]?.Value;
  return Array.isArray(value) ? value.filter((each): each is Item => typeof each === "object" && each !== null) : [];
}

function valueOf(item: Item, tag: string): unknown {
  return item[tag]?.Value?.[0];
}

function placeOf(response: Response): number {
  const offset = Number(response.headers.get("Upload-Offset") ?? "");
  if (!Number.isSafeInteger(offset) || offset < 0) throw new ApiError("internal", "unreadable answer");
  return offset;
}

/** Ended by the person, or when it takes too long. Of a sending of many thousand requests nothing may stay behind from each. */
async function within<T>(signal: AbortSignal, request: (ended: AbortSignal) => Promise<T>): Promise<T> {
  const joined = new AbortController();
  const end = (): void => joined.abort();
  const timer = setTimeout(end, SENDING_TIMEOUT_MS);
  if (signal.aborted) end();
  signal.addEventListener("abort", end, { once: true });
  try {
    return await request(joined.signal);
  } finally {
    clearTimeout(timer);
    signal.removeEventListener("abort", end);
  }
}
