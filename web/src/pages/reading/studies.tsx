// Owns the list of the session's studies: what has come and is coming, what is on view, and opening one.

import type { JSX } from "preact";
import { useEffect } from "preact/hooks";
import { Icon } from "../../components/icons";
import { formatDay, formatNumber, t } from "../../i18n";
import type { Study } from "../../protocol";
import type { Room } from "../session/room";

export function StudiesPanel({ room }: { readonly room: Room }): JSX.Element {
  const { client, together } = room;
  const studies = client.reading.studies.value;
  // While the list is open, everything in it has been seen.
  useEffect(() => room.noteStudiesSeen(), [room, studies]);
  return (
    <div class="studies" data-testid="studies-list">
      <Shown room={room} />
      <button type="button" class="button studies-send" data-testid="studies-send" onClick={() => (room.panel.value = "send")}>
        <Icon name="send" />
        {t("control.send")}
      </button>
      {studies.length === 0 && <p class="note">{t("studies.none")}</p>}
      <ul>
        {studies.map((study) => (
          <li key={study.uid}>
            <StudyRow
              study={study}
              isShared={together.common.value === study.uid && client.reading.leader.value !== null}
              onOpen={() => {
                together.choose(study.uid);
                room.panel.value = null;
              }}
            />
          </li>
        ))}
      </ul>
    </div>
  );
}

/** What all look at while it is closed here. */
function Shown({ room }: { readonly room: Room }): JSX.Element | null {
  const { client, together, people } = room;
  const leader = people.value.get(client.reading.leader.value ?? "");
  if (together.stage.value !== "closed" || together.common.value === null || leader === undefined) return null;
  return (
    <button
      type="button"
      class="button primary large"
      data-testid="look-along"
      onClick={() => {
        together.goAlong();
        room.panel.value = null;
      }}
    >
      <Icon name="people" />
      {t("reading.join", { name: leader.name })}
    </button>
  );
}

interface RowProps {
  readonly study: Study;
  readonly isShared: boolean;
  readonly onOpen: () => void;
}

function StudyRow({ study, isShared, onOpen }: RowProps): JSX.Element {
  const { modalities, description, patient, date, point, uid, instances, expected, arriving } = study;
  const about = [description, formatDay(date)].filter((part) => part !== "").join(" · ");
  return (
    <button type="button" class={isShared ? "study-row shared" : "study-row"} data-testid="study-row" data-study={uid} onClick={onOpen}>
      <span class="study-head">
        <strong class="study-modality">{modalities.length > 0 ? modalities.join(", ") : "?"}</strong>
        <span class="study-patient">{patient === "" ? t("studies.nameless") : patient}</span>
      </span>
      {about !== "" && <span class="study-about">{about}</span>}
      {point !== "" && <span class="study-about">{t("studies.from", { point })}</span>}
      <span class="study-count" data-testid="study-count" data-arriving={arriving}>
        {arrivalText(study)}
      </span>
      {expected !== null && instances < expected && <progress value={instances} max={expected} aria-label={t("studies.progress")} />}
      {isShared && (
        <span class="study-shared">
          <Icon name="people" />
          {t("studies.shared")}
        </span>
      )}
    </button>
  );
}

export function arrivalText({ instances, expected, arriving }: Study): string {
  const done = formatNumber(instances);
  if (expected !== null && instances < expected) {
    const all = formatNumber(expected);
    return t(arriving ? "studies.arrivingOf" : "studies.stoppedAt", { done, all });
  }
  const pictures = t("studies.pictures", { count: instances });
  return arriving && expected === null ? t("studies.arriving", { pictures }) : pictures;
}
