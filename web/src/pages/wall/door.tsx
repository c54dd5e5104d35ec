// Owns the event's door: who waits in the lobby and is let in or sent away, whether there is one, whether it is locked.

import { useSignal } from "@preact/signals";
import type { JSX } from "preact";
import { ask } from "../../components/context";
import { Icon } from "../../components/icons";
import { t } from "../../i18n";
import type { DoorChange } from "../../state";
import { from } from "../session/eventbands";
import type { Wall } from "./wall";

/** Above the tabs whenever somebody waits: nobody is forgotten outside. */
export function Lobby({ wall }: { readonly wall: Wall }): JSX.Element | null {
  const { client } = wall.room;
  const waiting = client.event.waiting.value;
  if (waiting.length === 0) return null;
  return (
    <details class="desk-lobby" data-testid="lobby">
      <summary>
        <Icon name="people" />
        {t("wall.waiting", { count: waiting.length })}
      </summary>
      <button type="button" class="button primary" data-testid="admit-all" onClick={() => ask(client.admit())}>
        <Icon name="check" />
        {t("wall.admitAll")}
      </button>
      <ul>
        {waiting.map((person) => (
          <li key={person.id} data-testid="waiting">
            <span>{from(person.name, person.point)}</span>
            <button type="button" class="button small" data-testid="admit" onClick={() => ask(client.admit([person.id]))}>
              {t("wall.admit")}
            </button>
            <button type="button" class="button small" data-testid="turn-away" onClick={() => ask(client.turnAway(person.id))}>
              {t("wall.turnAway")}
            </button>
          </li>
        ))}
      </ul>
    </details>
  );
}

export function Door({ wall }: { readonly wall: Wall }): JSX.Element {
  const { client } = wall.room;
  /** Until the server answers; a refusal shows what holds. */
  const wish = useSignal<DoorChange>({});
  const lobby = wish.value.lobby ?? client.session.value?.lobby ?? false;
  const locked = wish.value.locked ?? client.session.value?.locked ?? false;
  const set = async (change: DoorChange): Promise<void> => {
    const wished: DoorChange = { ...wish.peek(), ...change };
    wish.value = wished;
    try {
      await client.setDoor(change);
    } finally {
      if (wish.peek() === wished) wish.value = {};
    }
  };
  return (
    <fieldset class="desk-door">
      <legend>{t("wall.door")}</legend>
      <label class="check">
        <input type="checkbox" data-testid="door-lobby" checked={lobby} onChange={(event) => ask(set({ lobby: event.currentTarget.checked }))} />
        {t("wall.lobby")}
      </label>
      <label class="check">
        <input type="checkbox" data-testid="door-locked" checked={locked} onChange={(event) => ask(set({ locked: event.currentTarget.checked }))} />
        {t("wall.locked")}
      </label>
    </fieldset>
  );
}
