// Owns how a page asks the server for a list, shows what went wrong, and asks again while it is looked at.

import { useSignal } from "@preact/signals";
import type { ReadonlySignal } from "@preact/signals";
import { useCallback, useEffect, useRef } from "preact/hooks";
import { ApiError } from "../api";
import type { ErrorCode } from "../protocol";

export type Fault = ErrorCode | "network" | null;

export interface Loading<T> {
  /** Null until it came for the first time. */
  readonly found: ReadonlySignal<T | null>;
  readonly fault: ReadonlySignal<Fault>;
  readonly load: () => Promise<void>;
}

/** A lost network comes back. */
const RETRY_MS = 5_000;
/** A server that starts anew, or a proxy before it, refuses for a while; a refused link stays refused. */
const PASSING: ReadonlySet<Fault> = new Set<Fault>(["network", "internal", "serverBusy", "shuttingDown", "tooMany", "storageFailed"]);

/** `ask` and `changes` must stay the same functions; it is asked again only while what was found `changes` by itself. */
export function useLoading<T>(ask: () => Promise<T>, everyMs: number, changes: (found: T) => boolean = always): Loading<T> {
  const found = useSignal<T | null>(null);
  const fault = useSignal<Fault>(null);
  const asked = useRef(0);
  const load = useCallback(async () => {
    const turn = ++asked.current;
    let answer: T | null = null;
    let wrong: Fault = null;
    try {
      answer = await ask();
    } catch (error) {
      wrong = error instanceof ApiError ? error.code : "internal";
    }
    // An older answer must not hide a newer one.
    if (turn !== asked.current) return;
    if (wrong === null) found.value = answer;
    fault.value = wrong;
  }, [ask, found, fault]);
  useEffect(() => {
    let timer: ReturnType<typeof setTimeout> | undefined;
    let gone = false;
    const due = (): boolean => {
      if (document.hidden) return false;
      if (fault.peek() !== null) return PASSING.has(fault.peek());
      const known = found.peek();
      return known === null || changes(known);
    };
    const look = async (first: boolean): Promise<void> => {
      if (first || due()) await load();
      if (!gone) timer = setTimeout(() => void look(false), fault.peek() === "network" ? Math.min(RETRY_MS, everyMs) : everyMs);
    };
    void look(true);
    return () => {
      gone = true;
      clearTimeout(timer);
    };
  }, [load, found, fault, everyMs, changes]);
  return { found, fault, load };
}

function always(): boolean {
  return true;
}
