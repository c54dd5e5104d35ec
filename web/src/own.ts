// Owns that the server knows of the own devices what it ought to: what is live and allowed is published, what is muted is told,
// and who may no longer show is no longer filmed. Decides nothing about connections.

import { effect } from "@preact/signals";
import type { ReadonlySignal } from "@preact/signals";
import type { Request } from "./actions";
import type { Captures } from "./captures";
import { SOURCES } from "./protocol";
import type { Permission, Source, TrackId } from "./protocol";
import type { Publisher } from "./publisher";
import { RequestError } from "./requests";
import { ownTrack } from "./room";
import type { Room } from "./room";
import type { LocalTrack, RemoteTrack } from "./state";

export class OwnTracks {
  /** What each own track was last told to be; asked for again after every new start. */
  readonly #told = new Map<TrackId, boolean>();

  constructor(
    private readonly room: Room,
    private readonly captures: Captures,
    private readonly publisher: Publisher,
    private readonly request: Request,
  ) {}

  /** Follows captures, permissions and the server's word until the returned functions are called. */
  follow(): (() => void)[] {
    return [effect(() => this.publish()), effect(() => this.tellMuted()), this.#watchPermissions()];
  }

  /** The server may know nothing of what it was told before. */
  forgetTold(): void {
    this.#told.clear();
  }

  /** Publishes what is live and allowed, and nothing else. */
  publish(): void {
    const permissions = this.room.permissions.value;
    const captures = this.captures.all.value;
    for (const source of SOURCES) {
      const capture = captures.get(source);
      const starting = capture?.state === "starting" && (capture.stream !== null || this.publisher.has(source));
      if (capture && permissions.has(`publish:${source}`) && (capture.state === "live" || starting)) {
        this.publisher.set(source, { track: capture.stream?.getTracks()[0] ?? null, muted: capture.muted });
      } else {
        this.publisher.remove(source);
      }
    }
  }

  /** Makes the server's idea of what is muted agree with ours. */
  tellMuted(): void {
    const tracks = this.room.tracks.value;
    const self = this.room.selfId.value;
    for (const { source, muted } of this.captures.all.value.values()) {
      const track = ownTrack(tracks, self, source);
      if (!track || (this.#told.get(track.id) ?? track.muted) === muted) continue;
      this.#told.set(track.id, muted);
      this.request({ type: "setTrackMuted", track: track.id, muted }).catch((error: unknown) => {
        // Offline: resuming tells it again. Refused: a moderator's block stands, so it stays as the server has it.
        if (error instanceof RequestError && error.code !== "offline") this.room.fail(error.code);
      });
    }
  }

  locals(): ReadonlyMap<Source, LocalTrack> {
    const tracks = this.room.tracks.value;
    const self = this.room.selfId.value;
    return new Map(
      [...this.captures.all.value].map(([source, capture]) => {
        const track = ownTrack(tracks, self, source);
        return [source, { ...capture, blocked: track?.blocked ?? false, track: track?.id ?? null }] as const;
      }),
    );
  }

  /** Every track of the session with what there is to see or hear of it. */
  all(streams: ReadonlySignal<ReadonlyMap<TrackId, MediaStream>>): readonly RemoteTrack[] {
    const self = this.room.selfId.value;
    const pictures = this.room.pictures.value;
    return [...this.room.tracks.value.values()].map((track) => {
      const own = track.participant === self;
      const stream = own ? this.captures.all.value.get(track.source)?.stream : streams.value.get(track.id);
      const picture = pictures.get(track.id);
      return { ...track, own, stream: stream ?? null, layer: picture?.layer ?? null, limited: picture?.limited ?? false };
    });
  }

  /** Who lost the floor is no longer filmed. */
  #watchPermissions(): () => void {
    let before: ReadonlySet<Permission> = new Set();
    return effect(() => {
      const now = this.room.permissions.value;
      for (const source of SOURCES) {
        if (before.has(`publish:${source}`) && !now.has(`publish:${source}`)) void this.captures.stop(source);
      }
      before = now;
    });
  }
}
