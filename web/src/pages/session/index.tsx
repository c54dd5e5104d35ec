// Owns the session page: stage, side column, bar, panels and dialogs, for hub, satellite and viewer.

import type { JSX } from "preact";
import { useCallback, useEffect, useMemo, useRef } from "preact/hooks";
import { Bar } from "../../components/bar";
import { KeyTable, useKeys } from "../../components/commands";
import type { Command } from "../../components/commands";
import { ask, useClient } from "../../components/context";
import { MicrophonePreview, PicturePreview } from "../../components/devices";
import { Dialog } from "../../components/dialog";
import { opener, place } from "../../components/focus";
import { useFullScreen } from "../../components/fullscreen";
import { LanguageSelect, ThemeSwitch, useTitle } from "../../components/header";
import { Icon } from "../../components/icons";
import { setSingleKeys, singleKeys } from "../../components/preferences";
import { Sounds } from "../../components/sounds";
import { t } from "../../i18n";
import { SendStudies } from "../../studies";
import { readingKeys } from "../reading/commands";
import { StudiesPanel } from "../reading/studies";
import { Chat } from "./chat";
import { sessionCommands } from "./commands";
import { ConsentDialog, ConsentReminder, useConsentQuestion } from "./consent";
import { MarkNews, MarksPanel } from "./marks";
import { Messages, NextBanner, QuestionBand } from "./eventbands";
import { Banner, News } from "./news";
import { PeoplePanel } from "./people";
import { QuestionsPanel } from "./questions";
import { RecordingDialog, RecordingSign, RecordingSpoken, StorageAlarm } from "./recording";
import { createRoom } from "./room";
import type { Room } from "./room";
import { wallCommand, wallKeys, withoutKeys } from "../wall/commands";
import { WallPage } from "../wall";
import { createWall } from "../wall/wall";
import { Side } from "./side";
import { Stage } from "./stage";

export function SessionPage({ token }: { readonly token: string }): JSX.Element {
  const client = useClient();
  const room = useMemo(() => createRoom(client, token), [client, token]);
  useEffect(() => () => room.dispose(), [room]);
  const wall = useMemo(() => createWall(room), [room]);
  useFullScreen();
  useTitle(t("session.word"));
  useConsentQuestion(room);
  const walled = wallKeys(wall);
  const shown = walled.length > 0;
  const commands = withoutKeys([...wallCommand(room), ...sessionCommands(room)], walled);
  const onEscape = useCallback(() => closeOne(room), [room]);
  const keys = [...walled, ...commands, ...(shown ? [] : readingKeys(room))];
  useKeys(keys, onEscape);
  return (
    <div class="session" data-flavour={room.flavour.value} data-panel={room.panel.value ?? "none"} data-layout={room.layout.value} data-reads={room.reads.value} data-event={room.event.value} data-wall={shown}>
      <h1 class="unseen">{client.session.value?.title}</h1>
      {shown ? (
        <WallPage wall={wall} />
      ) : (
        <>
          <Stage room={room} />
          <Side room={room} />
        </>
      )}
      <SidePanel room={room} />
      <div class="news">
        <Messages room={room} />
        <News room={room} />
        <MarkNews room={room} />
      </div>
      <RecordingSpoken room={room} />
      <div class="banners">
        <NextBanner room={room} />
        <QuestionBand room={room} />
        <Banner />
        <StorageAlarm room={room} />
        <ConsentReminder room={room} />
        <Sounds quiet={room.quiet.value} />
      </div>
      <Bar commands={commands} moreShown={room.moreShown} />
      <Questions room={room} commands={keys} />
    </div>
  );
}

function SidePanel({ room }: { readonly room: Room }): JSX.Element | null {
  const panel = room.panel.value;
  const element = useRef<HTMLElement>(null);
  // Before its button in the order of the page, so the keyboard has to be brought to it; the chat takes it by itself.
  useEffect(() => {
    const writing = panel === "chat" || panel === "questions" || (panel === "marks" && room.noting.peek() !== null);
    if (panel !== null && !writing) element.current?.focus();
  }, [panel, room]);
  if (panel === null) return null;
  return (
    <section ref={element} class="panel" aria-label={t(`${panel}.title`)} data-testid={`${panel}-panel`} {...place(panel, opener(panel))}>
      <RecordingSign room={room} />
      <div class="panel-head">
        <h2>{t(`${panel}.title`)}</h2>
        {panel === "people" && !room.event.value && <span class="panel-count">{t("people.count", { count: room.people.value.size })}</span>}
        <button type="button" class="button quiet" onClick={() => (room.panel.value = null)}>
          <Icon name="close" />
          {t("app.close")}
        </button>
      </div>
      {panel === "chat" && <Chat room={room} autoFocus />}
      {panel === "people" && <PeoplePanel room={room} />}
      {panel === "questions" && <QuestionsPanel room={room} />}
      {panel === "marks" && <MarksPanel room={room} />}
      {panel === "studies" && <StudiesPanel room={room} />}
      {panel === "send" && <SendStudies token={room.token} line={() => room.client.line.peek()} />}
    </section>
  );
}

function Questions({ room, commands }: { readonly room: Room; readonly commands: readonly Command[] }): JSX.Element | null {
  const close = () => (room.question.value = null);
  switch (room.question.value) {
    case "leave":
      return <LeaveDialog room={room} onClose={close} />;
    case "keys":
      return <KeysDialog commands={commands} onClose={close} />;
    case "devices":
      return <DevicesDialog room={room} onClose={close} />;
    case "recording":
      return <RecordingDialog room={room} onClose={close} />;
    case "consent":
      return <ConsentDialog room={room} onClose={close} />;
    default:
      return null;
  }
}

function LeaveDialog({ room, onClose }: { readonly room: Room; readonly onClose: () => void }): JSX.Element {
  return (
    <Dialog title={t("leave.ask")} onClose={onClose} testId="leave-dialog" after={opener("leave")}>
      <div class="choices">
        <button type="button" class="button large primary" data-testid="leave-confirm" onClick={() => ask(room.client.leave())}>
          <Icon name="leave" />
          <span>
            {t("leave.me")}
            <small>{t("leave.meHint")}</small>
          </span>
        </button>
        <details class="danger-zone">
          <summary class="button large" data-testid="end-session">
            <Icon name="end" />
            <span>
              {t("leave.all")}
              <small>{t("leave.allHint")}</small>
            </span>
          </summary>
          <button type="button" class="button large danger" data-testid="end-session-yes" onClick={() => ask(room.client.endSession())}>
            <Icon name="end" />
            {t("leave.allSure")}
          </button>
        </details>
      </div>
    </Dialog>
  );
}

function KeysDialog({ commands, onClose }: { readonly commands: readonly Command[]; readonly onClose: () => void }): JSX.Element {
  return (
    <Dialog title={t("keys.title")} onClose={onClose} testId="keys-dialog" after={opener("keys")}>
      <KeyTable commands={commands} />
      <label class="check">
        <input type="checkbox" checked={singleKeys.value} onChange={(event) => setSingleKeys(event.currentTarget.checked)} />
        {t("keys.on")}
      </label>
    </Dialog>
  );
}

function DevicesDialog({ room, onClose }: { readonly room: Room; readonly onClose: () => void }): JSX.Element {
  const may = room.client.permissions.value;
  const ultrasound = may.has("publish:ultrasound") && <PicturePreview source="ultrasound" />;
  const camera = may.has("publish:camera") && <PicturePreview source="camera" />;
  return (
    <Dialog title={t("control.devices")} onClose={onClose} testId="devices-dialog" after={opener("devices")}>
      <div class="previews">
        {room.flavour.value === "satellite" ? [ultrasound, camera] : [camera, ultrasound]}
        {may.has("publish:microphone") && <MicrophonePreview />}
      </div>
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
  else room.pinned.value = null;
}
