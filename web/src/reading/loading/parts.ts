// Owns a `multipart/related` answer (RFC 2046 5.1) taken apart while it comes. Every part has to say how long it is, as our server's
// do; so a part's bytes are passed on at once. No I/O.

import { ApiError } from "../../api";

export interface PartTaker {
  /** Names of headers are in lower case. */
  begins(headers: ReadonlyMap<string, string>): void;
  bytes(piece: Uint8Array): void;
  ends(): void;
}

const HEAD_LIMIT_BYTES = 8 * 1024;
const HEAD_END = "\r\n\r\n";

export class Parts {
  /** Of a head that has not come as a whole. */
  private held = "";
  private left = 0;

  constructor(private readonly taker: PartTaker) {}

  /** Raises ApiError (`internal`) where the answer is none of ours. */
  feed(piece: Uint8Array): void {
    let at = 0;
    while (at < piece.length) {
      if (this.left === 0) {
        at = this.head(piece, at);
        continue;
      }
      const own = piece.subarray(at, at + this.left);
      this.taker.bytes(own);
      at += own.length;
      this.left -= own.length;
      if (this.left === 0) this.taker.ends();
    }
  }

  /** The last delimiter has come. */
  get isWhole(): boolean {
    return this.left === 0 && /^\s*--\S+--\s*$/.test(this.held);
  }

  private head(piece: Uint8Array, from: number): number {
    for (let at = from; at < piece.length; at++) {
      this.held += String.fromCharCode(piece[at] ?? 0);
      if (this.held.length > HEAD_LIMIT_BYTES) throw new ApiError("internal", "a part without an end to its head");
      if (!this.held.endsWith(HEAD_END)) continue;
      const headers = headersOf(this.held);
      this.held = "";
      const length = Number(headers.get("content-length") ?? NaN);
      if (!Number.isSafeInteger(length) || length < 0) throw new ApiError("internal", "a part that does not say how long it is");
      this.taker.begins(headers);
      this.left = length;
      if (length === 0) this.taker.ends();
      return at + 1;
    }
    return piece.length;
  }
}

/** The delimiter's line stands before them. */
function headersOf(head: string): ReadonlyMap<string, string> {
  const lines = head.split("\r\n").filter((line) => line !== "" && !line.startsWith("--"));
  return new Map(lines.map((line) => [line.slice(0, line.indexOf(":")).trim().toLowerCase(), line.slice(line.indexOf(":") + 1).trim()]));
}
