// Owns what is known of one lane: all streams of one participant's source, one after the other, as pieces in the order of
// time; where it has something, where it has nothing, and where it is damaged. Pure: no network, no media, no clock.

import { PART_DAMAGED, PART_GAP, PART_KEY } from "./api";
import type { Finding, InitInfo, PartList, RecordedTrack } from "./api";

/** Between two pieces; less is jitter of the source and no gap to tell of. */
export const SHORT_MS = 250;
/** How far back decoding may have to begin; the recorder asks for a keyframe every 4 s. */
const LONGEST_BACK_PIECES = 60;

export type Bad = "damaged" | "unsupported";

/** A part of a track: about a second. */
export interface Piece {
  readonly track: number;
  readonly part: number;
  readonly init: number | null;
  readonly startMs: number;
  readonly endMs: number;
  readonly sizeBytes: number;
  /** Decoding can begin here. */
  readonly key: boolean;
  /** Something was lost on the way to the server. */
  readonly lossy: boolean;
  bad: Bad | null;
}

/** `lost`: there, but with gaps by loss. */
export type SpanKind = "there" | "lost" | "damaged" | "unsupported";

export interface Span {
  readonly kind: SpanKind;
  readonly fromMs: number;
  readonly toMs: number;
}

export interface Stretch {
  readonly fromMs: number;
  readonly toMs: number;
}

/** What a lane has at one moment: a piece, or nothing until the next one. */
export type Moment =
  | { readonly kind: "there"; readonly index: number; readonly piece: Piece }
  | { readonly kind: "bad"; readonly bad: Bad; readonly stretch: Stretch }
  | { readonly kind: "nothing"; readonly nextMs: number | null };

export class Lane {
  readonly id: string;
  readonly participant: string;
  readonly source: string;
  readonly kind: "audio" | "video";
  readonly pieces: Piece[] = [];
  readonly tracks = new Map<number, RecordedTrack>();
  /** Newest part known of each track. */
  readonly newest = new Map<number, number>();
  private spansKnown: readonly Span[] | null = null;
  private readonly found = new Set<string>();

  constructor(first: RecordedTrack) {
    this.id = laneId(first);
    this.participant = first.participant;
    this.source = first.source;
    this.kind = first.kind;
    this.tracks.set(first.id, first);
  }

  /** More may come. */
  get live(): boolean {
    return [...this.tracks.values()].some(({ live }) => live);
  }

  get endMs(): number {
    return this.pieces.at(-1)?.endMs ?? 0;
  }

  init(piece: Piece): InitInfo | null {
    return this.tracks.get(piece.track)?.inits.find(({ part }) => part === piece.init) ?? null;
  }

  /** Takes in what the server told of one of its tracks. Returns whether anything is new. */
  take(track: number, { parts, findings }: PartList): boolean {
    const known = this.newest.get(track) ?? -1;
    const rows = parts.filter(([number]) => number > known);
    for (const [part, init, startMs, durationMs, flags, sizeBytes] of rows) {
      const lost = init === null || init < 0;
      this.pieces.push({
        track,
        part,
        init: lost ? null : init,
        startMs,
        endMs: startMs + durationMs,
        sizeBytes,
        key: this.kind === "audio" || (flags & PART_KEY) !== 0,
        lossy: (flags & (PART_DAMAGED | PART_GAP)) !== 0,
        bad: lost ? "damaged" : null,
      });
    }
    const newest = rows.at(-1)?.[0];
    if (newest !== undefined) this.newest.set(track, newest);
    this.pieces.sort(inTime);
    const noted = findings.filter((finding) => this.note(track, finding)).length;
    if (rows.length > 0 || noted > 0) this.spansKnown = null;
    return rows.length > 0 || noted > 0;
  }

  /** A piece turned out not to be usable; what depends on it is not either. */
  spoil(piece: Piece, bad: Bad): void {
    piece.bad = bad;
    this.spansKnown = null;
  }

  /** All pieces of one initialisation segment. */
  spoilInit(track: number, init: number | null, bad: Bad): void {
    for (const piece of this.pieces) if (piece.track === track && piece.init === init) piece.bad = bad;
    this.spansKnown = null;
  }

  at(atMs: number): Moment {
    const index = this.lastFrom(atMs);
    const piece = this.pieces[index];
    const next = this.pieces[index + 1];
    if (piece && this.unusable(index)) {
      const stretch = this.badStretch(index);
      if (atMs < stretch.toMs) return { kind: "bad", bad: this.badness(index), stretch };
    }
    if (piece && (atMs < piece.endMs || (next !== undefined && next.startMs - piece.endMs <= SHORT_MS))) {
      return { kind: "there", index, piece };
    }
    return { kind: "nothing", nextMs: this.next(index)?.startMs ?? null };
  }

  /** The first piece after this index that can be shown. */
  next(index: number): Piece | null {
    for (let place = index + 1; place < this.pieces.length; place++) {
      if (!this.unusable(place)) return this.pieces[place] ?? null;
    }
    return null;
  }

  shows(piece: Piece): boolean {
    return !this.unusable(this.pieces.lastIndexOf(piece));
  }

  /** Where decoding has to begin to show the piece; null if it cannot be shown. */
  decodableFrom(index: number): number | null {
    const track = this.pieces[index]?.track;
    const init = this.pieces[index]?.init;
    for (let back = index; back >= 0 && index - back <= LONGEST_BACK_PIECES; back--) {
      const piece = this.pieces[back];
      if (piece?.bad !== null || piece.track !== track || piece.init !== init) return null;
      if (piece.key) return back;
    }
    return null;
  }

  /** Damage that has to be told before playing over it, at or after a time. */
  damageAt(atMs: number): Stretch | null {
    const moment = this.at(atMs);
    return moment.kind === "bad" && moment.bad === "damaged" ? moment.stretch : null;
  }

  /** Neighbours of one kind as one, for drawing. */
  spans(): readonly Span[] {
    if (this.spansKnown) return this.spansKnown;
    const spans: Span[] = [];
    for (const [index, piece] of this.pieces.entries()) {
      const kind: SpanKind = this.unusable(index) ? this.badness(index) : piece.lossy ? "lost" : "there";
      const last = spans.at(-1);
      if (last?.kind === kind && piece.startMs - last.toMs <= SHORT_MS) {
        spans[spans.length - 1] = { ...last, toMs: Math.max(last.toMs, piece.endMs) };
      } else {
        spans.push({ kind, fromMs: piece.startMs, toMs: piece.endMs });
      }
    }
    this.spansKnown = spans;
    return spans;
  }

  /** Index of the last piece that begins at or before; -1 before the first. */
  private lastFrom(atMs: number): number {
    let low = 0;
    let high = this.pieces.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if ((this.pieces[middle]?.startMs ?? Infinity) <= atMs) low = middle + 1;
      else high = middle;
    }
    return low - 1;
  }

  private unusable(index: number): boolean {
    return this.pieces[index]?.bad !== null || this.decodableFrom(index) === null;
  }

  /** Of what made it so: the piece itself, or one that it depends on. */
  private badness(index: number): Bad {
    for (let back = index; back >= 0; back--) {
      const bad = this.pieces[back]?.bad ?? null;
      if (bad !== null) return bad;
      if (this.pieces[back]?.key === true) break;
    }
    return "damaged";
  }

  private badStretch(index: number): Stretch {
    let first = index;
    let last = index;
    while (first > 0 && this.unusable(first - 1)) first--;
    while (last + 1 < this.pieces.length && this.unusable(last + 1)) last++;
    const behind = this.pieces[last + 1]?.startMs ?? Infinity;
    return { fromMs: this.pieces[first]?.startMs ?? 0, toMs: Math.min(this.pieces[last]?.endMs ?? 0, behind) };
  }

  /** A part that is missing leaves a hole, which is given a piece of its own, so that playback stops there. */
  private note(track: number, { part, trouble }: Finding): boolean {
    const key = `${track}/${part ?? ""}/${trouble}`;
    if (part === null || this.found.has(key)) return false;
    this.found.add(key);
    const piece = this.pieces.find((one) => one.track === track && one.part === part);
    if (piece) {
      piece.bad = "damaged";
      return true;
    }
    if (this.tracks.get(track)?.inits.some((init) => init.part === part) === true) {
      this.spoilInit(track, part, "damaged");
      return true;
    }
    const own = this.pieces.filter((one) => one.track === track);
    const before = own.filter((one) => one.part < part).at(-1);
    const after = own.find((one) => one.part > part);
    const startMs = before?.endMs ?? this.tracks.get(track)?.beginMs ?? 0;
    const endMs = after?.startMs ?? this.tracks.get(track)?.endMs ?? startMs;
    if (endMs <= startMs) return false;
    this.pieces.push({ track, part, init: null, startMs, endMs, sizeBytes: 0, key: false, lossy: false, bad: "damaged" });
    this.pieces.sort(inTime);
    return true;
  }
}

export function laneId({ participant, source }: Pick<RecordedTrack, "participant" | "source">): string {
  return `${participant}/${source}`;
}

/** Adds tracks that are new and what changed of the others. Returns the lanes in the order in which they began. */
export function mergeTracks(lanes: readonly Lane[], tracks: readonly RecordedTrack[]): readonly Lane[] {
  const merged = [...lanes];
  for (const track of tracks) {
    const lane = merged.find(({ id, kind }) => id === laneId(track) && kind === track.kind);
    if (lane) lane.tracks.set(track.id, track);
    else merged.push(new Lane(track));
  }
  return merged;
}

function inTime(a: Piece, b: Piece): number {
  return a.startMs - b.startMs || a.track - b.track || a.part - b.part;
}
