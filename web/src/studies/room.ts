// Owns the way of what a person drops: looked through, shown, sent. It lives as long as the page, so that a panel can be closed while it goes on.

import { computed, effect, signal } from "@preact/signals";
import type { ReadonlySignal, Signal } from "@preact/signals";
import { sessionOf } from "../claims";
import { examine, withUnlisted } from "./findings";
import type { Findings, FoundStudy } from "./findings";
import type { LiveLine } from "./pace";
import { forget, remember, remembered } from "./pending";
import type { Pending } from "./pending";
import { Sending } from "./sending";
import { TooManyFiles } from "./sources";
import type { Source } from "./sources";
import { createTransfer } from "./transfer";
import type { Transfer } from "./transfer";

/** `nothing`: no DICOM in it. `tooMany`: more files than can be looked through. `unreadable`: the folder cannot be read. `internal`: our fault. */
export type LookFault = "nothing" | "tooMany" | "unreadable" | "internal";

export interface SendRoom {
  /** How far looking is; null while nothing is looked through. */
  readonly looking: ReadonlySignal<{ readonly done: number; readonly all: number } | null>;
  readonly findings: ReadonlySignal<Findings | null>;
  readonly fault: ReadonlySignal<LookFault | null>;
  /** Also what lies on a disc but is not in its DICOMDIR. */
  readonly unlistedToo: Signal<boolean>;
  /** UIDs of studies that the person took out. */
  readonly without: Signal<ReadonlySet<string>>;
  readonly chosen: ReadonlySignal<readonly FoundStudy[]>;
  readonly sending: ReadonlySignal<Sending | null>;
  /** What was under way when the page was loaded anew. */
  readonly pending: ReadonlySignal<Pending | null>;
  /** Set by the page: how the live session is doing on this line. */
  line: () => LiveLine;
  take(sources: readonly Source[] | Promise<readonly Source[]>): Promise<void>;
  send(): void;
  /** Back to the beginning; what is being sent goes on no more. */
  clear(): void;
}

const rooms = new Map<string, SendRoom>();

/** The one of this link. */
export function sendRoom(token: string): SendRoom {
  const known = rooms.get(token);
  if (known) return known;
  const room = createSendRoom(createTransfer(token), sessionOf(token) ?? "all");
  rooms.set(token, room);
  return room;
}

export function createSendRoom(transfer: Transfer, session: string): SendRoom {
  const looking = signal<{ readonly done: number; readonly all: number } | null>(null);
  const examined = signal<Findings | null>(null);
  const fault = signal<LookFault | null>(null);
  const unlistedToo = signal(false);
  const without = signal<ReadonlySet<string>>(new Set());
  const sending = signal<Sending | null>(null);
  const pending = signal(remembered(session));
  const findings = computed(() => (examined.value !== null && unlistedToo.value ? withUnlisted(examined.value) : examined.value));
  const chosen = computed(() => findings.value?.studies.filter(({ uid }) => !without.value.has(uid)) ?? []);
  let stop = new AbortController();

  const reset = (): void => {
    stop.abort();
    stop = new AbortController();
    looking.value = null;
    examined.value = null;
    fault.value = null;
    unlistedToo.value = false;
    without.value = new Set();
  };

  const room: SendRoom = {
    looking,
    findings,
    fault,
    unlistedToo,
    without,
    chosen,
    sending,
    pending,
    line: () => ({ quality: null, roundTripMs: null }),
    async take(sources) {
      reset();
      const { signal: stopped } = stop;
      looking.value = { done: 0, all: 0 };
      try {
        const found = await examine(await sources, {
          signal: stopped,
          onProgress: (done, all) => {
            if (!stopped.aborted) looking.value = { done, all };
          },
        });
        if (stopped.aborted) return;
        examined.value = found;
        fault.value = found.studies.length + found.unlisted.length === 0 ? "nothing" : null;
        // Of a disc whose list names nothing that is there, everything is meant.
        unlistedToo.value = found.studies.length === 0;
      } catch (error) {
        if (stopped.aborted) return;
        fault.value = error instanceof TooManyFiles ? "tooMany" : error instanceof DOMException ? "unreadable" : "internal";
      }
      looking.value = null;
    },
    send() {
      const studies = chosen.peek();
      if (studies.length === 0) return;
      const started = new Sending(studies, { transfer, line: () => room.line() });
      sending.value = started;
      pending.value = null;
      reset();
      watch(started, session);
      void started.run();
    },
    clear() {
      sending.peek()?.stop();
      sending.value = null;
      pending.value = null;
      forget(session);
      reset();
    },
  };
  return room;
}

/** Remembers how far it is, asks before the page is left, and tries at once when the computer is on line again. */
function watch(sending: Sending, session: string): void {
  const leaving = (event: BeforeUnloadEvent): void => event.preventDefault();
  const online = (): void => sending.wake();
  window.addEventListener("beforeunload", leaving);
  window.addEventListener("online", online);
  const end = effect(() => {
    const { total, arrived, bytes } = sending.tally.progress.value;
    const state = sending.state.value;
    if (state === "done" || state === "stopped") forget(session);
    else remember(session, { total, arrived, bytes });
    if (!sending.isOver()) return;
    window.removeEventListener("beforeunload", leaving);
    window.removeEventListener("online", online);
    queueMicrotask(() => end());
  });
}
