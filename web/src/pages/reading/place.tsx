// Owns the place of the pictures on the session page: the line that says who leads, and below it the viewer or why it is not there.

import type { JSX } from "preact";
import { useEffect } from "preact/hooks";
import { Icon } from "../../components/icons";
import { t } from "../../i18n";
import type { Room } from "../session/room";
import { ReadingBar } from "./bar";
import { drawing } from "./load";

export function ReadingPlace({ room }: { readonly room: Room }): JSX.Element {
  const { together, client } = room;
  const viewer = together.viewer.value;
  const Reader = drawing.value?.Reader;
  const leader = together.leads.value ? undefined : room.people.value.get(client.reading.leader.value ?? "");
  const pointsName = leader?.name ?? "";
  useEffect(() => {
    if (viewer) viewer.pointsName.value = pointsName;
  }, [viewer, pointsName]);
  return (
    <section class="reading" aria-label={t("reading.word")} data-testid="reading" data-stage={together.stage.value}>
      <ReadingBar room={room} />
      <div class="reading-place">
        {viewer && Reader ? (
          <Reader viewer={viewer} autoFocus={together.byHand.value} />
        ) : (
          <p class="reading-waiting" role="status">
            {together.stage.value === "failed" ? t("reading.failed") : t("reading.opening")}
            {together.stage.value === "failed" && (
              <button type="button" class="button" onClick={() => together.again()}>
                <Icon name="retry" />
                {t("app.retry")}
              </button>
            )}
          </p>
        )}
      </div>
    </section>
  );
}
