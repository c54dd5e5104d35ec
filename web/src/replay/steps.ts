// Owns stepping from picture to picture, by the times that the server keeps of each. Knows no element.

import type { FrameTimes } from "./api";
import type { Lane, Piece } from "./lane";

/** On both sides of the piece at hand, so that the next steps ask for nothing. */
const PIECES_AROUND = 3;
/** WebM counts milliseconds, so the middle of a picture's time is the surest place to show it; of a long one, near its begin. */
const INTO_PICTURE_US = 8_000;

interface Known extends FrameTimes {
  readonly track: number;
}

export class Steps {
  private known: Known | null = null;

  constructor(private readonly ask: (track: number, from: number, to: number) => Promise<FrameTimes>) {}

  /** A moment within the picture after or before the one shown at `atMs`; null where there is none. */
  async next(lane: Lane, atMs: number, direction: 1 | -1): Promise<number | null> {
    const moment = lane.at(atMs);
    if (moment.kind === "nothing") return direction === 1 ? moment.nextMs : this.lastBefore(lane, atMs);
    if (moment.kind === "bad") return direction === 1 ? moment.stretch.toMs : null;
    const { piece, index } = moment;
    const atUs = Math.round(atMs * 1000);
    let known = this.known;
    let found = known?.track === piece.track ? place(known, atUs, direction) : null;
    if (found === null) {
      known = await this.around(lane, index, piece);
      found = place(known, atUs, direction);
    }
    if (found !== null) return found / 1000;
    const neighbour = direction === 1 ? lane.next(index) : (lane.pieces[index - 1] ?? null);
    if (neighbour === null) return null;
    return direction === 1 ? Math.max(neighbour.startMs, Math.ceil(known === null ? atMs : known.endUs / 1000)) : neighbour.endMs - 1;
  }

  private lastBefore(lane: Lane, atMs: number): number | null {
    const before = lane.pieces.filter(({ endMs, bad }) => bad === null && endMs <= atMs).at(-1);
    return before ? before.endMs - 1 : null;
  }

  private async around(lane: Lane, index: number, piece: Piece): Promise<Known> {
    const near = lane.pieces
      .slice(Math.max(0, index - PIECES_AROUND), index + PIECES_AROUND + 1)
      .filter(({ track, bad }) => track === piece.track && bad === null);
    const numbers = near.map(({ part }) => part);
    const times = await this.ask(piece.track, Math.min(...numbers), Math.max(...numbers));
    this.known = { ...times, track: piece.track };
    return this.known;
  }
}

/** Microseconds within the neighbour of the picture shown at a time; null if it is not among these. */
function place({ frames, endUs }: FrameTimes, atUs: number, direction: 1 | -1): number | null {
  const [first] = frames;
  if (first === undefined || atUs < first - 1_000 || atUs >= endUs) return null;
  let shown = frames.findIndex((start) => start > atUs) - 1;
  if (shown === -2) shown = frames.length - 1;
  const wanted = frames[shown + direction];
  if (wanted === undefined || shown + direction < 0) return null;
  const until = frames[shown + direction + 1] ?? endUs;
  return wanted + Math.min(INTO_PICTURE_US, (until - wanted) / 2);
}
