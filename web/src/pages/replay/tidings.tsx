// Owns what is said above the time line: that playing stopped at damage and how to go on, that a pause was skipped, that the
// line is down, that the browser gives no sound.

import type { Signal } from "@preact/signals";
import type { JSX } from "preact";
import { useEffect } from "preact/hooks";
import { Icon } from "../../components/icons";
import { t } from "../../i18n";
import type { Room } from "./room";
import { formatLength, laneName } from "./view";

const NOTICE_SHOWN_MS = 6_000;

export function Tidings({ room }: { readonly room: Room }): JSX.Element {
  const { replay } = room;
  const offline = replay.offline.value || (replay.waiting.value && [...replay.players.value.values()].some((player) => player.offline.value));
  return (
    <div class="banners">
      <div role="alert">
        <Damage room={room} />
        <Failed room={room} />
      </div>
      <div role="status">
        <Skipped room={room} />
        <Cutting room={room} />
        {offline && (
          <p class="banner" data-testid="replay-offline">
            <Icon name="warning" />
            {t("replay.offline")}
          </p>
        )}
      </div>
      {replay.soundRefused.value && (
        <div class="sound-blocked">
          <span>{t("session.soundBlocked")}</span>
          <button type="button" class="button primary" onClick={() => replay.play()}>
            <Icon name="sound" />
            {t("session.turnSoundOn")}
          </button>
        </div>
      )}
    </div>
  );
}

function Damage({ room }: { readonly room: Room }): JSX.Element | null {
  const { replay } = room;
  const stop = replay.stop.value;
  if (stop === null) return null;
  // More of it may have been found since playing stopped.
  const stretch = (replay.version.value >= 0 ? stop.lane.damageAt(stop.stretch.fromMs) : null) ?? stop.stretch;
  const length = formatLength(stretch.toMs - stretch.fromMs);
  return (
    <div class="replay-stop" data-testid="damage">
      <p>
        <Icon name="warning" />
        <span>
          <strong>{t("replay.damaged", { length, what: laneName(stop.lane, replay.story.value.people) })}</strong>{" "}
          {t("replay.damagedHint")}
        </span>
      </p>
      <div class="replay-stop-buttons">
        <button type="button" class="button primary" data-testid="go-behind" onClick={() => replay.goBehind()}>
          <Icon name="stepOn" />
          {t("replay.goBehind")}
        </button>
        <button type="button" class="button" data-testid="go-without" onClick={() => replay.goWithout()}>
          <Icon name="play" />
          {t("replay.goWithout")}
        </button>
      </div>
    </div>
  );
}

function Failed({ room }: { readonly room: Room }): JSX.Element | null {
  const told = useShortly(room.failed);
  if (told === null) return null;
  return (
    <p class="banner" data-testid="replay-failed">
      <Icon name="warning" />
      {t("said.failed", { reason: told.words })}
    </p>
  );
}

/** Where the panel that says so is closed. */
function Cutting({ room }: { readonly room: Room }): JSX.Element | null {
  if (!room.cutting.value || room.panel.value === "marks") return null;
  return (
    <p class="banner" data-testid="cutting">
      <Icon name="cut" />
      {t("replay.cutting")}
    </p>
  );
}

function Skipped({ room }: { readonly room: Room }): JSX.Element | null {
  const told = useShortly(room.replay.notice);
  if (told === null) return null;
  return (
    <p class="banner" data-testid="pause-skipped">
      <Icon name="pause" />
      {t("replay.pauseSkipped", { length: formatLength(told.lengthMs) })}
    </p>
  );
}

/** What a signal holds, until it was there for a while. */
function useShortly<T>(told: Signal<T | null>): T | null {
  const now = told.value;
  useEffect(() => {
    if (now === null) return;
    const timer = setTimeout(() => (told.value = null), NOTICE_SHOWN_MS);
    return () => clearTimeout(timer);
  }, [now, told]);
  return now;
}
