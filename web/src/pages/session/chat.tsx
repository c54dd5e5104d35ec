// Owns the written word: the chat panel, and the same lines large as directions on the satellite's page.

import type { JSX } from "preact";
import { useCallback, useEffect, useRef } from "preact/hooks";
import { ask } from "../../components/context";
import { Icon } from "../../components/icons";
import { formatWhen, t } from "../../i18n";
import { CHAT_MAX_CHARACTERS } from "../../protocol";
import type { ChatLine } from "../../protocol";
import type { Room } from "./room";

/** Nearer than this to the end, new lines scroll into view; otherwise the person is reading further up. */
const NEAR_END_PX = 80;

export function Chat({ room, autoFocus = false }: { readonly room: Room; readonly autoFocus?: boolean }): JSX.Element {
  const { client } = room;
  const log = useRef<HTMLDivElement>(null);
  /** The newest line stays in view, unless the person reads further up. */
  const following = useRef(true);
  const lastTop = useRef(0);
  const lines = client.chat.value;
  const follow = useCallback(() => {
    if (following.current) log.current?.scrollTo({ top: log.current.scrollHeight });
  }, []);
  useEffect(() => {
    const list = log.current;
    if (!list) return;
    // A panel in its place hides it without taking it away: what is said meanwhile is unread.
    const observer = new ResizeObserver(() => {
      client.setChatShown(list.clientHeight > 0);
      follow();
    });
    observer.observe(list);
    return () => {
      observer.disconnect();
      client.setChatShown(false);
    };
  }, [client, follow]);
  useEffect(follow, [lines.at(-1)?.id, follow]);
  return (
    <div class="chat">
      {lines.length === 0 && <p class="chat-empty">{t("chat.empty")}</p>}
      <div
        ref={log}
        class="chat-log"
        role="log"
        aria-live="polite"
        aria-label={t("chat.title")}
        tabIndex={0}
        onScroll={(event) => {
          const { scrollHeight, scrollTop, clientHeight } = event.currentTarget;
          // Hidden, nothing scrolls: the browser merely forgets the place.
          if (clientHeight === 0) return;
          // Only a person scrolls up. That the end is far may also mean that lines came after we had scrolled to it.
          if (scrollHeight - scrollTop - clientHeight < NEAR_END_PX) following.current = true;
          else if (scrollTop < lastTop.current) following.current = false;
          lastTop.current = scrollTop;
        }}
      >
        <ol>
          {lines.map((line) => (
            <Line key={line.id} line={line} room={room} />
          ))}
        </ol>
      </div>
      {client.permissions.value.has("chat") && <ChatForm room={room} autoFocus={autoFocus} />}
    </div>
  );
}

function Line({ line, room }: { readonly line: ChatLine; readonly room: Room }): JSX.Element {
  const own = line.from === room.client.self.value?.id;
  const hub = room.people.value.get(line.from)?.role === "hub";
  return (
    <li class={own ? "chat-line own" : hub ? "chat-line hub" : "chat-line"} data-testid="chat-line" data-participant={line.from}>
      <span class="chat-from">
        <bdi>{line.name}</bdi> <time dateTime={new Date(line.sentAt).toISOString()}>{formatWhen(line.sentAt, Date.now())}</time>
      </span>
      <span class="chat-text" dir="auto">{line.text}</span>
    </li>
  );
}

function ChatForm({ room, autoFocus }: { readonly room: Room; readonly autoFocus: boolean }): JSX.Element {
  // Kept by the room: closing the panel must not lose half a sentence.
  const text = room.draft.value;
  const input = useRef<HTMLInputElement>(null);
  useEffect(() => {
    if (autoFocus) input.current?.focus();
  }, [autoFocus]);
  const send = async (): Promise<void> => {
    const line = text.trim();
    if (line === "") return;
    await room.client.sendChat(line);
    // What was typed meanwhile stays.
    if (room.draft.value.trim() === line) room.draft.value = "";
  };
  return (
    <form
      class="chat-form"
      onSubmit={(event) => {
        event.preventDefault();
        ask(send());
      }}
    >
      <input
        ref={input}
        type="text"
        data-testid="chat-input"
        value={text}
        maxLength={CHAT_MAX_CHARACTERS}
        placeholder={t("chat.placeholder")}
        aria-label={t("chat.placeholder")}
        autocomplete="off"
        onInput={(event) => (room.draft.value = event.currentTarget.value)}
      />
      <button type="submit" class="button primary" data-testid="chat-send" aria-disabled={text.trim() === ""}>
        <Icon name="chat" />
        {t("chat.send")}
      </button>
    </form>
  );
}
