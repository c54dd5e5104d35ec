// Owns which sound belongs to which picture: browsers keep the two in step, and only for such a pair do they tell when what
// is shown was captured. One pair a group; Chromium cannot change a group once media flows, so a choice stays. Pure.

import type { Role, Source, Track, TrackId } from "./protocol";

/** The picture that a voice explains. A satellite's camera is left out: its ultrasound may only come later. */
const VOICE_GOES_WITH: Readonly<Record<Role, readonly Source[]>> = {
  satellite: ["ultrasound", "microscope"],
  hub: ["ultrasound", "microscope", "camera", "screen"],
  organiser: ["camera", "screen"],
  viewer: ["camera"],
};

export interface Described extends Pick<Track, "id" | "participant" | "source"> {
  readonly role: Role;
}

export class SyncGroups {
  readonly #groups = new Map<TrackId, string>();

  /** The stream id for each of these tracks, which are all that are received now. */
  assign(tracks: readonly Described[]): ReadonlyMap<TrackId, string> {
    const present = new Set(tracks.map(({ id }) => id));
    for (const id of this.#groups.keys()) if (!present.has(id)) this.#groups.delete(id);
    for (const participant of new Set(tracks.map((track) => track.participant))) {
      this.#assignOf(tracks.filter((track) => track.participant === participant));
    }
    return this.#groups;
  }

  #assignOf(its: readonly Described[]): void {
    const bySource = new Map(its.map((track) => [track.source, track]));
    this.#pair(bySource.get("ultrasoundSound"), [bySource.get("ultrasound")]);
    const voice = bySource.get("microphone");
    if (voice) {
      const pictures = VOICE_GOES_WITH[voice.role].map((source) => bySource.get(source));
      this.#pair(voice, pictures);
    }
    for (const track of its) this.#groups.set(track.id, this.#groups.get(track.id) ?? `alone-${track.id}`);
  }

  #pair(sound: Described | undefined, pictures: readonly (Described | undefined)[]): void {
    if (!sound) return;
    const group = this.#groups.get(sound.id) ?? `with-${sound.id}`;
    this.#groups.set(sound.id, group);
    if (pictures.some((picture) => picture && this.#groups.get(picture.id) === group)) return;
    const picture = pictures.find((one) => one && !this.#groups.has(one.id));
    if (picture) this.#groups.set(picture.id, group);
  }
}
