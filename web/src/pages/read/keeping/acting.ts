// Owns one thing that a person asks of the server at a time: that it is under way, and what it failed of.

import { useSignal } from "@preact/signals";
import type { ReadonlySignal } from "@preact/signals";
import { useCallback } from "preact/hooks";
import { ApiError } from "../../../api";
import type { Fault } from "../../loading";

export interface Acting {
  readonly busy: ReadonlySignal<boolean>;
  readonly fault: ReadonlySignal<Fault>;
  /** Does nothing while it is busy. True if it was done. */
  readonly act: (deed: () => Promise<void>) => Promise<boolean>;
}

export function useActing(): Acting {
  const busy = useSignal(false);
  const fault = useSignal<Fault>(null);
  const act = useCallback(
    async (deed: () => Promise<void>) => {
      if (busy.peek()) return false;
      busy.value = true;
      fault.value = null;
      try {
        await deed();
        return true;
      } catch (error) {
        fault.value = error instanceof ApiError ? error.code : "internal";
        return false;
      } finally {
        busy.value = false;
      }
    },
    [busy, fault],
  );
  return { busy, fault, act };
}
