// Owns the panel beside the pictures: what happened, following the time; or marks and the clip.

import { useComputed } from "@preact/signals";
import type { JSX } from "preact";
import { useEffect, useLayoutEffect, useRef } from "preact/hooks";
import { opener, place } from "../../components/focus";
import { Icon } from "../../components/icons";
import type { IconName } from "../../components/icons";
import { t } from "../../i18n";
import type { Replay } from "../../replay/player";
import type { Entry, Mark } from "../../replay/story";
import { duration } from "../view";
import { ClipForm, ClipList } from "./clip";
import { MarkForm, MarkList } from "./marks";
import type { Room } from "./room";

export function SidePanel({ room }: { readonly room: Room }): JSX.Element | null {
  const panel = room.panel.value;
  const element = useRef<HTMLElement>(null);
  // Before its button in the order of the page, so the keyboard has to be brought to it.
  useLayoutEffect(() => {
    if (panel !== null && room.markAtMs.peek() === null) element.current?.focus();
  }, [panel, room]);
  if (panel === null) return null;
  return (
    <section ref={element} class="panel" aria-label={t(`replay.${panel}`)} data-testid={`${panel}-panel`} {...place(panel, opener(panel))}>
      <div class="panel-head">
        <h2>{t(`replay.${panel}`)}</h2>
        <button type="button" class="button quiet" onClick={() => (room.panel.value = null)}>
          <Icon name="close" />
          {t("app.close")}
        </button>
      </div>
      {panel === "log" ? (
        <Log room={room} />
      ) : (
        <div class="replay-work">
          <MarkForm room={room} />
          <MarkList room={room} />
          <ClipForm room={room} />
          <ClipList room={room} />
        </div>
      )}
    </section>
  );
}

type Line = Entry | (Mark & { readonly kind: "mark"; readonly number: string });

/** A line is pressed to go to its moment, and is the present one then, although a seek may end a little before it. */
const NEAR_MS = 50;

/** What was written and what happened, marks among it. */
function Log({ room }: { readonly room: Room }): JSX.Element {
  const { replay } = room;
  const list = useRef<HTMLOListElement>(null);
  const beginMs = replay.beginMs.value;
  const lines = useComputed(() => linesOf(replay));
  // Alone in following the time: the list is drawn anew only when another line is the present one.
  const now = useComputed(() => lines.value.findLastIndex(({ atMs }) => atMs <= replay.atMs.value + NEAR_MS)).value;
  useEffect(() => {
    // Not while the person reads on with the keyboard elsewhere in the list.
    if (list.current?.contains(document.activeElement) === true) return;
    list.current?.children[now]?.scrollIntoView({ block: "nearest" });
  }, [now]);
  if (lines.value.length === 0) return <p class="chat-empty">{t("replay.logEmpty")}</p>;
  return (
    <ol ref={list} class="replay-log">
      {lines.value.map((line, index) => (
        <li key={`${line.kind}${line.number}`} class={index > now ? "replay-entry later" : "replay-entry"}>
          <button
            type="button"
            aria-current={index === now ? "time" : undefined}
            data-testid="entry"
            data-kind={line.kind}
            onClick={() => replay.seek(line.atMs)}
          >
            <span class="replay-entry-at">{duration(line.atMs - beginMs)}</span>
            <Icon name={ICONS[line.kind]} />
            <Words line={line} />
          </button>
        </li>
      ))}
    </ol>
  );
}

function linesOf({ beginMs, endMs, story }: Replay): readonly Line[] {
  const { entries, marks } = story.value;
  return [...entries, ...marks.map((mark) => ({ ...mark, kind: "mark" as const, number: mark.id }))]
    .filter(({ atMs }) => beginMs.value <= atMs && atMs <= endMs.value)
    .sort((a, b) => a.atMs - b.atMs);
}

const ICONS: Readonly<Record<Line["kind"], IconName>> = {
  chat: "chat",
  joined: "people",
  left: "leave",
  paused: "pause",
  resumed: "play",
  hand: "hand",
  leads: "pointer",
  studyShown: "studies",
  studyClosed: "close",
  floor: "floor",
  agreed: "consent",
  declined: "consent",
  storageFailed: "warning",
  storageRecovered: "check",
  ended: "stop",
  cut: "warning",
  mark: "mark",
};

function Words({ line }: { readonly line: Line }): JSX.Element {
  switch (line.kind) {
    case "chat":
      return (
        <span class="replay-entry-words">
          <bdi class="chat-from">{line.name}</bdi>
          <span dir="auto">{line.text}</span>
        </span>
      );
    case "mark":
      return (
        <span class="replay-entry-words">
          <span class="chat-from">{t("replay.markBy", { name: line.name })}</span>
          <span dir="auto">{line.text === "" ? t("replay.markNoText") : line.text}</span>
        </span>
      );
    case "floor":
      return (
        <span class="replay-entry-words">
          {line.names.length === 0 ? t("replay.floorNobody") : t("replay.floor", { names: line.names.join(", ") })}
        </span>
      );
    case "storageFailed":
    case "storageRecovered":
    case "ended":
    case "cut":
    case "studyClosed":
      return <span class="replay-entry-words">{t(`replay.entry.${line.kind}`)}</span>;
    default:
      return <span class="replay-entry-words">{t(`replay.entry.${line.kind}`, { name: line.name === "" ? t("replay.nameless") : line.name })}</span>;
  }
}
