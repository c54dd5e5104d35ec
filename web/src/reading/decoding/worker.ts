// Owns a worker's side of decoding: a job in, values out. What cannot be decoded is said so; it never takes the worker with it.

import { BIG_ENDIAN, RUN_LENGTHS, codecOf, isLossless, isNative } from "./codecnames";
import type { CodecName } from "./codecnames";
import { decodeLossless, decodeWith, prepare } from "./codecs";
import { Undecodable, fromRunLengths, meant, nativeOf } from "./form";
import type { Decoded, Meaning, Raw } from "./form";

export interface Job {
  readonly number: number;
  readonly bytes: Uint8Array;
  readonly transferSyntax: string;
  readonly columns: number;
  readonly rows: number;
  /** The picture at 1/2^level is enough. */
  readonly level: number;
  readonly meaning: Meaning;
}

export type Order = { readonly job: Job } | { readonly codec: CodecName; readonly wasm: ArrayBuffer };
export interface Outcome {
  readonly number: number;
  /** Null where it cannot be decoded. */
  readonly decoded: Decoded | null;
}
/** Its own code is there, and later that of a decoder, or not. */
export type Arrival = { readonly isThere: true; readonly codec: null } | { readonly isThere: boolean; readonly codec: CodecName };

const scope = self as unknown as {
  onmessage: ((event: MessageEvent<Order>) => void) | null;
  postMessage(told: Outcome | Arrival, transfer?: readonly ArrayBufferLike[]): void;
};

scope.onmessage = ({ data: order }) => {
  if ("codec" in order) void fetchDecoder(order.codec, order.wasm);
  else void work(order.job);
};
scope.postMessage({ isThere: true, codec: null });

async function fetchDecoder(codec: CodecName, wasm: ArrayBuffer): Promise<void> {
  const isThere = await prepare(codec, wasm).then(
    () => true,
    () => false,
  );
  scope.postMessage({ isThere, codec });
}

async function work(job: Job): Promise<void> {
  let decoded: Decoded | null = null;
  try {
    decoded = meant(await rawOf(job), job.meaning);
  } catch {
    // The page asks the server for another form of it.
  }
  scope.postMessage({ number: job.number, decoded }, decoded ? [decoded.data.buffer] : []);
}

async function rawOf({ bytes, transferSyntax, columns, rows, level, meaning }: Job): Promise<Raw> {
  const { form } = meaning;
  if (isNative(transferSyntax)) return nativeOf(bytes, form, columns, rows, transferSyntax === BIG_ENDIAN);
  if (transferSyntax === RUN_LENGTHS) return fromRunLengths(bytes, form, columns, rows);
  const raw = await compressed(bytes, transferSyntax, columns, rows, level, meaning);
  const isWhole = raw.columns === columns && raw.rows === rows;
  if (level === 0 && !isWhole) throw new Undecodable("of another size than it says");
  return raw;
}

function compressed(bytes: Uint8Array, transferSyntax: string, columns: number, rows: number, level: number, meaning: Meaning): Raw | Promise<Raw> {
  if (isLossless(transferSyntax)) return decodeLossless(bytes, meaning.form, columns, rows);
  const codec = codecOf(transferSyntax);
  if (!codec) throw new Undecodable("a transfer syntax that nobody here reads");
  return decodeWith(codec, bytes, level);
}
