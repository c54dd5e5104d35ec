// Owns the page of one recording: pictures, time line, controls, panels and questions.

import type { JSX } from "preact";
import { useCallback, useEffect, useMemo } from "preact/hooks";
import { Bar } from "../../components/bar";
import { KeyTable, useKeys } from "../../components/commands";
import type { Command } from "../../components/commands";
import { Dialog } from "../../components/dialog";
import { opener } from "../../components/focus";
import { useFullScreen } from "../../components/fullscreen";
import { LanguageSelect, Page, ThemeSwitch, useTitle } from "../../components/header";
import { Icon } from "../../components/icons";
import { setSingleKeys, singleKeys } from "../../components/preferences";
import { t } from "../../i18n";
import type { RecordingId } from "../../protocol";
import type { ReplayApi } from "../../replay/api";
import { replayLink } from "../link";
import { Refusal } from "../outcome";
import { replayCommands, useSeekKeys } from "./commands";
import { Export } from "./export";
import { SidePanel } from "./panel";
import { Pictures } from "./pictures";
import { createRoom } from "./room";
import type { Room } from "./room";
import { TimeLine } from "./timeline";
import { Tidings } from "./tidings";

interface ReplayRoomProps {
  readonly api: ReplayApi;
  readonly token: string;
  readonly id: RecordingId;
}

export function ReplayRoom({ api, token, id }: ReplayRoomProps): JSX.Element {
  const room = useMemo(() => createRoom(api, token, id), [api, token, id]);
  useEffect(() => {
    void room.replay.open();
    return () => room.dispose();
  }, [room]);
  const fault = room.replay.fault.value;
  if (fault === "notFound") return <Gone token={token} />;
  if (fault !== null) return <Refusal code={fault} onAgain={fault === "network" ? () => location.reload() : null} />;
  if (room.replay.recording.value === null) {
    return (
      <Page title={t("replay.word")}>
        <p class="waiting" role="status">
          {t("replay.opening")}
        </p>
      </Page>
    );
  }
  return <Opened room={room} />;
}

function Gone({ token }: { readonly token: string }): JSX.Element {
  return (
    <Page title={t("replay.word")}>
      <div class="outcome" role="alert" data-testid="problem" data-code="notFound">
        <Icon name="recordings" />
        <h1>{t("replay.gone")}</h1>
        <p>{t("replay.gone.todo")}</p>
        <a class="button primary large" href={replayLink(token)}>
          <Icon name="recordings" />
          {t("replay.all")}
        </a>
      </div>
    </Page>
  );
}

function Opened({ room }: { readonly room: Room }): JSX.Element {
  useFullScreen();
  useTitle(t("replay.word"));
  const commands = replayCommands(room);
  const onEscape = useCallback(() => closeOne(room), [room]);
  useSeekKeys(room);
  // The space bar is the seek keys': on a focused control it has to press that control.
  useKeys(
    commands.filter(({ key }) => key !== " "),
    onEscape,
  );
  return (
    <div class="replay" data-panel={room.panel.value ?? "none"} data-testid="replay" onClick={letGo}>
      <h1 class="unseen">{room.replay.recording.value?.title}</h1>
      <Pictures room={room} />
      <SidePanel room={room} />
      <Tidings room={room} />
      <TimeLine room={room} />
      <Bar commands={commands} moreShown={room.moreShown} />
      {room.question.value === "keys" && <KeysDialog commands={commands} onClose={() => (room.question.value = null)} />}
      {room.question.value === "export" && <Export room={room} onClose={() => (room.question.value = null)} />}
    </div>
  );
}

/** Who pressed with a pointer wants the space bar for playing next, not the same button again. */
function letGo(event: MouseEvent): void {
  const pressed = event.target instanceof Element ? event.target.closest("button") : null;
  if (event.detail > 0 && pressed !== null && pressed === document.activeElement) pressed.blur();
}

function KeysDialog({ commands, onClose }: { readonly commands: readonly Command[]; readonly onClose: () => void }): JSX.Element {
  return (
    <Dialog title={t("keys.title")} onClose={onClose} testId="keys-dialog" after={opener("keys")}>
      <KeyTable commands={commands} />
      <dl class="key-table">
        {(["longBack", "longOn", "toBegin", "toEnd", "previous", "next"] as const).map((name) => (
          <div key={name}>
            <dt>
              <kbd>{t(`replay.key.${name}`)}</kbd>
            </dt>
            <dd>{t(`replay.does.${name}`)}</dd>
          </div>
        ))}
      </dl>
      <label class="check">
        <input type="checkbox" checked={singleKeys.value} onChange={(event) => setSingleKeys(event.currentTarget.checked)} />
        {t("keys.on")}
      </label>
      <div class="dialog-buttons spread">
        <LanguageSelect />
        <ThemeSwitch />
      </div>
    </Dialog>
  );
}

/** The topmost open thing goes first; the chosen picture last. */
function closeOne(room: Room): void {
  if (room.moreShown.value) room.moreShown.value = false;
  else if (room.panel.value !== null) room.panel.value = null;
  else if (room.tracksShown.value) room.tracksShown.value = false;
  else room.pinned.value = null;
}
