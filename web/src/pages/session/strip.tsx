// Owns the column of small pictures: everybody on the stage with name, line and microphone, and their other pictures.

import type { JSX } from "preact";
import { Icon, LineBars } from "../../components/icons";
import { sourceIcon } from "../../components/devices";
import { TrackVideo } from "../../components/video";
import { t } from "../../i18n";
import type { Participant } from "../../protocol";
import type { RemoteTrack } from "../../state";
import { initials } from "../view";
import { pictureName } from "./stage";
import type { Room } from "./room";

export function Strip({ room }: { readonly room: Room }): JSX.Element {
  const { client } = room;
  const people = client.stage.value.flatMap((id) => room.people.value.get(id) ?? []);
  return (
    <ul class="strip" aria-label={t("session.people")} data-testid="strip">
      {people.map((person) => (
        <StripPerson key={person.id} person={person} room={room} />
      ))}
    </ul>
  );
}

function StripPerson({ person, room }: { readonly person: Participant; readonly room: Room }): JSX.Element {
  const theirs = room.pictures.value.filter(({ participant }) => participant === person.id);
  const camera = theirs.find(({ source }) => source === "camera");
  const others = theirs.filter(({ source }) => source !== "camera");
  const speaking = room.client.speakers.value.some(({ participant }) => participant === person.id);
  return (
    <li class={speaking ? "tile-person speaking" : "tile-person"} data-participant={person.id} data-testid="strip-person">
      {camera ? (
        <Tile track={camera} room={room} />
      ) : (
        <div class="tile empty" aria-hidden="true">
          {initials(person.name)}
        </div>
      )}
      <PersonLine person={person} room={room} speaking={speaking} short />
      {others.map((track) => (
        <Tile key={track.id} track={track} room={room} named />
      ))}
    </li>
  );
}

interface TileProps {
  readonly track: RemoteTrack;
  readonly room: Room;
  readonly named?: boolean;
}

export function Tile({ track, room, named = false }: TileProps): JSX.Element {
  const what = pictureName(room, track);
  const large = room.large.value.some(({ id }) => id === track.id);
  return (
    <button
      type="button"
      class={large ? "tile chosen" : "tile"}
      aria-label={t("session.showLarge", { what })}
      aria-pressed={large}
      data-testid="tile"
      data-track={track.id}
      data-source={track.source}
      data-participant={track.participant}
      onClick={() => room.pin(track.id)}
    >
      {track.stream && (
        <TrackVideo
          stream={track.stream}
          label={what}
          testId="tile-video"
          mirrored={track.own && track.source === "camera"}
          track={track.id}
          source={track.source}
          participant={track.participant}
        />
      )}
      {named && (
        <span class="tile-name">
          <Icon name={sourceIcon(track.source)} />
          {t(`source.${track.source}`)}
        </span>
      )}
    </button>
  );
}

interface PersonLineProps {
  readonly person: Participant;
  readonly room: Room;
  readonly speaking: boolean;
  /** Where there is little room, "good" has to do for "good line". */
  readonly short?: boolean;
}

/** Name, then line and microphone in signs and words. */
export function PersonLine({ person, room, speaking, short = false }: PersonLineProps): JSX.Element {
  const { client } = room;
  const own = person.id === client.self.value?.id;
  const microphone = client.tracks.value.find((track) => track.participant === person.id && track.source === "microphone");
  const silent = microphone === undefined || microphone.muted || microphone.blocked;
  const place = client.hands.value.indexOf(person.id);
  const point = person.point === person.name ? "" : person.point;
  const whereabouts = [own ? t("session.you") : "", point].filter(Boolean).join(", ");
  return (
    <div class="person-line">
      <span class="person-name">{person.name}</span>
      {whereabouts !== "" && <span class="person-point">{whereabouts}</span>}
      <span class="person-signs">
        {place >= 0 && (
          <span class="sign hand" title={t("session.handNumber", { number: place + 1 })}>
            <Icon name="hand" />
            <span aria-hidden="true">{place + 1}</span>
            <span class="unseen">{t("session.handNumber", { number: place + 1 })}</span>
          </span>
        )}
        {silent ? (
          <span class="sign">
            <Icon name="microphoneOff" />
            <span class="unseen">{t(microphone?.blocked === true ? "session.blocked" : "session.muted")}</span>
          </span>
        ) : (
          <span class={speaking ? "sign speaks" : "sign"}>
            <Icon name="microphone" />
            {speaking && <span class="unseen">{t("session.speaking")}</span>}
          </span>
        )}
        <LineQuality person={person} short={short} />
      </span>
    </div>
  );
}

export function LineQuality({ person, short = false }: { readonly person: Participant; readonly short?: boolean }): JSX.Element {
  if (!person.connected) {
    return (
      <span class="sign line" data-quality="0">
        <LineBars quality={0} />
        {short && <span aria-hidden="true">{t("quality.short.0")}</span>}
        <span class={short ? "unseen" : undefined}>{t("session.away")}</span>
      </span>
    );
  }
  return (
    <span class="sign line" data-quality={person.quality ?? "unknown"}>
      <LineBars quality={person.quality} />
      {short && person.quality !== null && <span aria-hidden="true">{t(`quality.short.${person.quality}`)}</span>}
      <span class={short || person.quality === null ? "unseen" : undefined}>{t(`quality.${person.quality ?? "unknown"}`)}</span>
    </span>
  );
}
