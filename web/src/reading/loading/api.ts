// Owns how studies are asked for over DICOMweb (PS3.18; docs/protocol.md). The token goes into the Authorization header and
// nowhere else. Knows no page.

import { ApiError } from "../../api";
import { asErrorCode } from "../../protocol";
import { inOrder, seriesHead, studyHead } from "../model";
import type { Picture, SeriesHead, StudyHead } from "../model";
import { NEEDED, OF_FIRST } from "../attributes";
import { text } from "../dataset";
import type { Dataset } from "../dataset";
import { Parts } from "./parts";
import { ANSWERED_MS, STALLED_MS, allPieces, eachPiece, patiently } from "./patience";

/** Of a list of studies, unless another one is asked for. */
const STUDIES_LIMIT = 500;
const BASE = "/dicom-web";
const JSON_TYPE = "application/dicom+json";
const SERIES_LIMIT = 5000;
const THUMBNAIL = 128;
const VIDEO_SYNTAX = /^1\.2\.840\.10008\.1\.2\.4\.10[0-8](\.1)?$/;
export const HTJ2K = "1.2.840.10008.1.2.4.202";
export const EXPLICIT_LITTLE = "1.2.840.10008.1.2.1";
const TOGETHER = `multipart/related; type="image/jphc"; transfer-syntax=${HTJ2K}`;
const CONTENT_RANGE = /^bytes (\d+)-(\d+)\/(\d+)$/;

export interface FrameAsk {
  readonly accept: string;
  readonly level?: number;
  /** Only what follows after so many bytes. */
  readonly from?: number;
  readonly to?: number;
  readonly rendered?: boolean;
}

export interface FrameAnswer {
  readonly status: number;
  readonly transferSyntax: string;
  readonly type: string;
  /** Where in the whole the bytes begin and end, and how long the whole is; null where it is not said. */
  readonly from: number;
  readonly end: number | null;
  readonly total: number | null;
}

export interface OpenStudy {
  readonly head: StudyHead;
  readonly series: readonly SeriesHead[];
  /** Some of what the first object of each series says. */
  readonly firsts: ReadonlyMap<string, Dataset>;
}

/** Takes small pictures as they come. */
export interface PreviewTaker {
  /** The codestream's first `end` bytes of `total` come. */
  begins(instance: string, end: number, total: number): void;
  bytes(piece: Uint8Array): void;
  ends(): void;
}

export interface StudySearch {
  readonly patientId?: string;
  readonly limit?: number;
}

export interface StudyApi {
  studies(search?: StudySearch, signal?: AbortSignal): Promise<readonly StudyHead[]>;
  openStudy(uid: string, signal?: AbortSignal): Promise<OpenStudy>;
  /** What the pictures of a series are made of. */
  metadata(study: string, series: string, signal?: AbortSignal): Promise<readonly Dataset[]>;
  thumbnail(study: string, series: string, signal: AbortSignal): Promise<Blob>;
  /** All that the metadata say of one object. */
  dataset(study: string, series: string, instance: string): Promise<Dataset>;
  bulk(uri: string, signal?: AbortSignal): Promise<ArrayBuffer>;
  video(study: string, series: string, instance: string, signal: AbortSignal): Promise<Blob>;
  /** `onBytes` gets what comes as it comes, after `onAnswer`. Raises ApiError. */
  frame(picture: Picture, ask: FrameAsk, signal: AbortSignal, onAnswer: (answer: FrameAnswer) => void, onBytes: (bytes: Uint8Array) => void): Promise<void>;
  /** Of the first frames of some instances of a series, in this order; those that cannot be had so are left out. Raises ApiError. */
  previews(study: string, series: string, instances: readonly string[], level: number, signal: AbortSignal, taker: PreviewTaker): Promise<void>;
}

export function createStudyApi(token: string, request: typeof fetch = (...args) => fetch(...args)): StudyApi {
  async function ask(path: string, accept: string, signal: AbortSignal, more: Readonly<Record<string, string>> = {}): Promise<Response> {
    let response: Response;
    try {
      response = await request(path, {
        headers: { Authorization: `Bearer ${token}`, Accept: accept, ...more },
        cache: "no-store",
        credentials: "omit",
        signal,
      });
    } catch (error) {
      if (signal.aborted) throw error;
      throw new ApiError("network", "no answer from the server");
    }
    if (!response.ok) throw await refusal(response);
    return response;
  }

  /** Large or slow as it may be: given up only when nothing comes any more. */
  function whole(path: string, accept: string, wanted?: AbortSignal): Promise<Blob> {
    return patiently(wanted, ANSWERED_MS, async (signal, came) => allPieces(await ask(path, accept, signal), came));
  }

  async function rows(path: string, wanted?: AbortSignal): Promise<readonly Dataset[]> {
    const answer = await whole(path, JSON_TYPE, wanted);
    try {
      const rows = JSON.parse(await answer.text()) as unknown;
      if (Array.isArray(rows)) return rows as readonly Dataset[];
    } catch {
      // As what is no list.
    }
    throw new ApiError("internal", "unreadable answer");
  }

  return {
    async studies({ patientId, limit = STUDIES_LIMIT } = {}, signal) {
      const ofPatient = patientId === undefined ? "" : `&PatientID=${encodeURIComponent(patientId)}`;
      return (await rows(`${BASE}/studies?includefield=00081030&limit=${limit}${ofPatient}`, signal)).map(studyHead);
    },
    async openStudy(uid, signal) {
      // One question for all: on a line with long delays each costs a way there and back.
      const found = await rows(`${BASE}/series?StudyInstanceUID=${uid}&includefield=${OF_FIRST.join(",")}&limit=${SERIES_LIMIT}`, signal);
      const [row = (await rows(`${BASE}/studies?StudyInstanceUID=${uid}`, signal))[0]] = found;
      if (!row) throw new ApiError("notFound", "no such study");
      const series = inOrder(found.map((each) => seriesHead(each, uid)));
      return { head: studyHead(row), series, firsts: new Map(found.map((each) => [text(each, "0020000E"), each])) };
    },
    metadata: (study, series, signal) => rows(`${seriesPath(study, series)}/metadata?includefield=${NEEDED.join(",")}`, signal),
    thumbnail(study, series, signal) {
      return whole(`${seriesPath(study, series)}/thumbnail?viewport=${THUMBNAIL},${THUMBNAIL}`, "image/jpeg", signal);
    },
    async dataset(study, series, instance) {
      const [found] = await rows(`${seriesPath(study, series)}/instances/${instance}/metadata`);
      if (!found) throw new ApiError("notFound", "no such object");
      return found;
    },
    async bulk(uri, signal) {
      // The server names itself as it sees itself; only its own path is taken, so that no address leads elsewhere.
      const { pathname } = new URL(uri, "http://here.invalid/");
      if (!pathname.startsWith(`${BASE}/`)) throw new ApiError("internal", "an address that is none of ours");
      return (await whole(pathname, "application/octet-stream", signal)).arrayBuffer();
    },
    video(study, series, instance, signal) {
      return whole(`${seriesPath(study, series)}/instances/${instance}/rendered`, "video/mp4", signal);
    },
    async frame(picture, wish, signal, onAnswer, onBytes) {
      const path = `${seriesPath(picture.study, picture.series)}/instances/${picture.instance}/frames/${picture.frame}`;
      const url = `${path}${wish.rendered === true ? "/rendered" : ""}${wish.level === undefined ? "" : `?level=${wish.level}`}`;
      await patiently(signal, STALLED_MS, async (both, came) => {
        const response = await ask(url, wish.accept, both, wish.from === undefined ? {} : { Range: `bytes=${wish.from}-${wish.to ?? ""}` });
        onAnswer(answerOf(response));
        await eachPiece(response, came, onBytes);
      });
    },
    async previews(study, series, instances, level, signal, taker) {
      const path = `${seriesPath(study, series)}/previews?level=${level}&instances=${instances.join(",")}`;
      const parts = new Parts({
        begins: (headers) => {
          const [, instance = ""] = /^instances\/([0-9.]+)\/frames\/1$/.exec(headers.get("content-location") ?? "") ?? [];
          const range = CONTENT_RANGE.exec(headers.get("content-range") ?? "");
          if (instance === "" || range?.[1] !== "0") throw new ApiError("internal", "a part of which nobody knows what it is");
          taker.begins(instance, Number(range[2]) + 1, Number(range[3]));
        },
        bytes: (piece) => taker.bytes(piece),
        ends: () => taker.ends(),
      });
      // They may all have to be made first.
      await patiently(signal, ANSWERED_MS, async (both, came) => {
        const response = await ask(path, TOGETHER, both);
        await eachPiece(response, came, (piece) => parts.feed(piece));
      });
      if (!parts.isWhole) throw new ApiError("network", "the answer broke off");
    },
  };
}

/** Those whose pixels are a video stream. */
export function videosAmong(metadata: readonly Dataset[]): ReadonlySet<string> {
  return new Set(metadata.filter((each) => VIDEO_SYNTAX.test(text(each, "00083002"))).map((each) => text(each, "00080018")));
}

function seriesPath(study: string, series: string): string {
  return `${BASE}/studies/${study}/series/${series}`;
}

function answerOf(response: Response): FrameAnswer {
  const [type = "", ...parameters] = (response.headers.get("Content-Type") ?? "").split(";").map((part) => part.trim());
  const syntax = parameters.find((part) => part.startsWith("transfer-syntax="))?.slice("transfer-syntax=".length).replaceAll('"', "");
  const range = CONTENT_RANGE.exec(response.headers.get("Content-Range") ?? "");
  const length = Number(response.headers.get("Content-Length"));
  return {
    status: response.status,
    type: type.toLowerCase(),
    transferSyntax: syntax ?? EXPLICIT_LITTLE,
    from: range ? Number(range[1]) : 0,
    end: range ? Number(range[2]) + 1 : length > 0 ? length : null,
    total: range ? Number(range[3]) : length > 0 ? length : null,
  };
}

async function refusal(response: Response): Promise<ApiError> {
  try {
    const { error } = (await response.json()) as { error?: { code?: unknown; text?: unknown } };
    if (typeof error?.code === "string") return new ApiError(asErrorCode(error.code), typeof error.text === "string" ? error.text : "");
  } catch {
    // A proxy's page instead of ours; its status has to do.
  }
  if (response.status >= 500) return new ApiError("network", "the server does not answer now");
  return new ApiError(response.status === 404 ? "notFound" : "internal", "the server answered with an error");
}
