// Owns what the pages can ask of the server about the room: each action is one request and its answer. Knows no state.

import { eventActions } from "./event/actions";
import { CHAT_MAX_CHARACTERS, MARK_MAX_CHARACTERS } from "./protocol";
import type { ClientMessage, ViewSlots } from "./protocol";
import type { AnswerTo } from "./requests";
import type { RoomActions } from "./state";

export type Request = <M extends ClientMessage>(message: M) => Promise<AnswerTo<M["type"]>>;

/** `viewTaken` is told of changes to the common view that the server has taken. */
export function roomActions(request: Request, viewTaken: (changes: ViewSlots) => void): RoomActions {
  const tell = async (message: ClientMessage): Promise<void> => {
    await request(message);
  };
  return {
    ...eventActions(request),
    endSession: () => tell({ type: "endSession" }),
    setHand: (raised, participant) => tell({ type: "setHand", raised, ...(participant === undefined ? {} : { participant }) }),
    sendChat: async (text) => {
      const trimmed = text.trim().slice(0, CHAT_MAX_CHARACTERS);
      if (trimmed !== "") await tell({ type: "sendChat", text: trimmed });
    },
    giveFloor: (participant) => tell({ type: "giveFloor", participant }),
    takeFloor: (participant) => tell({ type: "takeFloor", participant }),
    blockTrack: (track, blocked) => tell({ type: "blockTrack", track, blocked }),
    removeParticipant: (participant) => tell({ type: "removeParticipant", participant }),
    answerConsent: (agreed) => tell({ type: "answerConsent", agreed }),
    startRecording: () => tell({ type: "startRecording" }),
    pauseRecording: (paused) => tell({ type: "pauseRecording", paused }),
    stopRecording: () => tell({ type: "stopRecording" }),
    addMark: async (text, at) => {
      const trimmed = text.trim().slice(0, MARK_MAX_CHARACTERS);
      return (await request({ type: "addMark", text: trimmed, ...(at === undefined ? {} : { at }) })).mark;
    },
    removeMark: (mark) => tell({ type: "removeMark", mark }),
    askLead: (asking, participant) => tell({ type: "askLead", asking, ...(participant === undefined ? {} : { participant }) }),
    giveLead: (participant) => tell({ type: "giveLead", participant }),
    setView: async (changes) => {
      await tell({ type: "setView", changes });
      viewTaken(changes);
    },
    reportReading: (progress) =>
      tell({
        type: "reportReading",
        ...(progress ?? { following: false, preview: 0, sharp: 0, total: 0 }),
        open: progress !== null,
      }),
  };
}
