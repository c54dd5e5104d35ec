// Owns how near its limit the server is, in words for the organiser: always in sight, and what it means once it matters.

import type { JSX } from "preact";
import { Icon } from "../../components/icons";
import { t } from "../../i18n";
import type { Wall } from "./wall";

export function LoadSign({ wall }: { readonly wall: Wall }): JSX.Element {
  const load = wall.room.client.event.load.value;
  return (
    <p class="wall-load" data-testid="wall-load" data-load={load}>
      <Icon name={load === "calm" ? "check" : "warning"} />
      {t(`wall.load.${load}`)}
    </p>
  );
}

/** Always there, as a screen reader hears only what changes in a place that it knows. */
export function LoadMeaning({ wall }: { readonly wall: Wall }): JSX.Element {
  const load = wall.room.client.event.load.value;
  return (
    <div role="status">
      {load !== "calm" && (
        <p class="wall-trouble" data-testid="wall-load-meaning">
          <Icon name="warning" />
          {t(`wall.load.${load}.means`)}
        </p>
      )}
    </div>
  );
}
