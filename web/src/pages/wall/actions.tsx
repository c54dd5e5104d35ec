// Owns what an organiser may do with one point, in a dialog from its tile, and the question whom the next one replaces.

import type { JSX } from "preact";
import { ask } from "../../components/context";
import { Dialog } from "../../components/dialog";
import { Icon } from "../../components/icons";
import type { IconName } from "../../components/icons";
import { t } from "../../i18n";
import type { Participant } from "../../protocol";
import { from } from "../session/eventbands";
import { STAGE_MAX } from "./wall";
import type { Wall } from "./wall";

export function Actions({ wall }: { readonly wall: Wall }): JSX.Element | null {
  const id = wall.acting.value;
  const person = id === null ? undefined : wall.room.people.value.get(id);
  if (!person) return null;
  return <ActionsOf person={person} wall={wall} />;
}

function ActionsOf({ person, wall }: { readonly person: Participant; readonly wall: Wall }): JSX.Element {
  const { client } = wall.room;
  const { id } = person;
  const onStage = client.stage.value.includes(id);
  const next = client.event.cue.value === id;
  const microphone = client.tracks.value.find(({ participant, source }) => participant === id && source === "microphone");
  const full = client.stage.value.length >= STAGE_MAX;
  const close = (): void => {
    wall.acting.value = null;
  };
  const act = (icon: IconName, word: string, testId: string, run: () => void, primary = false): JSX.Element => (
    <button
      type="button"
      class={primary ? "button large primary" : "button large"}
      data-testid={testId}
      onClick={() => {
        run();
        close();
      }}
    >
      <Icon name={icon} />
      {word}
    </button>
  );
  return (
    <Dialog title={from(person.name, person.point)} onClose={close} testId="tile-actions">
      <div class="choices">
        {onStage
          ? act("down", t("wall.offStage"), "act-off", () => wall.offStage(id), true)
          : act("next", t(next ? "wall.notNext" : "wall.cue"), "act-cue", () => wall.cue(id), true)}
        {!onStage && !full && act("floor", t("wall.toStage"), "act-stage", () => wall.giveFloor(id))}
        {act("notice", t("wall.write"), "act-write", () => wall.writeTo(id))}
        {microphone &&
          act(microphone.blocked ? "microphone" : "microphoneOff", t(microphone.blocked ? "people.unmute" : "people.mute"), "act-mute", () =>
            ask(client.blockTrack(microphone.id, !microphone.blocked)),
          )}
        {client.hands.value.includes(id) && act("hand", t("people.lowerHand"), "act-hand", () => ask(client.setHand(false, id)))}
      </div>
    </Dialog>
  );
}

export function Replacing({ wall }: { readonly wall: Wall }): JSX.Element | null {
  const { client, people } = wall.room;
  const cue = people.value.get(client.event.cue.value ?? "");
  if (!wall.replacing.value || !cue) return null;
  const others = client.stage.value.flatMap((id) => people.value.get(id) ?? []).filter(({ id }) => id !== client.self.value?.id);
  return (
    <Dialog title={t("wall.replaceWhom", { name: cue.name })} onClose={() => (wall.replacing.value = false)} testId="replace-dialog">
      <div class="choices">
        {others.map((person) => (
          <button key={person.id} type="button" class="button large" data-testid="replace" data-participant={person.id} onClick={() => wall.replace(person.id)}>
            <Icon name="floor" />
            {from(person.name, person.point)}
          </button>
        ))}
      </div>
    </Dialog>
  );
}
