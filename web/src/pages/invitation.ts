// Owns asking what a link invites to, for the pages that a person opens by it.

import { useEffect, useState } from "preact/hooks";
import { ApiError, createApi } from "../api";
import type { InviteInfo } from "../api";
import type { ErrorCode } from "../protocol";

const RETRY_MS = 3_000;

export type Invitation =
  | { readonly state: "asking" }
  | { readonly state: "invited"; readonly info: InviteInfo }
  | { readonly state: "refused"; readonly code: ErrorCode | "network" };

/** Without a network it goes on asking by itself; every other refusal is final. */
export function useInvitation(token: string): Invitation {
  const [invitation, setInvitation] = useState<Invitation>({ state: "asking" });
  useEffect(() => {
    let gone = false;
    let timer: ReturnType<typeof setTimeout> | undefined;
    const askAgain = (): void => {
      createApi(token)
        .invite()
        .then(
          (info) => {
            if (gone) return;
            setInvitation(info.session.state === "ended" ? { state: "refused", code: "sessionEnded" } : { state: "invited", info });
          },
          (error: unknown) => {
            if (gone) return;
            const code = error instanceof ApiError ? error.code : "internal";
            setInvitation({ state: "refused", code });
            if (code === "network" || code === "shuttingDown") timer = setTimeout(askAgain, RETRY_MS);
          },
        );
    };
    askAgain();
    return () => {
      gone = true;
      clearTimeout(timer);
    };
  }, [token]);
  return invitation;
}
