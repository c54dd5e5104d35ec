// Owns what an event says to everybody beside the pictures: who speaks (lower third), the question that is answered, that one
// comes next, what the organisers wrote, and how many are here.

import type { JSX } from "preact";
import { Video } from "../../components/video";
import { Icon } from "../../components/icons";
import type { IconName } from "../../components/icons";
import { t } from "../../i18n";
import type { Source } from "../../protocol";
import type { Client, RemoteTrack } from "../../state";
import { clockTime } from "../view";
import { toggleSource } from "./commands";
import type { Room } from "./room";

/** Nothing is written over an ultrasound: below it, where it hides neither scale nor depth. */
export function LowerThirdLine({ track, room }: { readonly track: RemoteTrack; readonly room: Room }): JSX.Element | null {
  const words = room.client.event.lowerThird.value;
  const whose = room.large.value.filter(({ participant }) => participant === words?.participant);
  const first = whose.find(({ source }) => source === "camera") ?? whose[0];
  if (!room.event.value || words === null || first?.id !== track.id) return null;
  return (
    <div class={track.source === "camera" ? "lower-third over" : "lower-third"} data-testid="lower-third">
      <strong>{words.title}</strong>
      {words.subtitle !== "" && <span>{words.subtitle}</span>}
    </div>
  );
}

export function QuestionBand({ room }: { readonly room: Room }): JSX.Element | null {
  const question = room.event.value ? room.client.event.shown.value : null;
  return (
    <div role="status" aria-live="polite">
      {question !== null && (
        <div class="question-band" data-testid="question-band">
          <Icon name="questions" />
          <p>
            <span class="question-from">{from(question.name, question.point)}</span>
            {question.text}
          </p>
        </div>
      )}
    </div>
  );
}

export function from(name: string, point: string): string {
  return point === "" || point === name ? name : `${name}, ${point}`;
}

/** Large: who waits looks elsewhere. With what the others will see and hear, and the buttons that mend it. */
export function NextBanner({ room }: { readonly room: Room }): JSX.Element {
  const { client } = room;
  const next = room.event.value && client.event.next.value;
  const camera = client.locals.value.get("camera");
  return (
    <div role="status" aria-live="assertive">
      {next && (
        <section class="next-banner" data-testid="next-banner" aria-label={t("event.next")}>
          {camera?.stream && (
            <div class="next-picture">
              <Video stream={camera.stream} label={t("event.yourCamera")} testId="next-preview" mirrored />
            </div>
          )}
          <div class="next-words">
            <h2>{t("event.next")}</h2>
            <p>{t("event.nextHint")}</p>
            <div class="next-devices">
              <DeviceState room={room} source="camera" />
              <DeviceState room={room} source="microphone" />
            </div>
          </div>
        </section>
      )}
    </div>
  );
}

function DeviceState({ room, source }: { readonly room: Room; readonly source: Source & IconName }): JSX.Element | null {
  const { client } = room;
  if (!client.permissions.value.has(`publish:${source}`)) return null;
  const local = client.locals.value.get(source);
  const on = local?.state === "live" && !local.muted && !local.blocked;
  const off = source === "microphone" ? "microphoneOff" : "cameraOff";
  const muted = local?.blocked === true;
  return (
    <button
      type="button"
      class={on || muted ? "button large" : "button large primary"}
      data-testid={`next-${source}`}
      data-on={on}
      aria-disabled={muted}
      onClick={() => {
        if (!muted) toggleSource(room, source);
      }}
    >
      <Icon name={on ? source : off} />
      <span>
        {t(`source.${source}`)}
        <small>{muted ? t("event.mutedUntilStage") : t(on ? "event.isOn" : "event.isOff")}</small>
      </span>
    </button>
  );
}

/** A point that is off the stage is not among the pictures: without this it would not know that its camera is covered. */
export function SelfView({ room }: { readonly room: Room }): JSX.Element | null {
  const { client } = room;
  const off = room.event.value && room.flavour.value === "satellite" && !client.onStage.value && !client.event.next.value;
  if (!off || !client.permissions.value.has("publish:camera")) return null;
  const camera = client.locals.value.get("camera");
  const stream = camera?.state === "live" && !camera.muted && !camera.blocked ? camera.stream : null;
  return (
    <section class="self-view" aria-label={t("event.yourCameraNow")}>
      {/* As others see it: not mirrored. */}
      {stream !== null && <Video stream={stream} label={t("event.yourCameraNow")} testId="self-view" />}
      <p class="note" data-testid="self-view-words">
        {t(stream !== null ? "event.selfView" : "event.selfViewOff")}
      </p>
    </section>
  );
}

/** Each stays until it is closed. */
export function Messages({ room }: { readonly room: Room }): JSX.Element {
  const { event } = room.client;
  return (
    <div class="message-cards" role="alert">
      {event.messages.value.map((message) => (
        <section key={message.id} class="message-card" data-testid="notice-card">
          <p class="message-from">
            <Icon name="notice" />
            {t("event.noticeFrom", { name: message.name, time: clockTime(message.sentAt) })}
          </p>
          <p class="message-text">{message.text}</p>
          <button type="button" class="button" data-testid="notice-close" onClick={() => event.close(message.id)}>
            <Icon name="check" />
            {t("event.noticeRead")}
          </button>
        </section>
      ))}
    </div>
  );
}

export function Counts({ room }: { readonly room: Room }): JSX.Element {
  const { client } = room;
  return (
    <p class="audience" data-testid="event-counts">
      <Icon name="people" />
      <span>
        {t("event.points", { count: client.event.points.value })}, {t("people.count", { count: headcount(client) })}
      </span>
    </p>
  );
}

/** Moderators are told of everybody. Others count those off the stage with themselves among them, and see the rest. */
export function headcount({ participants, permissions, self, onStage, audience }: Client): number {
  const here = participants.value.filter(({ connected }) => connected);
  if (permissions.value.has("moderate")) return here.length;
  return here.filter(({ id }) => onStage.value || id !== self.value?.id).length + audience.value;
}
