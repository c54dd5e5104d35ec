// Owns the place where studies are dropped or chosen, and which of its faces is shown: choosing, looking through, what was found, sending.

import { useSignal } from "@preact/signals";
import type { JSX } from "preact";
import { useEffect, useLayoutEffect, useRef } from "preact/hooks";
import { Icon } from "../components/icons";
import { Problem } from "../components/problem";
import { formatNumber, t } from "../i18n";
import { Found } from "./found";
import type { LiveLine } from "./pace";
import { sendRoom } from "./room";
import type { SendRoom } from "./room";
import { chosen, dropped } from "./sources";
import type { Source } from "./sources";
import { UnderWay } from "./underway";
import { formatSize } from "./words";

interface SendStudiesProps {
  /** The link's. */
  readonly token: string;
  /** How the live session is doing on this line, so that sending leaves it room. */
  readonly line?: () => LiveLine;
}

export function SendStudies({ token, line }: SendStudiesProps): JSX.Element {
  const room = sendRoom(token);
  if (line) room.line = line;
  const over = useDrop(room);
  const sending = room.sending.value;
  const face = sending !== null ? "sending" : room.looking.value !== null ? "looking" : room.findings.value !== null && room.fault.value === null ? "found" : "choosing";
  const element = useRef<HTMLDivElement>(null);
  // A long list was scrolled down to its button; what comes next begins above.
  useLayoutEffect(() => element.current?.scrollTo(0, 0), [face, sending?.state.value]);
  if (!window.isSecureContext) {
    return (
      <Problem code="insecure">
        <p>{t("send.insecure")}</p>
      </Problem>
    );
  }
  return (
    <div ref={element} class={over ? "send over" : "send"} data-testid="send-studies">
      {sending !== null && <UnderWay sending={sending} onClear={() => room.clear()} />}
      {face === "looking" && <Looking room={room} />}
      {face === "found" && <Found room={room} />}
      {face === "choosing" && <Choosing room={room} />}
    </div>
  );
}

function Choosing({ room }: { readonly room: SendRoom }): JSX.Element {
  const pending = room.pending.value;
  const fault = room.fault.value;
  return (
    <>
      {pending !== null && (
        <div class="send-pending" role="status" data-testid="send-pending">
          <Icon name="retry" />
          <p>{t("send.pending", { arrived: formatNumber(pending.arrived), total: formatNumber(pending.total), size: formatSize(pending.bytes) })}</p>
        </div>
      )}
      {fault !== null && (
        <Problem code={fault}>
          <p>{t(`send.fault.${fault}`)}</p>
        </Problem>
      )}
      <div class="send-drop">
        <p class="send-call">
          <Icon name="send" />
          {t("send.drop")}
        </p>
        <p class="note">{t("send.dropHint")}</p>
        <Choosers room={room} />
      </div>
      {fault === "nothing" && room.findings.value !== null && <Found room={room} />}
    </>
  );
}

function Choosers({ room }: { readonly room: SendRoom }): JSX.Element {
  const files = useRef<HTMLInputElement>(null);
  const folder = useRef<HTMLInputElement>(null);
  // Not known to the types, and not to every tablet.
  const withFolders = "webkitdirectory" in HTMLInputElement.prototype;
  useEffect(() => folder.current?.setAttribute("webkitdirectory", ""), []);
  const take = (input: HTMLInputElement): void => {
    const list = Array.from(input.files ?? []);
    // The same folder again is a new choice. This empties the input's own list.
    input.value = "";
    if (list.length > 0) void room.take(later(() => chosen(list)));
  };
  return (
    <div class="send-choosers">
      <button type="button" class="button large primary" data-testid="choose-files" onClick={() => files.current?.click()}>
        <Icon name="file" />
        {t("send.files")}
      </button>
      {withFolders && (
        <button type="button" class="button large" data-testid="choose-folder" onClick={() => folder.current?.click()}>
          <Icon name="folder" />
          {t("send.folder")}
        </button>
      )}
      <input ref={files} class="unseen" type="file" multiple tabIndex={-1} aria-hidden="true" data-testid="files-input" onChange={(event) => take(event.currentTarget)} />
      <input ref={folder} class="unseen" type="file" tabIndex={-1} aria-hidden="true" data-testid="folder-input" onChange={(event) => take(event.currentTarget)} />
    </div>
  );
}

function Looking({ room }: { readonly room: SendRoom }): JSX.Element {
  const { done, all } = room.looking.value ?? { done: 0, all: 0 };
  return (
    <div class="send-looking" role="status" data-testid="send-looking">
      <p>{all === 0 ? t("send.opening") : t("send.looking", { done: formatNumber(done), all: formatNumber(all) })}</p>
      <progress aria-label={t("send.opening")} max={Math.max(1, all)} value={all === 0 ? undefined : done} />
      <button type="button" class="button" onClick={() => room.clear()}>
        <Icon name="stop" />
        {t("app.cancel")}
      </button>
    </div>
  );
}

/** Anywhere on the page: beside the place a browser would open what is dropped, and the session would be gone. */
function useDrop(room: SendRoom): boolean {
  const over = useSignal(false);
  useEffect(() => {
    let leaves: ReturnType<typeof setTimeout> | undefined;
    const hover = (event: DragEvent): void => {
      if (event.dataTransfer?.types.includes("Files") !== true) return;
      event.preventDefault();
      event.dataTransfer.dropEffect = room.sending.peek() === null ? "copy" : "none";
      over.value = room.sending.peek() === null;
      clearTimeout(leaves);
      leaves = setTimeout(() => (over.value = false), 200);
    };
    const drop = (event: DragEvent): void => {
      const data = event.dataTransfer;
      if (data?.types.includes("Files") !== true) return;
      event.preventDefault();
      over.value = false;
      if (room.sending.peek() === null) void room.take(dropped(data));
    };
    window.addEventListener("dragover", hover);
    window.addEventListener("drop", drop);
    return () => {
      clearTimeout(leaves);
      window.removeEventListener("dragover", hover);
      window.removeEventListener("drop", drop);
    };
  }, [room, over]);
  return over.value;
}

/** So that too many files are said like everything else that goes wrong. */
async function later(make: () => readonly Source[]): Promise<readonly Source[]> {
  return Promise.resolve().then(make);
}
