// Owns the pictures: one large, the others small beside it, each of them playing all the time in an element that stays where it
// is; and the sounds with their switches. Nothing lies over a picture that plays.

import { useComputed } from "@preact/signals";
import type { JSX } from "preact";
import { useEffect, useRef } from "preact/hooks";
import { sourceIcon } from "../../components/devices";
import { Icon } from "../../components/icons";
import { t } from "../../i18n";
import type { Lane } from "../../replay/lane";
import type { Shown } from "../../replay/laneplayer";
import { duration } from "../view";
import type { Room } from "./room";
import { asSource, groupByPerson, laneName, personName, sourceWord } from "./view";
import type { Group } from "./view";

export function Pictures({ room }: { readonly room: Room }): JSX.Element {
  const groups = groupByPerson(room.lanes.value, room.replay.story.value.people);
  return (
    <main id="content" class="replay-pictures" aria-label={t("session.stage")} tabIndex={-1}>
      <div class="replay-side">
        <Title room={room} />
        <ul class="replay-people" aria-label={t("session.people")}>
          {groups.map((group) => (
            <PersonItem key={group.participant} group={group} room={room} />
          ))}
        </ul>
      </div>
      {room.main.value === null && (
        <div class="replay-large replay-card" data-testid="no-picture">
          <Icon name="sound" />
          <p>{t(groups.length === 0 ? "replay.nothingRecorded" : "replay.soundOnly")}</p>
        </div>
      )}
    </main>
  );
}

function Title({ room }: { readonly room: Room }): JSX.Element {
  const recording = room.replay.recording.value;
  return (
    <header class="replay-title">
      <h2 title={recording?.title}>{recording?.title}</h2>
      {recording !== null && recording.state !== "ended" && (
        <p class="replay-badge strong" data-testid="state">
          <Icon name={recording.state === "running" ? "live" : "warning"} />
          {t(`replay.state.${recording.state}`)}
        </p>
      )}
      {typeof recording?.clipOf === "string" && <p class="replay-badge">{t("replay.clip")}</p>}
    </header>
  );
}

function PersonItem({ group, room }: { readonly group: Group; readonly room: Room }): JSX.Element {
  const name = personName(group.person);
  return (
    <li class="replay-person" data-testid="replay-person" data-participant={group.participant}>
      <div class="replay-person-line">
        <span class="person-name" title={name}>
          {name}
        </span>
        {group.sounds.length > 0 && <SoundSwitch sounds={group.sounds} name={name} room={room} />}
      </div>
      {group.pictures.map((lane) => (
        <Picture key={lane.id} lane={lane} room={room} />
      ))}
      {group.sounds.map((lane) => (
        <Sound key={lane.id} lane={lane} room={room} />
      ))}
    </li>
  );
}

function SoundSwitch({ sounds, name, room }: { readonly sounds: readonly Lane[]; readonly name: string; readonly room: Room }): JSX.Element {
  const players = sounds.flatMap(({ id }) => room.replay.players.value.get(id) ?? []);
  const muted = players.length > 0 && players.every((player) => player.muted.value);
  return (
    <button
      type="button"
      class="button small replay-sound"
      data-testid="mute-person"
      onClick={() => {
        for (const player of players) player.muted.value = !muted;
      }}
    >
      <Icon name={muted ? "soundOff" : "sound"} />
      {t(muted ? "replay.muted" : "replay.sound")}
      <span class="unseen">, {name}</span>
    </button>
  );
}

function usePlayer(element: { readonly current: HTMLMediaElement | null }, lane: Lane, room: Room): void {
  useEffect(() => (element.current ? room.replay.attach(lane, element.current) : undefined), [element, lane, room]);
}

/** Without a browser's own player: one clock moves all of them. */
function Sound({ lane, room }: { readonly lane: Lane; readonly room: Room }): JSX.Element {
  const element = useRef<HTMLAudioElement>(null);
  usePlayer(element, lane, room);
  return <audio ref={element} data-testid="lane-sound" data-lane={lane.id} data-participant={lane.participant} />;
}

function Picture({ lane, room }: { readonly lane: Lane; readonly room: Room }): JSX.Element {
  const element = useRef<HTMLVideoElement>(null);
  usePlayer(element, lane, room);
  const large = room.main.value?.id === lane.id;
  const what = laneName(lane, room.replay.story.value.people);
  const shown = room.replay.players.value.get(lane.id)?.shown.value ?? "loading";
  return (
    <div
      class={large ? "replay-picture replay-large" : "replay-picture"}
      data-testid="lane"
      data-lane={lane.id}
      data-source={lane.source}
      data-participant={lane.participant}
      data-shown={shown}
    >
      <video ref={element} muted playsInline disablePictureInPicture aria-label={what} data-source={lane.source} data-participant={lane.participant} />
      <Card lane={lane} room={room} shown={shown} />
      {large ? (
        <p class="replay-caption">
          <Icon name={iconOf(lane)} />
          <span class="caption-name">{what}</span>
          <LossNote lane={lane} room={room} />
        </p>
      ) : (
        <button
          type="button"
          class="replay-choose"
          aria-label={t("session.showLarge", { what })}
          data-testid="tile"
          data-source={lane.source}
          onClick={() => (room.pinned.value = lane.id)}
        >
          <span class="tile-name">
            <Icon name={iconOf(lane)} />
            {sourceWord(lane.source)}
          </span>
        </button>
      )}
    </div>
  );
}

function Card({ lane, room, shown }: { readonly lane: Lane; readonly room: Room; readonly shown: Shown }): JSX.Element | null {
  const nextMs = useComputed(() => {
    const moment = room.replay.version.value >= 0 ? lane.at(room.replay.atMs.value) : null;
    return moment?.kind === "nothing" ? moment.nextMs : moment?.kind === "bad" ? moment.stretch.toMs : null;
  });
  if (shown === "there") return null;
  if (shown === "loading") {
    // Only where it takes long: at each seek it would flicker.
    if (!room.replay.waiting.value) return null;
    return (
      <p class="replay-card passing" role="status">
        {t("replay.loading")}
      </p>
    );
  }
  return (
    <div class="replay-card">
      <Icon name={shown === "nothing" ? iconOf(lane) : "warning"} />
      <p>{t(`replay.card.${shown}`, { what: sourceWord(lane.source) })}</p>
      {nextMs.value !== null && shown !== "unsupported" && (
        <p class="note">{t("replay.goesOn", { when: duration(Math.ceil((nextMs.value - room.replay.beginMs.value) / 1000) * 1000) })}</p>
      )}
    </div>
  );
}

/** Pictures that stand still since something was lost on the way must not pass for a heart that stands still. */
function LossNote({ lane, room }: { readonly lane: Lane; readonly room: Room }): JSX.Element {
  const lossy = useComputed(() => {
    const moment = room.replay.version.value >= 0 ? lane.at(room.replay.atMs.value) : null;
    return moment?.kind === "there" && moment.piece.lossy;
  });
  return (
    <span class="caption-place" role="status">
      {lossy.value && (
        <span class="caption-state">
          <Icon name="warning" />
          {t("replay.lossHere")}
        </span>
      )}
    </span>
  );
}

function iconOf(lane: Lane): "sound" | ReturnType<typeof sourceIcon> {
  const source = asSource(lane.source);
  return source === null ? "sound" : sourceIcon(source);
}
