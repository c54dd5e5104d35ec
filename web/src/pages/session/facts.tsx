// Owns the figures of the main picture, small in the corner of the side column.

import type { JSX } from "preact";
import { t } from "../../i18n";
import { factLines } from "../view";
import type { Room } from "./room";

export function PictureFacts({ room }: { readonly room: Room }): JSX.Element | null {
  const main = room.main.value;
  if (!room.factsShown.value || !main) return null;
  const lines = factLines(room.client.facts.value.get(main.id), main.own);
  return (
    <section class="facts" aria-label={t("facts.title")} data-testid="picture-facts" data-track={main.id}>
      <h2>{t("facts.title")}</h2>
      {lines.length === 0 ? (
        <p>{t("facts.none")}</p>
      ) : (
        <dl>
          {lines.map(({ name, value }) => (
            <div key={name}>
              <dt>{name}</dt>
              <dd>{value}</dd>
            </div>
          ))}
        </dl>
      )}
    </section>
  );
}
