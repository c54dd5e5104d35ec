// Owns the column beside the stage, in its flavours: people and figures for the hub and viewers, the hub doctor's face and
// directions for a satellite.

import type { JSX } from "preact";
import { Icon } from "../../components/icons";
import { DeviceTrouble } from "../../components/problem";
import { TrackVideo } from "../../components/video";
import { t } from "../../i18n";
import type { RemoteTrack } from "../../state";
import { hubFace, initials } from "../view";
import { Chat } from "./chat";
import { Counts, SelfView } from "./eventbands";
import { PictureFacts } from "./facts";
import { RecordingSign } from "./recording";
import { PersonLine, Strip, Tile } from "./strip";
import type { Room } from "./room";

export function Side({ room }: { readonly room: Room }): JSX.Element {
  // In an event a point follows the stage as all do.
  const satellite = room.flavour.value === "satellite" && !room.event.value;
  return (
    <aside class="side" aria-label={t("session.people")}>
      <SessionTitle room={room} />
      {satellite ? <Face room={room} /> : <Strip room={room} />}
      <SelfView room={room} />
      <UltrasoundTrouble room={room} />
      <PictureFacts room={room} />
      {/* Last, so that news know where its line for writing stands. */}
      {satellite && <Directions room={room} />}
    </aside>
  );
}

function SessionTitle({ room }: { readonly room: Room }): JSX.Element {
  const session = room.client.session.value;
  const audience = room.client.audience.value;
  return (
    <header class="session-title">
      <RecordingSign room={room} />
      <h2 title={session?.title}>{session?.title}</h2>
      {room.event.value && <Counts room={room} />}
      {audience > 0 && !room.event.value && (
        <p class="audience">
          <Icon name="people" />
          {t("session.watching", { count: audience })}
        </p>
      )}
    </header>
  );
}

function Face({ room }: { readonly room: Room }): JSX.Element {
  const { client } = room;
  const face = hubFace(client.participants.value, room.pictures.value, client.speakers.value);
  const camera = room.pictures.value.find(({ participant, source }) => participant === face?.id && source === "camera");
  const speaking = client.speakers.value.some(({ participant }) => participant === face?.id);
  return (
    <>
      <section class={speaking ? "face speaking" : "face"} aria-label={t("session.hubFace")}>
        {camera?.stream ? (
          <TrackVideo
            stream={camera.stream}
            label={t("session.pictureOf", { source: t("source.camera"), name: face?.name ?? "" })}
            testId="face-video"
            track={camera.id}
            source="camera"
            participant={camera.participant}
          />
        ) : (
          <p class="face-none">{face ? <span class="face-initials">{initials(face.name)}</span> : t("session.hubFaceNone")}</p>
        )}
        {face && <PersonLine person={face} room={room} speaking={speaking} />}
      </section>
      {room.reads.value && <SmallMain room={room} />}
      <OtherPictures room={room} face={face?.id ?? null} />
    </>
  );
}

function Directions({ room }: { readonly room: Room }): JSX.Element {
  return (
    <section class="directions" aria-label={t("chat.directions")}>
      <h2>{t("chat.directions")}</h2>
      <Chat room={room} />
    </section>
  );
}

/** Shown as a small picture while a study has the large place. */
function isSmall(room: Room, track: RemoteTrack): boolean {
  return room.reads.value && room.main.value?.id === track.id && !room.large.value.includes(track);
}

/** What was large goes on here while a study has its place. */
function SmallMain({ room }: { readonly room: Room }): JSX.Element | null {
  const main = room.main.value;
  if (main === null || !isSmall(room, main)) return null;
  return (
    <div class="small-main" data-testid="small-main">
      <Tile track={main} room={room} named />
    </div>
  );
}

/** What others show besides the face: seen by choosing it, so that the own ultrasound stays large by itself. */
function OtherPictures({ room, face }: { readonly room: Room; readonly face: string | null }): JSX.Element | null {
  const others = room.pictures.value.filter(
    (track) => track.source !== "camera" && (room.pinned.value !== null || !room.large.value.includes(track)) && !isSmall(room, track),
  );
  if (others.length === 0) return null;
  return (
    <ul class="others">
      {others.map((track) => {
        const person = room.people.value.get(track.participant);
        const chosen = room.main.value?.id === track.id;
        return (
          <li key={track.id}>
            <button
              type="button"
              class="button small"
              aria-pressed={chosen}
              data-testid="tile"
              data-track={track.id}
              onClick={() => room.pin(track.id)}
            >
              <Icon name={track.kind === "video" && track.source !== "ultrasoundSound" && track.source !== "microphone" ? track.source : "sound"} />
              {track.own || track.participant === face
                ? t(`source.${track.source}`)
                : t("session.pictureOf", { source: t(`source.${track.source}`), name: person?.name ?? "" })}
            </button>
          </li>
        );
      })}
    </ul>
  );
}

function UltrasoundTrouble({ room }: { readonly room: Room }): JSX.Element | null {
  const { client } = room;
  const local = client.locals.value.get("ultrasound");
  const facts = local?.track ? client.facts.value.get(local.track) : undefined;
  return (
    <DeviceTrouble
      source="ultrasound"
      local={local}
      framesPerSecond={facts?.framesPerSecond ?? null}
      onRetry={() => void client.start("ultrasound", local?.deviceId ?? undefined)}
    />
  );
}
