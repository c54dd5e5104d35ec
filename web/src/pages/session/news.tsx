// Owns what the page says by itself: connection trouble as a line that covers no picture, and short news that fade.

import { useSignal } from "@preact/signals";
import type { JSX } from "preact";
import { useEffect } from "preact/hooks";
import { failure, toldAs, useClient } from "../../components/context";
import { Icon } from "../../components/icons";
import { formatNumber, t } from "../../i18n";
import type { ChatLine } from "../../protocol";
import type { Client, Notice } from "../../state";
import type { Room } from "./room";

const NOTICE_SHOWN_MS = 7_000;
const NOTICES_SHOWN = 3;
/** A line that is lost for a blink needs no banner; the picture goes on. */
const SECONDS_AFTER = 3;

export function Banner(): JSX.Element {
  const client = useClient();
  const words = bannerWords(client);
  const phase = client.phase.value;
  const seconds = useSeconds(phase.name === "reconnecting" ? phase.sinceMs : null);
  return (
    <div class="banner-place" role="status" aria-live="assertive">
      {words !== null && (
        <div class="banner" data-testid="connection-banner" data-phase={phase.name}>
          <Icon name={words.icon} />
          <span>{words.text}</span>
          {seconds >= SECONDS_AFTER && (
            <span class="banner-seconds" aria-hidden="true">
              {formatNumber(seconds)} s
            </span>
          )}
        </div>
      )}
    </div>
  );
}

function bannerWords(client: Client): { readonly text: string; readonly icon: "line" | "microphoneOff" } | null {
  const phase = client.phase.value;
  if (phase.name === "joining") return { text: t("connection.connecting"), icon: "line" };
  if (phase.name === "reconnecting") {
    return { text: t(phase.online ? "connection.reconnecting" : "connection.offline"), icon: "line" };
  }
  if (client.line.value.quality === 0) return { text: t("connection.media"), icon: "line" };
  if (client.locals.value.get("microphone")?.blocked === true) {
    return { text: t("connection.mutedByModerator"), icon: "microphoneOff" };
  }
  return null;
}

function useSeconds(sinceMs: number | null): number {
  const now = useSignal(Date.now());
  useEffect(() => {
    if (sinceMs === null) return;
    now.value = Date.now();
    const timer = setInterval(() => (now.value = Date.now()), 1000);
    return () => clearInterval(timer);
  }, [sinceMs, now]);
  return sinceMs === null ? 0 : Math.max(0, Math.floor((now.value - sinceMs) / 1000));
}

export function News({ room }: { readonly room: Room }): JSX.Element {
  const { client } = room;
  const notices = client.notices.value.filter(isNew).slice(-NOTICES_SHOWN);
  const written = useWritten(room);
  useFading(client, notices);
  return (
    <div class="news-lines" role="status" aria-live="polite" data-testid="news">
      {notices.map((notice) => (
        <p key={notice.id} class="news-line" data-kind={notice.kind}>
          <span>{noticeText(notice)}</span>
        </p>
      ))}
      {written && (
        <p class="news-line">
          <span>{t("chat.new", { name: written.name, text: written.text })}</span>
        </p>
      )}
      {failure.value !== null && (
        <p class="news-line failed" data-testid="problem" data-code={failure.value}>
          <span>{failureText(failure.value)}</span>
        </p>
      )}
    </div>
  );
}

/** A microphone that was muted stays on the banner as long as it is; once is enough. */
function isNew(notice: Notice): boolean {
  return notice.kind !== "blocked" || notice.source !== "microphone";
}

function useFading(client: Client, notices: readonly Notice[]): void {
  const newest = notices.at(-1)?.id;
  useEffect(() => {
    if (newest === undefined) return;
    const timers = client.notices.peek().map(({ id }) => setTimeout(() => client.dismissNotice(id), NOTICE_SHOWN_MS));
    return () => timers.forEach(clearTimeout);
  }, [client, newest]);
}

/** The newest line that came while the chat was closed, for a while. */
function useWritten({ client }: Room): ChatLine | null {
  const shown = useSignal<ChatLine | null>(null);
  const newest = client.chat.value.at(-1);
  const unread = client.unread.value;
  useEffect(() => {
    shown.value = unread > 0 && newest !== undefined && newest.from !== client.self.peek()?.id ? newest : null;
    const timer = setTimeout(() => (shown.value = null), NOTICE_SHOWN_MS);
    return () => clearTimeout(timer);
  }, [client, shown, newest, unread]);
  return shown.value;
}

function noticeText(notice: Notice): string {
  switch (notice.kind) {
    case "joined":
    case "left":
    case "lost":
    case "removed":
      return t(`said.${notice.kind}`, { name: notice.person });
    case "handRaised":
      return t("said.hand", { name: notice.person });
    case "floorGiven":
      return t("said.yourFloor");
    case "floorTaken":
      return t("said.yourFloorEnd");
    case "blocked":
      return t("said.yourTrackBlocked", { source: t(`source.${notice.source}`) });
    case "unblocked":
      return t("said.trackAllowed", { source: t(`source.${notice.source}`) });
    case "deviceLost":
      return t("said.deviceLost", { source: t(`source.${notice.source}`) });
    case "ultrasoundSlow":
      return t("session.ultrasoundSlow");
    case "back":
      return t("connection.back");
    case "storageBack":
      if (notice.lostMs === 0) return t("recording.storageBackWhole");
      return t("recording.storageBack", { count: Math.ceil(notice.lostMs / 1000) });
    case "studyCame": {
      const what = notice.modalities.join(", ") || "?";
      return notice.point === "" ? t("said.studyCame", { what }) : t("said.studyCameFrom", { what, point: notice.point });
    }
    case "leadIsYours":
      return t("said.leadIsYours");
    case "leadIsOver":
      return notice.person === null ? t("said.leadIsNobodys") : t("said.leadIsOver", { name: notice.person });
    case "leadAsked":
      return t("said.leadAsked", { name: notice.person });
    case "failed":
      return failureText(notice.code);
  }
}

function failureText(code: Parameters<typeof toldAs>[0]): string {
  return t("said.failed", { reason: t(`refused.${toldAs(code)}`) });
}
