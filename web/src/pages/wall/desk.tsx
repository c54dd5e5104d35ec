// Owns the organiser's desk beside the wall: where the show stands, who is next with a live picture, the stage and its layout, and what is written.

import type { JSX } from "preact";
import { ask } from "../../components/context";
import { Icon } from "../../components/icons";
import { TrackVideo } from "../../components/video";
import { formatNumber, t } from "../../i18n";
import { STAGE_LAYOUTS } from "../../protocol";
import type { Participant } from "../../protocol";
import { from } from "../session/eventbands";
import { RecordingSign } from "../session/recording";
import { PersonLine } from "../session/strip";
import { pictureName } from "../session/stage";
import { Door, Lobby } from "./door";
import { LowerThirdEditor } from "./lowerthird";
import { RunOfShow } from "./runofshow";
import { MessagesTab, QuestionsTab } from "./talk";
import { STAGE_MAX } from "./wall";
import type { Tab, Wall } from "./wall";

const TABS: readonly Tab[] = ["stage", "questions", "messages"];

export function Desk({ wall }: { readonly wall: Wall }): JSX.Element {
  const tab = wall.tab.value;
  const open = wall.room.client.event.questions.value.filter(({ state }) => state === "open").length;
  return (
    <aside class="side desk" aria-label={t("wall.desk")}>
      <RecordingSign room={wall.room} />
      <RunOfShow wall={wall} />
      <Next wall={wall} />
      <Undo wall={wall} />
      <Lobby wall={wall} />
      <div class="desk-tabs" role="group" aria-label={t("wall.desk")}>
        {TABS.map((one) => (
          <button key={one} type="button" class="button small" data-testid={`tab-${one}`} aria-pressed={tab === one} onClick={() => (wall.tab.value = one)}>
            {t(`wall.tab.${one}`)}
            {one === "questions" && open > 0 && <span class="wall-filter-count">{formatNumber(open)}</span>}
          </button>
        ))}
      </div>
      <div class="desk-body">
        {tab === "stage" && <StageTab wall={wall} />}
        {tab === "questions" && <QuestionsTab wall={wall} />}
        {tab === "messages" && <MessagesTab wall={wall} />}
      </div>
    </aside>
  );
}

function Next({ wall }: { readonly wall: Wall }): JSX.Element {
  const { room } = wall;
  const { client } = room;
  const person = room.people.value.get(client.event.cue.value ?? "");
  if (!person) {
    return (
      <section class="desk-next empty" aria-label={t("wall.next")}>
        <h2>{t("wall.next")}</h2>
        <p class="note">{t("wall.nextNobody")}</p>
      </section>
    );
  }
  const hears = room.heard.value === person.id;
  const pictures = client.tracks.value.filter(
    ({ participant, kind, stream, muted, blocked }) => participant === person.id && kind === "video" && stream !== null && !muted && !blocked,
  );
  return (
    <section class="desk-next" aria-label={t("wall.next")} data-testid="desk-next" data-participant={person.id}>
      <h2>
        {t("wall.next")}: {from(person.name, person.point)}
      </h2>
      <div class="desk-pictures">
        {pictures.map((track) => (
          <TrackVideo
            key={track.id}
            stream={track.stream}
            label={pictureName(room, track)}
            testId="cue-video"
            track={track.id}
            source={track.source}
            participant={track.participant}
          />
        ))}
        {pictures.length === 0 && <p class="note">{t("wall.nextNoPicture")}</p>}
      </div>
      <div class="desk-buttons">
        <button type="button" class="button primary" data-testid="take" aria-keyshortcuts="T" onClick={() => wall.take()}>
          <Icon name="floor" />
          {t("wall.take")}
          <kbd>T</kbd>
        </button>
        <button type="button" class="button" data-testid="listen" aria-pressed={hears} onClick={() => (room.heard.value = hears ? null : person.id)}>
          <Icon name={hears ? "sound" : "soundOff"} />
          {t(hears ? "wall.listening" : "wall.listen")}
        </button>
        <button type="button" class="button" data-testid="not-next" onClick={() => wall.cue(person.id)}>
          <Icon name="close" />
          {t("wall.notNext")}
        </button>
      </div>
    </section>
  );
}

function Undo({ wall }: { readonly wall: Wall }): JSX.Element {
  const deed = wall.deed.value;
  return (
    <div role="status" aria-live="polite">
      {deed !== null && (
        <p class="desk-undo" data-testid="desk-undo">
          <span>{t(`wall.done.${deed.kind}`, { name: deed.name })}</span>
          <button type="button" class="button small" data-testid="undo" onClick={() => wall.undo()}>
            <Icon name="undo" />
            {t("wall.undo")}
          </button>
        </p>
      )}
    </div>
  );
}

function StageTab({ wall }: { readonly wall: Wall }): JSX.Element {
  const { client, people } = wall.room;
  const stage = client.stage.value.flatMap((id) => people.value.get(id) ?? []);
  const now = client.event.layout.value;
  return (
    <>
      <fieldset class="desk-layouts">
        <legend>{t("wall.layout")}</legend>
        {STAGE_LAYOUTS.map((layout, index) => (
          <button
            key={layout}
            type="button"
            class="button small"
            data-testid={`layout-${layout}`}
            aria-pressed={now === layout}
            aria-keyshortcuts={String(index + 1)}
            onClick={() => wall.arrange(layout)}
          >
            <kbd>{index + 1}</kbd>
            {t(`wall.layout.${layout}`)}
          </button>
        ))}
      </fieldset>
      <h2>{t("wall.onStage", { here: formatNumber(stage.length), most: formatNumber(STAGE_MAX) })}</h2>
      <ul class="desk-stage">
        {stage.map((person) => (
          <Staged key={person.id} person={person} wall={wall} />
        ))}
      </ul>
      <LowerThirdEditor wall={wall} />
      <Door wall={wall} />
      <button type="button" class="button" data-testid="mute-off-stage" onClick={() => ask(client.muteOffStage())}>
        <Icon name="microphoneOff" />
        {t("wall.muteOffStage")}
      </button>
    </>
  );
}

function Staged({ person, wall }: { readonly person: Participant; readonly wall: Wall }): JSX.Element {
  const { client } = wall.room;
  const { layout, main, second } = client.event;
  const speaking = client.speakers.value.some(({ participant }) => participant === person.id);
  return (
    <li class="desk-person" data-testid="desk-person" data-participant={person.id}>
      <PersonLine person={person} room={wall.room} speaking={speaking} />
      <div class="desk-person-buttons" role="group" aria-label={person.name}>
        {layout.value !== "grid" && (
          <button type="button" class="button small" data-testid="enlarge" aria-pressed={main.value === person.id} onClick={() => wall.enlarge(person.id)}>
            {t(layout.value === "pair" ? "wall.left" : "wall.large")}
          </button>
        )}
        {layout.value === "pair" && (
          <button type="button" class="button small" data-testid="beside" aria-pressed={second.value === person.id} onClick={() => wall.beside(person.id)}>
            {t("wall.right")}
          </button>
        )}
        <button type="button" class="button small" data-testid="off-stage" onClick={() => wall.offStage(person.id)}>
          <Icon name="down" />
          {t("wall.offStage")}
        </button>
      </div>
    </li>
  );
}
