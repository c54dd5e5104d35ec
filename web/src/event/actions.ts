// Owns what the pages can ask of the server about an event: each action is one request and its answer. Knows no state.

import type { Request } from "../actions";
import { LOWER_THIRD_MAX_CHARACTERS, NOTICE_MAX_CHARACTERS } from "../protocol";
import type { ClientMessage } from "../protocol";
import type { EventActions } from "../state";

export function eventActions(request: Request): EventActions {
  const tell = async (message: ClientMessage): Promise<void> => {
    await request(message);
  };
  const line = (text: string): string => text.trim().slice(0, LOWER_THIRD_MAX_CHARACTERS);
  return {
    setCue: (participant) => tell({ type: "setCue", participant }),
    takeCue: (participant, replacing) => tell({ type: "takeCue", participant, replacing }),
    setStageLayout: (layout, main, second) => tell({ type: "setStageLayout", layout, main, second }),
    setLowerThird: (lowerThird) =>
      tell({
        type: "setLowerThird",
        lowerThird: lowerThird && { ...lowerThird, title: line(lowerThird.title), subtitle: line(lowerThird.subtitle) },
      }),
    muteOffStage: () => tell({ type: "muteOffStage" }),
    sendNotice: async (to, text) => {
      const trimmed = text.trim().slice(0, NOTICE_MAX_CHARACTERS);
      if (trimmed === "") return;
      await tell({ type: "sendNotice", text: trimmed, ...(typeof to === "string" ? { to } : { participants: to }) });
    },
    askQuestion: async (text) => {
      const trimmed = text.trim().slice(0, NOTICE_MAX_CHARACTERS);
      if (trimmed !== "") await tell({ type: "askQuestion", text: trimmed });
    },
    setDoor: (change) => tell({ type: "setDoor", ...change }),
    admit: (waiting) => tell({ type: "admit", ...(waiting === undefined ? {} : { waiting }) }),
    turnAway: (waiting) => tell({ type: "turnAway", waiting }),
    withdrawQuestion: (question) => tell({ type: "withdrawQuestion", question }),
    pickQuestion: (question, state) => tell({ type: "pickQuestion", question, state }),
  };
}
