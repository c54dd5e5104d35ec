// Owns cutting a clip: where it begins and ends, its title, that it is being cut, and the clips that there are.

import type { Signal } from "@preact/signals";
import type { JSX } from "preact";
import { useEffect } from "preact/hooks";
import { Icon } from "../../components/icons";
import { Problem } from "../../components/problem";
import { t } from "../../i18n";
import type { Recorded } from "../../replay/api";
import { replayLink } from "../link";
import { duration } from "../view";
import { say } from "./faults";
import type { Room } from "./room";
import { formatLength } from "./view";

const TITLE_MAX_CHARACTERS = 200;
const ADJUST_MS = 1_000;
/** Parts are about a second long. */
const SHORTEST_MS = 1_000;

export function ClipForm({ room }: { readonly room: Room }): JSX.Element {
  const { replay, inMs, outMs, clipTitle: title, cutting, cutFault: fault } = room;
  const chosen = inMs.value !== null || outMs.value !== null;
  const fromMs = inMs.value ?? replay.beginMs.value;
  const toMs = outMs.value ?? replay.endMs.value;
  const long = toMs - fromMs >= SHORTEST_MS;
  return (
    <form
      class="replay-form replay-clip"
      aria-label={t("replay.clipNew")}
      onSubmit={(event) => {
        event.preventDefault();
        if (!cutting.value && chosen && long) void cut(room, Math.round(fromMs), Math.round(toMs));
      }}
    >
      <h3>{t("replay.clipNew")}</h3>
      {!chosen && <p class="note">{t("replay.clipHint")}</p>}
      <Point room={room} point={inMs} side="in" otherwiseMs={replay.beginMs.value} />
      <Point room={room} point={outMs} side="out" otherwiseMs={replay.endMs.value} />
      {chosen && (
        <>
          <label class="field">
            <span>{t("replay.clipTitle")}</span>
            <input
              type="text"
              data-testid="clip-title"
              value={title.value}
              maxLength={TITLE_MAX_CHARACTERS}
              autocomplete="off"
              onInput={(event) => (title.value = event.currentTarget.value)}
            />
          </label>
          <div class="replay-clip-buttons">
            <button type="submit" class="button primary" data-testid="cut-button" aria-disabled={cutting.value || !long}>
              <Icon name="cut" />
              {long ? t("replay.cut", { length: formatLength(toMs - fromMs) }) : t("replay.cutShort")}
            </button>
            <button
              type="button"
              class="button"
              data-testid="clip-clear"
              onClick={() => {
                inMs.value = outMs.value = null;
              }}
            >
              <Icon name="close" />
              {t("replay.clipClear")}
            </button>
          </div>
        </>
      )}
      <p role="status">
        {cutting.value && (
          <span class="replay-progress" data-testid="cutting">
            <progress aria-label={t("replay.cutting")} />
            {t("replay.cutting")}
          </span>
        )}
      </p>
      {fault.value !== null && (
        <Problem code={fault.value.code}>
          <p>{fault.value.words}</p>
        </Problem>
      )}
    </form>
  );
}

/** Goes on and tells how it ended, also after the panel was closed. */
async function cut(room: Room, fromMs: number, toMs: number): Promise<void> {
  const { clipTitle, cutting, cutFault, inMs, outMs } = room;
  const [title, begin, end] = [clipTitle.peek(), inMs.peek(), outMs.peek()];
  cutting.value = true;
  cutFault.value = null;
  try {
    const made = await room.api.cut(room.id, fromMs, toMs, title.trim());
    room.clips.value = [made, ...(room.clips.peek() ?? []).filter(({ id }) => id !== made.id)];
    // What was chosen meanwhile is for the next one.
    if (clipTitle.peek() === title) clipTitle.value = "";
    if (inMs.peek() === begin && outMs.peek() === end) inMs.value = outMs.value = null;
  } catch (error) {
    cutFault.value = say(error);
    if (room.panel.peek() !== "marks") room.failed.value = cutFault.value;
  }
  cutting.value = false;
}

interface PointProps {
  readonly room: Room;
  readonly point: Signal<number | null>;
  readonly side: "in" | "out";
  /** Where the clip begins or ends while nothing is chosen. */
  readonly otherwiseMs: number;
}

function Point({ room, point, side, otherwiseMs }: PointProps): JSX.Element {
  const { replay } = room;
  const word = t(`replay.point.${side}`);
  const set = (toMs: number): void => {
    const lowMs = side === "in" ? replay.beginMs.peek() : (room.inMs.peek() ?? replay.beginMs.peek()) + SHORTEST_MS;
    const highMs = side === "out" ? replay.endMs.peek() : (room.outMs.peek() ?? replay.endMs.peek()) - SHORTEST_MS;
    point.value = Math.max(lowMs, Math.min(highMs, Math.round(toMs)));
    replay.seek(point.value);
  };
  const atMs = point.value ?? otherwiseMs;
  return (
    <div class="replay-point" role="group" aria-label={word}>
      <button type="button" class="button small replay-point-set" data-testid={`set-${side}`} onClick={() => set(replay.atMs.peek())}>
        <Icon name={side === "in" ? "cutIn" : "cutOut"} />
        {word}
      </button>
      <span class="replay-point-at" data-testid={`${side}-at`}>
        {duration(atMs - replay.beginMs.value, true)}
      </span>
      <button type="button" class="button small" data-testid={`${side}-earlier`} onClick={() => set(atMs - ADJUST_MS)}>
        {t("replay.lessSecond")}
        <span class="unseen">, {word}</span>
      </button>
      <button type="button" class="button small" data-testid={`${side}-later`} onClick={() => set(atMs + ADJUST_MS)}>
        {t("replay.moreSecond")}
        <span class="unseen">, {word}</span>
      </button>
    </div>
  );
}

/** Of this recording. */
export function ClipList({ room }: { readonly room: Room }): JSX.Element | null {
  const { clips } = room;
  // Once, since every look is written into the audit; what is cut here comes into the list by itself.
  useEffect(() => {
    if (clips.peek() === null) void listClips(room);
  }, [clips, room]);
  if (clips.value === null || clips.value.length === 0) return null;
  return (
    <section class="replay-clips">
      <h3>{t("replay.clips")}</h3>
      <ul>
        {clips.value.map((clip) => (
          <ClipItem key={clip.id} clip={clip} room={room} />
        ))}
      </ul>
    </section>
  );
}

async function listClips({ api, clips, id, replay }: Room): Promise<void> {
  try {
    const found = (await api.recordings(replay.recording.peek()?.session)).filter(({ clipOf, state }) => clipOf === id && state !== "shredded");
    const cutMeanwhile = (clips.peek() ?? []).filter((one) => !found.some(({ id: known }) => known === one.id));
    clips.value = [...cutMeanwhile, ...found];
  } catch {
    // Asked for again when the panel is opened again; cutting says itself when the server does not answer.
  }
}

function ClipItem({ clip, room }: { readonly clip: Recorded; readonly room: Room }): JSX.Element {
  const beginMs = room.replay.beginMs.value;
  const span = `${duration(clip.beginMs - beginMs)} – ${duration(clip.endMs - beginMs)}`;
  return (
    <li class="replay-mark" data-testid="clip" data-recording={clip.id}>
      <span class="replay-entry-words">
        <span dir="auto">{clip.title}</span>
        <span class="chat-from">{span}</span>
      </span>
      <a class="button small" href={replayLink(room.token, clip.id)} target="_blank" rel="noopener" aria-label={t("replay.openOne", { title: clip.title })}>
        <Icon name="play" />
        {t("replay.open")}
      </a>
    </li>
  );
}
