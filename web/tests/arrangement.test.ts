// Tests src/event/arrangement.ts: which pictures are large, by the organiser's layout.

import { expect, test } from "vitest";
import { largeOfEvent } from "../src/event/arrangement";
import type { Arranging } from "../src/event/arrangement";
import type { Source } from "../src/protocol";
import type { RemoteTrack } from "../src/state";

function picture(participant: string, source: Source = "camera", own = false): RemoteTrack {
  return {
    ...{ id: `${participant}-${source}`, participant, source, own, kind: "video", muted: false, blocked: false, flowing: true },
    ...{ layers: [], codec: "VP8", stream: null, layer: null, limited: false },
  };
}

const STAGE = ["hub", "lan", "mai"];
const PICTURES = [picture("hub"), picture("lan"), picture("lan", "ultrasound"), picture("mai")];
const WISH: Arranging = { layout: "speaker", main: null, second: null, stage: STAGE, pictures: PICTURES, speaker: null, last: null };

const large = (wish: Partial<Arranging>) => largeOfEvent({ ...WISH, ...wish }).map(({ id }) => id);

test.each<[string, Partial<Arranging>, string[]]>([
  ["who speaks is large", { speaker: "mai" }, ["mai-camera"]],
  ["in silence who was large stays", { last: "lan" }, ["lan-camera"]],
  ["whom the organiser named is large whoever speaks", { main: "lan", speaker: "mai" }, ["lan-camera"]],
  ["whose camera is off gives way to who speaks", { main: "hub", speaker: "mai", pictures: PICTURES.slice(1) }, ["mai-camera"]],
  ["slides come before the face of who shows them", { main: "hub", pictures: [...PICTURES, picture("hub", "screen")] }, ["hub-screen"]],
  ["the own face is not large while there are others", { main: "mai", pictures: [picture("hub"), picture("mai", "camera", true)] }, ["hub-camera"]],
  ["alone on the stage one sees oneself", { pictures: [picture("mai", "camera", true)] }, ["mai-camera"]],
  ["two stand on the sides that were named", { layout: "pair", main: "mai", second: "hub" }, ["mai-camera", "hub-camera"]],
  ["of two of whom one is named the other is who speaks", { layout: "pair", main: "hub", speaker: "mai" }, ["hub-camera", "mai-camera"]],
  ["two whom nobody named do not change sides as they speak", { layout: "pair", speaker: "lan" }, ["hub-camera", "lan-camera"]],
  ["the ultrasound is alone", { layout: "ultrasound", main: "hub" }, ["lan-ultrasound"]],
  ["without an ultrasound it is as with a speaker", { layout: "ultrasound", pictures: [picture("hub")] }, ["hub-camera"]],
  ["all are alike", { layout: "grid" }, PICTURES.map(({ id }) => id)],
  ["nobody who is off the stage is large", { layout: "grid", pictures: [picture("other", "camera", true), picture("hub")] }, ["hub-camera"]],
  ["an empty stage shows nothing", { pictures: [] }, []],
])("%s", (_, wish, ids) => {
  expect(large(wish)).toEqual(ids);
});
