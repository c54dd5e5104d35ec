// Owns the list of everybody: raised hands first and in order, and what a moderator may do with each person.

import { useSignal } from "@preact/signals";
import type { JSX } from "preact";
import { ask } from "../../components/context";
import { Confirm } from "../../components/dialog";
import { place } from "../../components/focus";
import { Icon } from "../../components/icons";
import type { IconName } from "../../components/icons";
import { t } from "../../i18n";
import type { Key } from "../../i18n";
import type { Participant } from "../../protocol";
import { groupPeople } from "../view";
import { Counts } from "./eventbands";
import { openConsents } from "./consent";
import type { Room } from "./room";
import { PersonLine } from "./strip";

export function PeoplePanel({ room }: { readonly room: Room }): JSX.Element {
  const { client } = room;
  const asked = useSignal<Participant | null>(null);
  const leaving = asked.value;
  const open = openConsents(room).length;
  const groups = groupPeople(client.participants.value, client.stage.value, client.hands.value);
  const group = (title: Key, people: readonly Participant[]) =>
    people.length > 0 && (
      <section key={title}>
        <h3>{t(title)}</h3>
        <ul>
          {people.map((person) => (
            <Person key={person.id} person={person} room={room} onRemove={() => (asked.value = person)} />
          ))}
        </ul>
      </section>
    );
  return (
    <div class="people" data-testid="people-list">
      {open > 0 && (
        <p class="consents-open" data-testid="consents-open">
          <Icon name="consent" />
          {t("consent.openCount", { count: open })}
        </p>
      )}
      {group("people.hands", groups.hands)}
      {group("people.onStage", groups.onStage)}
      {group("people.others", groups.others)}
      {room.event.value && <Counts room={room} />}
      {client.audience.value > 0 && !room.event.value && <p class="audience">{t("session.watching", { count: client.audience.value })}</p>}
      {leaving && (
        <Confirm
          question={t("people.removeAsk", { name: leaving.name })}
          yes={t("people.removeYes")}
          onYes={() => ask(client.removeParticipant(leaving.id))}
          onClose={() => (asked.value = null)}
        />
      )}
    </div>
  );
}

interface PersonProps {
  readonly person: Participant;
  readonly room: Room;
  readonly onRemove: () => void;
}

function Person({ person, room, onRemove }: PersonProps): JSX.Element {
  const { client } = room;
  const speaking = client.speakers.value.some(({ participant }) => participant === person.id);
  const own = person.id === client.self.value?.id;
  const moderates = client.permissions.value.has("moderate");
  return (
    <li class="person" data-testid="person" data-participant={person.id} data-role={person.role} {...place(`person-${person.id}`)}>
      <PersonLine person={person} room={room} speaking={speaking} />
      <span class="person-role">
        {t(`role.${person.role}`)}
        {client.stage.value.includes(person.id) && ` · ${t("session.hasFloor")}`}
      </span>
      {moderates && (person.consent === "pending" || person.consent === "declined") && (
        <span class="person-consent" data-testid="person-consent" data-consent={person.consent}>
          <Icon name="consent" />
          {t(`consent.person.${person.consent}`)}
        </span>
      )}
      {(moderates || (own && client.onStage.value)) && <Moderation person={person} room={room} own={own} onRemove={onRemove} />}
    </li>
  );
}

function Moderation({ person, room, own, onRemove }: PersonProps & { readonly own: boolean }): JSX.Element {
  const { client } = room;
  const moderates = client.permissions.value.has("moderate");
  const onStage = client.stage.value.includes(person.id);
  const handUp = client.hands.value.includes(person.id);
  return (
    <div class="person-actions" role="group" aria-label={person.name}>
      {moderates && !onStage && (
        <Act icon="floor" word={t("people.giveFloor")} testId="give-floor" id={person.id} run={() => ask(client.giveFloor(person.id))} primary />
      )}
      {onStage && (
        <Act icon="floor" word={t(own ? "people.leaveFloor" : "people.takeFloor")} testId="take-floor" id={person.id} run={() => ask(client.takeFloor(person.id))} />
      )}
      {moderates && handUp && !own && (
        <Act icon="hand" word={t("people.lowerHand")} testId="lower-hand" id={person.id} run={() => ask(client.setHand(false, person.id))} />
      )}
      {moderates && !own && <Blocks person={person} room={room} />}
      {moderates && !own && <Act icon="remove" word={t("people.remove")} testId="remove" id={person.id} run={onRemove} />}
    </div>
  );
}

/** One button a track: what a moderator stops, the same button allows again. */
function Blocks({ person, room }: { readonly person: Participant; readonly room: Room }): JSX.Element {
  const { client } = room;
  const theirs = client.tracks.value.filter(({ participant }) => participant === person.id);
  return (
    <>
      {theirs.map((track) => {
        const source = t(`source.${track.source}`);
        const microphone = track.source === "microphone";
        const word = track.blocked
          ? microphone
            ? t("people.unmute")
            : t("people.allowPicture", { source })
          : microphone
            ? t("people.mute")
            : t("people.blockPicture", { source });
        const icon: IconName = microphone ? (track.blocked ? "microphone" : "microphoneOff") : "cameraOff";
        return (
          <Act
            key={track.id}
            icon={icon}
            word={word}
            testId="block-track"
            id={track.id}
            source={track.source}
            pressed={track.blocked}
            run={() => ask(client.blockTrack(track.id, !track.blocked))}
          />
        );
      })}
    </>
  );
}

interface ActProps {
  readonly icon: IconName;
  readonly word: string;
  readonly testId: string;
  readonly id: string;
  readonly run: () => void;
  readonly source?: string;
  readonly pressed?: boolean;
  readonly primary?: boolean;
}

function Act({ icon, word, testId, id, run, source, pressed, primary = false }: ActProps): JSX.Element {
  return (
    <button
      type="button"
      class={primary ? "button small primary" : "button small"}
      data-testid={testId}
      data-id={id}
      data-source={source}
      data-pressed={pressed}
      onClick={run}
    >
      <Icon name={icon} />
      {word}
    </button>
  );
}
