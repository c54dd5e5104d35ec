// Owns the time line: where one is, what there is when, and going elsewhere by pressing and dragging.

import { useComputed } from "@preact/signals";
import type { JSX } from "preact";
import { useRef } from "preact/hooks";
import { Icon } from "../../components/icons";
import { t } from "../../i18n";
import type { Lane, Stretch } from "../../replay/lane";
import { clockTime, duration } from "../view";
import { places } from "./commands";
import type { Room } from "./room";
import { laneName, percent, snap } from "./view";

/** More are one press away. */
const LANES_AT_ONCE = 5;
/** Dragging asks for no more pictures than can be shown. */
const SEEK_EVERY_MS = 200;
/** A chapter's name is written where there is room for some letters of it. */
const NAMED_FROM_PERCENT = 7;

export function TimeLine({ room }: { readonly room: Room }): JSX.Element {
  return (
    <section class="replay-time" aria-label={t("replay.timeLine")}>
      <Clock room={room} />
      <Slider room={room} />
    </section>
  );
}

function Clock({ room }: { readonly room: Room }): JSX.Element {
  const { replay } = room;
  const atMs = room.scrubMs.value ?? replay.atMs.value;
  const beginMs = replay.beginMs.value;
  const startedAt = replay.recording.value?.startedAt ?? 0;
  return (
    <div class="replay-clock">
      <span class="replay-clock-now" data-testid="clock">
        {duration(atMs - beginMs, !replay.playing.value)}
      </span>
      <span class="replay-clock-end">/ {duration(replay.endMs.value - beginMs)}</span>
      <span class="replay-clock-wall" data-testid="wall-clock">
        <Icon name="clock" />
        <span class="unseen">{t("replay.wallClock")}</span>
        {clockTime(startedAt + atMs)}
      </span>
    </div>
  );
}

function Slider({ room }: { readonly room: Room }): JSX.Element {
  const { replay } = room;
  const track = useRef<HTMLDivElement>(null);
  const soughtAtMs = useRef(0);
  const beginMs = replay.beginMs.value;
  const endMs = replay.endMs.value;
  // Read by themselves, so that the lanes are not drawn anew as time goes by.
  const seconds = useComputed(() => Math.round(((room.scrubMs.value ?? replay.atMs.value) - replay.beginMs.value) / 1000));
  const spoken = useComputed(() => t("replay.positionText", { at: duration(seconds.value * 1000), end: duration(replay.endMs.value - replay.beginMs.value) }));
  const at = (ms: number): string => `${percent(ms, beginMs, endMs)}%`;
  const meant = (event: PointerEvent): number => {
    const box = track.current?.getBoundingClientRect();
    if (!box) return beginMs;
    const share = Math.max(0, Math.min(1, (event.clientX - box.left) / Math.max(1, box.width)));
    const toMs = beginMs + share * (endMs - beginMs);
    return event.type === "pointermove" ? toMs : snap(toMs, box.width, endMs - beginMs, places(room));
  };
  const drag = (event: PointerEvent): void => {
    room.scrubMs.value = meant(event);
    if (event.timeStamp - soughtAtMs.current < SEEK_EVERY_MS) return;
    soughtAtMs.current = event.timeStamp;
    replay.seek(room.scrubMs.value);
  };
  const drop = (): void => {
    if (room.scrubMs.value !== null) replay.seek(room.scrubMs.value);
    room.scrubMs.value = null;
  };
  return (
    <div
      class="replay-slider"
      role="slider"
      tabIndex={0}
      aria-label={t("replay.position")}
      aria-valuemin={0}
      aria-valuemax={Math.round((endMs - beginMs) / 1000)}
      aria-valuenow={seconds}
      aria-valuetext={spoken}
      data-testid="time-line"
      onPointerDown={(event) => {
        if (event.button !== 0) return;
        event.currentTarget.setPointerCapture(event.pointerId);
        room.scrubMs.value = meant(event);
        replay.seek(room.scrubMs.value);
        soughtAtMs.current = event.timeStamp;
      }}
      onPointerMove={(event) => {
        if (room.scrubMs.value !== null) drag(event);
      }}
      onPointerUp={drop}
      onPointerCancel={() => (room.scrubMs.value = null)}
    >
      <div ref={track} class="replay-track">
        <Chapters room={room} at={at} />
        <Lanes room={room} at={at} />
        <Kept room={room} at={at} />
        <Marks room={room} at={at} />
        <Head room={room} />
      </div>
    </div>
  );
}

/** All that moves twenty times a second. */
function Head({ room }: { readonly room: Room }): JSX.Element {
  const { replay } = room;
  const atMs = room.scrubMs.value ?? replay.atMs.value;
  return <div class="replay-head" style={{ left: `${percent(atMs, replay.beginMs.value, replay.endMs.value)}%` }} />;
}

interface PartProps {
  readonly room: Room;
  readonly at: (ms: number) => string;
}

/** Who had the floor. The panel has them as a list to press. */
function Chapters({ room, at }: PartProps): JSX.Element {
  const { replay } = room;
  const { chapters } = replay.story.value;
  const beginMs = replay.beginMs.value;
  const endMs = replay.endMs.value;
  return (
    <div class="replay-chapters" aria-hidden="true">
      {chapters.map((chapter, index) => {
        const untilMs = chapters[index + 1]?.atMs ?? endMs;
        const wide = percent(untilMs, beginMs, endMs) - percent(chapter.atMs, beginMs, endMs);
        if (wide <= 0) return null;
        return (
          <div key={chapter.atMs} class="replay-chapter" style={{ left: at(chapter.atMs), width: `${wide}%` }} data-testid="chapter">
            {wide >= NAMED_FROM_PERCENT && chapter.names.join(", ")}
          </div>
        );
      })}
    </div>
  );
}

function Lanes({ room, at }: PartProps): JSX.Element {
  const all = room.lanes.value;
  const main = room.main.value;
  const few = [...all].sort((a, b) => Number(b === main) - Number(a === main) || Number(a.kind === "audio") - Number(b.kind === "audio"));
  const shown = room.tracksShown.value ? all : few.slice(0, LANES_AT_ONCE);
  return (
    <ul class={room.tracksShown.value ? "replay-lanes named" : "replay-lanes"} aria-label={t("replay.tracks")}>
      {shown.map((lane) => (
        <LaneRow key={lane.id} lane={lane} room={room} at={at} />
      ))}
    </ul>
  );
}

function LaneRow({ lane, room, at }: PartProps & { readonly lane: Lane }): JSX.Element {
  const { replay } = room;
  const name = laneName(lane, replay.story.value.people);
  const spans = replay.version.value >= 0 ? lane.spans() : [];
  return (
    <li class="replay-lane" title={name} data-testid="lane-row" data-lane={lane.id}>
      <span class={room.tracksShown.value ? "replay-lane-name" : "unseen"}>{name}</span>
      <div class="replay-spans" aria-hidden="true">
        {spans.map(({ kind, fromMs, toMs }) => (
          <Span key={`${kind}${fromMs}`} kind={`${lane.kind} ${kind}`} fromMs={fromMs} toMs={toMs} at={at} />
        ))}
      </div>
    </li>
  );
}

function Span({ kind, fromMs, toMs, at }: Stretch & { readonly kind: string; readonly at: (ms: number) => string }): JSX.Element {
  return <div class={`replay-span ${kind}`} style={{ left: at(fromMs), right: `calc(100% - ${at(toMs)})` }} />;
}

/** Where nothing was kept on purpose, or for the disk's sake; and the clip that is being chosen. */
function Kept({ room, at }: PartProps): JSX.Element {
  const { paused, lost } = room.replay.story.value;
  const inMs = room.inMs.value;
  const outMs = room.outMs.value;
  return (
    <div class="replay-kept-spans" aria-hidden="true">
      {paused.map((one) => (
        <Span key={one.fromMs} kind="paused" at={at} {...one} />
      ))}
      {lost.map((one) => (
        <Span key={one.fromMs} kind="storage" at={at} {...one} />
      ))}
      {(inMs !== null || outMs !== null) && (
        <Span kind="clip" at={at} fromMs={inMs ?? room.replay.beginMs.value} toMs={outMs ?? room.replay.endMs.value} />
      )}
    </div>
  );
}

function Marks({ room, at }: PartProps): JSX.Element {
  return (
    <div class="replay-flags" aria-hidden="true">
      {room.replay.story.value.marks.map(({ id, atMs, text }) => (
        <div key={id} class="replay-flag" style={{ left: at(atMs) }} title={text} data-testid="flag" />
      ))}
    </div>
  );
}
