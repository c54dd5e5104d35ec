// Owns how long the line is waited for: not for an answer as a whole, which may be large, but for its next bytes. Knows no study.

import { ApiError } from "../../api";

/** The server may have to make an answer first. */
export const ANSWERED_MS = 60_000;
/** A line that brings nothing for so long is taken as broken. */
export const STALLED_MS = 20_000;

/** `came` is to be called whenever something came. Raises ApiError (`network`) where nothing comes, and what breaks off. */
export async function patiently<T>(
  wanted: AbortSignal | undefined,
  answeredMs: number,
  act: (signal: AbortSignal, came: () => void) => Promise<T>,
): Promise<T> {
  const stall = new AbortController();
  const giveUp = (): void => stall.abort();
  let timer = setTimeout(giveUp, answeredMs);
  const came = (): void => {
    clearTimeout(timer);
    timer = setTimeout(giveUp, STALLED_MS);
  };
  try {
    return await act(wanted ? AbortSignal.any([wanted, stall.signal]) : stall.signal, came);
  } catch (error) {
    // What still comes of it is not waited for.
    stall.abort();
    if (wanted?.aborted === true || error instanceof ApiError) throw error;
    throw new ApiError("network", "the answer broke off");
  } finally {
    clearTimeout(timer);
  }
}

/** The bytes of an answer, as they come. */
export async function eachPiece(response: Response, came: () => void, onPiece: (piece: Uint8Array<ArrayBuffer>) => void): Promise<void> {
  came();
  const reader = response.body?.getReader();
  for (;;) {
    const piece = await reader?.read();
    if (!piece || piece.done) return;
    came();
    onPiece(piece.value);
  }
}

/** All of them. */
export async function allPieces(response: Response, came: () => void): Promise<Blob> {
  const pieces: Uint8Array<ArrayBuffer>[] = [];
  await eachPiece(response, came, (piece) => pieces.push(piece));
  return new Blob(pieces, { type: response.headers.get("Content-Type") ?? "" });
}
