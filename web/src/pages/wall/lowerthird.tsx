// Owns writing the lower third: for whom, and two lines that begin with name and point.

import type { JSX } from "preact";
import { ask } from "../../components/context";
import { Icon } from "../../components/icons";
import { t } from "../../i18n";
import { LOWER_THIRD_MAX_CHARACTERS } from "../../protocol";
import type { LowerThird, ParticipantId } from "../../protocol";
import type { Wall } from "./wall";

const NOTHING: LowerThird = { participant: "", title: "", subtitle: "" };

export function LowerThirdEditor({ wall }: { readonly wall: Wall }): JSX.Element {
  const { client, people } = wall.room;
  const shown = client.event.lowerThird.value;
  const able = [...new Set([...client.stage.value, ...(client.event.cue.value === null ? [] : [client.event.cue.value])])];
  const words = wall.lower.value ?? shown ?? NOTHING;
  const write = (change: Partial<LowerThird>): void => {
    wall.lower.value = { ...words, ...change };
  };
  const choose = (id: ParticipantId): void => {
    const person = people.peek().get(id);
    write({
      participant: id,
      title: person?.name ?? "",
      subtitle: person === undefined || person.point === person.name ? "" : person.point,
    });
  };
  const ready = able.includes(words.participant) && words.title.trim() !== "";
  const show = async (): Promise<void> => {
    await client.setLowerThird(words);
    // What others show from now on is seen here; what was written meanwhile stays.
    if (wall.lower.peek() === words) wall.lower.value = null;
  };
  return (
    <form
      class="desk-lower"
      onSubmit={(event) => {
        event.preventDefault();
        if (ready) ask(show());
      }}
    >
      <h2>{t("wall.lowerThird")}</h2>
      <label class="field">
        <span>{t("wall.lowerWhom")}</span>
        <select data-testid="lower-whom" value={words.participant} onChange={(event) => choose(event.currentTarget.value)}>
          <option value="">{t("wall.lowerChoose")}</option>
          {able.map((id) => (
            <option key={id} value={id}>
              {people.value.get(id)?.name}
            </option>
          ))}
        </select>
      </label>
      <label class="field">
        <span>{t("wall.lowerTitle")}</span>
        <input
          type="text"
          data-testid="lower-title"
          maxLength={LOWER_THIRD_MAX_CHARACTERS}
          value={words.title}
          onInput={(event) => write({ title: event.currentTarget.value })}
        />
      </label>
      <label class="field">
        <span>{t("wall.lowerSubtitle")}</span>
        <input
          type="text"
          data-testid="lower-subtitle"
          maxLength={LOWER_THIRD_MAX_CHARACTERS}
          value={words.subtitle}
          onInput={(event) => write({ subtitle: event.currentTarget.value })}
        />
      </label>
      <div class="desk-buttons">
        <button type="submit" class="button" data-testid="lower-show" aria-disabled={!ready}>
          <Icon name="check" />
          {t("wall.lowerShow")}
        </button>
        {shown !== null && (
          <button type="button" class="button" data-testid="lower-hide" onClick={() => ask(client.setLowerThird(null))}>
            <Icon name="close" />
            {t("wall.lowerHide")}
          </button>
        )}
      </div>
    </form>
  );
}
