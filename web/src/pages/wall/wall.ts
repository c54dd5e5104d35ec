// Owns what an organiser does at the wall: who is next, taken, let go (and back again by one press), the layout, to whom is
// written, that the run of show goes on. Derives the tiles. Draws nothing.

import { computed, effect, signal } from "@preact/signals";
import type { ReadonlySignal, Signal } from "@preact/signals";
import { createCall } from "../../api";
import { roleOf } from "../../claims";
import { ask } from "../../components/context";
import { goneOn, standing, stoodAs } from "../../event/agenda";
import type { Agenda, AgendaItem } from "../../event/agenda";
import { Places } from "../../event/places";
import { Stills } from "../../event/stills";
import { absentId, found, grouped, passes, steady, tilesOf } from "../../event/tiles";
import type { Filter, Group, Tile } from "../../event/tiles";
import { language } from "../../i18n";
import type { Audience, LowerThird, ParticipantId, StageLayout } from "../../protocol";
import type { Room } from "../session/room";

export const STAGE_MAX = 9;
const UNDO_MS = 5_000;
/** A press that comes sooner belongs to the one before: nothing is passed over by it. */
const GO_ON_AGAIN_MS = 1_000;

export type Tab = "stage" | "questions" | "messages";
export type To = Audience | "chosen";

/** What was just done, to be taken back by one press. */
export interface Deed {
  readonly kind: "offStage" | "replaced" | "wentOn" | "over";
  /** Of the person, or of the item that goes on now. */
  readonly name: string;
  readonly undo: () => Promise<void>;
}

export interface Wall {
  readonly room: Room;
  readonly stills: Stills;
  readonly search: Signal<string>;
  readonly filter: Signal<Filter>;
  readonly tab: Signal<Tab>;
  readonly to: Signal<To>;
  readonly message: Signal<string>;
  readonly chosen: Signal<ReadonlySet<ParticipantId>>;
  /** A press on a tile now chooses whom to write to. */
  readonly choosing: ReadonlySignal<boolean>;
  /** Whose actions are open. */
  readonly acting: Signal<ParticipantId | null>;
  /** The stage is full: whom the next one replaces is asked. */
  readonly replacing: Signal<boolean>;
  /** The lower third as it is being written; null: as it is shown. */
  readonly lower: Signal<LowerThird | null>;
  /** A message is on its way. */
  readonly sending: ReadonlySignal<boolean>;
  readonly deed: ReadonlySignal<Deed | null>;
  readonly tiles: ReadonlySignal<readonly Tile[]>;
  readonly groups: ReadonlySignal<readonly Group[]>;
  /** Points that were invited, or are here nevertheless; 0 where there is no list. */
  readonly invited: ReadonlySignal<number>;
  /** The run of show; null until it was heard of. */
  readonly agenda: ReadonlySignal<Agenda | null>;
  /** Whose link may write it. */
  readonly leads: boolean;
  /** Pictures and places are asked for until the returned function is called. */
  look(): () => void;
  press(tile: ParticipantId): void;
  cue(participant: ParticipantId): void;
  take(): void;
  replace(participant: ParticipantId): void;
  giveFloor(participant: ParticipantId): void;
  offStage(participant: ParticipantId): void;
  undo(): void;
  /** To the next item of the run of show. */
  goOn(): void;
  /** The point of an item, here or not; null where it has none. */
  atPoint(item: AgendaItem): Tile | null;
  arrange(layout: StageLayout): void;
  enlarge(participant: ParticipantId): void;
  beside(participant: ParticipantId): void;
  writeTo(participant: ParticipantId): void;
  send(): void;
}

export function createWall(room: Room): Wall {
  const { client } = room;
  const { event } = client;
  const call = createCall(room.token);
  const stills = new Stills({
    call,
    after,
    createUrl: (jpeg) => URL.createObjectURL(jpeg),
    revokeUrl: (url) => URL.revokeObjectURL(url),
    nowMs: () => performance.now(),
  });
  const places = new Places(call, after);
  const search = signal("");
  const filter = signal<Filter>("all");
  const tab = signal<Tab>("stage");
  const to = signal<To>("everybody");
  const message = signal("");
  const chosen = signal<ReadonlySet<ParticipantId>>(new Set());
  const acting = signal<ParticipantId | null>(null);
  const replacing = signal(false);
  const lower = signal<LowerThird | null>(null);
  /** On a thin line a second press comes before the answer: hundreds would read it twice. */
  const sending = signal(false);
  const deed = signal<Deed | null>(null);
  let before: readonly Tile[] = [];
  const tiles = computed(() => {
    const now = tilesOf({
      participants: client.participants.value,
      tracks: client.tracks.value,
      stage: client.stage.value,
      hands: client.hands.value,
      cue: event.cue.value,
      listed: places.listed.value,
    });
    before = steady(before, now);
    return before;
  });
  const choosing = computed(() => tab.value === "messages" && to.value === "chosen");
  const nameOf = (id: ParticipantId): string => room.people.peek().get(id)?.name ?? "";
  const onStage = (id: ParticipantId | null): ParticipantId | null => (id !== null && client.stage.peek().includes(id) ? id : null);
  const arrangement = () => [event.layout.peek(), onStage(event.main.peek()), onStage(event.second.peek())] as const;

  let timer: ReturnType<typeof setTimeout> | undefined;
  const done = (what: Deed): void => {
    clearTimeout(timer);
    deed.value = what;
    timer = setTimeout(() => (deed.value = null), UNDO_MS);
  };
  const cue = (participant: ParticipantId): void => {
    if (client.stage.peek().includes(participant)) return;
    ask(client.setCue(event.cue.peek() === participant ? null : participant));
  };
  const leads = roleOf(room.token) === "organiser";
  let wentOnMs = -GO_ON_AGAIN_MS;
  let going = false;
  const goOn = async (): Promise<void> => {
    const before = places.agenda.peek()?.items ?? [];
    const after = goneOn(before);
    const { now, next } = standing(before);
    if (now === null && next === null) return;
    await places.saveAgenda(after);
    wentOnMs = performance.now();
    // Only where it stands is taken back: what others wrote meanwhile stays.
    const undo = (): Promise<void> => places.saveAgenda(stoodAs(places.agenda.peek()?.items ?? [], before));
    done({ kind: next === null ? "over" : "wentOn", name: next?.title ?? "", undo });
  };
  const toggle = (participant: ParticipantId): void => {
    const next = new Set(chosen.peek());
    if (!next.delete(participant)) next.add(participant);
    chosen.value = next;
  };

  return {
    ...{ room, stills, search, filter, tab, to, message, chosen, choosing, acting, replacing, lower, sending, deed, tiles },
    groups: computed(() => grouped(tiles.value.filter((tile) => passes(tile, filter.value) && found(tile, search.value)), language.value)),
    invited: computed(() => {
      const { length } = places.listed.value;
      // Who came by another link is one of the points, too.
      const known = new Set(places.listed.value.map(({ participant }) => participant));
      return length === 0 ? 0 : length + tiles.value.filter(({ here, point, id }) => here && point && !known.has(id)).length;
    }),
    agenda: places.agenda,
    leads,
    look() {
      const session = client.session.peek();
      if (!session) return stills.look();
      const ended = [
        stills.look(),
        places.look(session.id),
        event.agendaVersion.subscribe((version) => {
          if (version > (places.agenda.peek()?.version ?? version)) void places.again();
        }),
        // A question about somebody who went is over: it must not open by itself before another hand when one comes back.
        effect(() => {
          if (acting.value !== null && !room.people.value.has(acting.value)) acting.value = null;
          if (replacing.value && !room.people.value.has(event.cue.value ?? "")) replacing.value = false;
        }),
      ];
      return () => ended.forEach((end) => end());
    },
    press: (tile) => (choosing.peek() ? toggle(tile) : cue(tile)),
    cue,
    take() {
      const next = event.cue.peek();
      if (next === null) return;
      if (client.stage.peek().length >= STAGE_MAX) replacing.value = true;
      else ask(client.takeCue(next, null));
    },
    replace(participant) {
      const taken = event.cue.peek();
      const before = arrangement();
      const name = nameOf(participant);
      replacing.value = false;
      if (taken === null) return;
      ask(
        client.takeCue(taken, participant).then(() => {
          const undo = async (): Promise<void> => {
            await client.takeFloor(taken);
            await client.giveFloor(participant);
            await client.setStageLayout(...before);
          };
          done({ kind: "replaced", name, undo });
        }),
      );
    },
    giveFloor: (participant) => ask(client.giveFloor(participant)),
    offStage(participant) {
      const before = arrangement();
      const name = nameOf(participant);
      ask(
        client.takeFloor(participant).then(() => {
          const undo = async (): Promise<void> => {
            await client.giveFloor(participant);
            await client.setStageLayout(...before);
          };
          done({ kind: "offStage", name, undo });
        }),
      );
    },
    undo() {
      const last = deed.peek();
      deed.value = null;
      if (last === null) return;
      ask(
        last.undo().catch((error: unknown) => {
          // There may be no other way back than to press again.
          if (deed.peek() === null) done(last);
          throw error;
        }),
      );
    },
    goOn() {
      if (!leads || going || performance.now() - wentOnMs < GO_ON_AGAIN_MS) return;
      going = true;
      ask(goOn().finally(() => (going = false)));
    },
    atPoint({ point }) {
      const listed = places.listed.value.find(({ id }) => id === point);
      return (listed && tiles.value.find(({ id, here }) => id === (here ? listed.participant : absentId(listed)))) ?? null;
    },
    arrange: (layout) => ask(client.setStageLayout(layout, onStage(event.main.peek()), onStage(event.second.peek()))),
    enlarge(participant) {
      const [layout, main, second] = arrangement();
      ask(client.setStageLayout(layout, main === participant ? null : participant, second === participant ? null : second));
    },
    beside(participant) {
      const [layout, main, second] = arrangement();
      ask(client.setStageLayout(layout, main === participant ? null : main, second === participant ? null : participant));
    },
    writeTo(participant) {
      chosen.value = new Set([participant]);
      to.value = "chosen";
      tab.value = "messages";
      acting.value = null;
    },
    send() {
      const whom = to.peek();
      const here = [...chosen.peek()].filter((id) => room.people.peek().has(id));
      const words = message.peek();
      if (sending.peek() || words.trim() === "" || (whom === "chosen" && here.length === 0)) return;
      sending.value = true;
      ask(
        client
          .sendNotice(whom === "chosen" ? here : whom, words)
          .then(() => {
            if (message.peek() === words) message.value = "";
          })
          .finally(() => (sending.value = false)),
      );
    },
  };
}

function after(delayMs: number, callback: () => void): () => void {
  const timer = setTimeout(callback, delayMs);
  return () => clearTimeout(timer);
}
