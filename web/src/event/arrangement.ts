// Owns which pictures of an event's stage are large, by the organiser's layout: the same for everybody. Pure.

import type { ParticipantId, Source, StageLayout } from "../protocol";
import type { RemoteTrack } from "../state";

export interface Arranging {
  readonly layout: StageLayout;
  readonly main: ParticipantId | null;
  readonly second: ParticipantId | null;
  readonly stage: readonly ParticipantId[];
  /** Of the stage and one's own, those that can be seen now, in the stage's order. */
  readonly pictures: readonly RemoteTrack[];
  /** Who spoke last. */
  readonly speaker: ParticipantId | null;
  /** What was large until now: nothing jumps while nothing better comes. */
  readonly last: ParticipantId | null;
}

/** Who speaks shows slides or the own face. */
const OF_SPEAKER: readonly Source[] = ["screen", "camera", "microscope", "ultrasound"];
const FACE_FIRST: readonly Source[] = ["camera", "screen", "microscope", "ultrasound"];

export function largeOfEvent(wish: Arranging): readonly RemoteTrack[] {
  const staged = wish.pictures.filter(({ participant }) => wish.stage.includes(participant));
  switch (wish.layout) {
    case "grid":
      return staged;
    case "pair":
      return pair(wish, staged);
    case "ultrasound": {
      const found = ultrasound(wish, staged);
      return found ? [found] : speaker(wish, staged);
    }
    case "speaker":
      return speaker(wish, staged);
  }
}

function speaker({ main, speaker: talks, last }: Arranging, staged: readonly RemoteTrack[]): readonly RemoteTrack[] {
  const others = staged.filter(({ own }) => !own).map(({ participant }) => participant);
  // Nobody looks at the own face for an hour: where it is one's own turn, who was large before stays.
  const order = [main, talks, last, ...others, ...staged.map(({ participant }) => participant)];
  const able = order.filter((id) => id !== null && (others.includes(id) || others.length === 0));
  for (const id of able) {
    const found = best(staged, id, OF_SPEAKER);
    if (found) return [found];
  }
  return [];
}

function pair({ main, second, speaker: talks, stage }: Arranging, staged: readonly RemoteTrack[]): readonly RemoteTrack[] {
  const chosen: RemoteTrack[] = [];
  // The two that were named keep their sides; where one is missing, who speaks and then the stage's order fill in.
  for (const id of [main, second, talks, ...stage]) {
    if (chosen.length === 2) break;
    if (chosen.some(({ participant }) => participant === id)) continue;
    const found = best(staged, id, FACE_FIRST);
    if (found) chosen.push(found);
  }
  return main === null ? chosen.sort((a, b) => stage.indexOf(a.participant) - stage.indexOf(b.participant)) : chosen;
}

function ultrasound({ main }: Arranging, staged: readonly RemoteTrack[]): RemoteTrack | undefined {
  const all = staged.filter(({ source }) => source === "ultrasound");
  return all.find(({ participant }) => participant === main) ?? all.find(({ flowing }) => flowing) ?? all[0];
}

function best(pictures: readonly RemoteTrack[], whose: ParticipantId | null, order: readonly Source[]): RemoteTrack | undefined {
  return pictures
    .filter(({ participant }) => participant === whose)
    .sort((a, b) => order.indexOf(a.source) - order.indexOf(b.source))[0];
}
