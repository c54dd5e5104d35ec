// Owns the large pictures: one, two or all, each with a line below it that says whose it is; nothing lies over a picture.

import type { JSX } from "preact";
import { Icon } from "../../components/icons";
import { sourceIcon } from "../../components/devices";
import { TrackVideo } from "../../components/video";
import { t } from "../../i18n";
import type { Participant } from "../../protocol";
import type { RemoteTrack } from "../../state";
import { initials } from "../view";
import { ReadingPlace } from "../reading/place";
import { startSource } from "./commands";
import { LowerThirdLine } from "./eventbands";
import type { Room } from "./room";

/** More would be too small to read; the strip has the rest. */
const GRID_MAX = 12;

export function Stage({ room }: { readonly room: Room }): JSX.Element {
  const shown = room.large.value.slice(0, GRID_MAX);
  return (
    <main
      id="content"
      class="stage"
      data-count={shown.length + (room.reads.value ? 1 : 0)}
      data-reads={room.reads.value}
      data-stage-layout={room.event.value ? room.client.event.layout.value : undefined}
      aria-label={t("session.stage")}
      tabIndex={-1}
    >
      {room.reads.value && <ReadingPlace room={room} />}
      {shown.map((track) => (
        <Figure key={track.id} track={track} room={room} />
      ))}
      {shown.length === 0 && !room.reads.value && <NoPicture room={room} />}
    </main>
  );
}

function Figure({ track, room }: { readonly track: RemoteTrack; readonly room: Room }): JSX.Element {
  const label = pictureName(room, track);
  return (
    <figure class={`picture ${track.source}`}>
      {track.stream ? (
        <TrackVideo
          stream={track.stream}
          label={label}
          testId="stage-video"
          mirrored={track.own && track.source === "camera"}
          track={track.id}
          source={track.source}
          participant={track.participant}
        />
      ) : (
        <div class="picture-waiting">{t("connection.connecting")}</div>
      )}
      <LowerThirdLine track={track} room={room} />
      <figcaption>
        <Icon name={sourceIcon(track.source)} />
        <span class="caption-name">{label}</span>
        {/* Always there, as a screen reader hears only what changes in a place that it knows. */}
        <span class="caption-place" role="status">
          <PictureState track={track} room={room} label={label} />
        </span>
      </figcaption>
    </figure>
  );
}

interface StateProps {
  readonly track: RemoteTrack;
  readonly room: Room;
  readonly label: string;
}

/** A picture that stands still must not pass for a live one, whichever part of the way is broken. */
function PictureState({ track, room, label }: StateProps): JSX.Element | null {
  if (track.own) return null;
  const stopped = !track.flowing || room.client.facts.value.get(track.id)?.bitrateBps === 0;
  const word = stopped ? t("session.pictureStopped") : track.limited ? t("session.pictureWeak") : null;
  if (word === null) return null;
  return (
    <span class="caption-state">
      <Icon name="warning" />
      <span class="unseen">{label}: </span>
      {word}
    </span>
  );
}

function NoPicture({ room }: { readonly room: Room }): JSX.Element {
  const { client, flavour } = room;
  // In an event everybody watches; a point's pictures are wanted once it comes on the stage.
  const watching = flavour.value === "viewer" || (room.event.value && !client.onStage.value);
  const satellite = flavour.value === "satellite" && !watching;
  const hub = [...room.people.value.values()].find(({ role }) => role === "hub");
  return (
    <div class="no-picture">
      <span class="no-picture-sign" aria-hidden="true">
        {watching && hub ? initials(hub.name) : <Icon name="ultrasound" />}
      </span>
      <h2>{t("session.noPicture")}</h2>
      <p>{t(satellite ? "session.noPictureSatellite" : watching ? "session.noPictureViewer" : "session.noPictureHub")}</p>
      {satellite && client.permissions.value.has("publish:ultrasound") && (
        <button type="button" class="button primary large" onClick={() => startSource(room, "ultrasound")}>
          <Icon name="ultrasound" />
          {t("session.startUltrasound")}
        </button>
      )}
    </div>
  );
}

function withPoint({ name, point }: Participant): string {
  return point === "" || point === name ? name : `${name} (${point})`;
}

export function pictureName(room: Room, track: RemoteTrack): string {
  const source = t(`source.${track.source}`);
  if (track.own) return t("session.yourPicture", { source });
  const person = room.people.value.get(track.participant);
  const name = person === undefined ? "" : withPoint(person);
  return t("session.pictureOf", { source, name });
}
