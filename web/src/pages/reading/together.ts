// Owns one person's part in reading together: whether the pictures are open, whether they go with who leads, and the exchange
// between this viewer and the session. Knows no pixels, no slot's meaning but `study`, `pointer` and that marks are somebody's
// work, and draws nothing.

import { batch, computed, effect, signal, untracked } from "@preact/signals";
import type { ReadonlySignal } from "@preact/signals";
import type { ParticipantId, ViewSlots } from "../../protocol";
import { difference } from "../../readingroom";
import type { View, Viewer } from "../../reading/view";
import type { Client } from "../../state";

/** What the session page needs of a viewer beside the common contract. */
export interface OpenViewer extends Viewer {
  /** Opens a study as this person's own wish: what follows from it is told by `onChange`. */
  open(study: string): Promise<void>;
}

export type Stage = "closed" | "opening" | "open" | "failed";

export interface TogetherSurroundings<V extends OpenViewer> {
  nowMs(): number;
  /** Calls back once; returns how to cancel. */
  after(delayMs: number, callback: () => void): () => void;
  /** Loads the viewer's code and makes one. */
  load(): Promise<V>;
  /** Runs a request; what goes wrong is told to the person. */
  ask(action: Promise<void>): void;
}

type Session = Pick<Client, "reading" | "self" | "phase" | "permissions" | "askLead" | "giveLead" | "setView" | "reportReading">;

/** At most fifteen times a second. */
export const SENT_EVERY_MS = 67;
export const REPORTED_EVERY_MS = 1_100;
/** After a refusal of the server for other reasons than the rate. */
const AGAIN_AFTER_MS = 1_000;

export class Together<V extends OpenViewer = OpenViewer> {
  readonly stage = signal<Stage>("closed");
  readonly viewer = signal<V | null>(null);
  /** Looks on its own although somebody leads. */
  readonly freely = signal(false);
  /** The person itself opened the pictures, so the keyboard may go there; else it may be writing to somebody. */
  readonly byHand = signal(false);
  readonly leads: ReadonlySignal<boolean>;
  /** What all are shown, if it is a study. */
  readonly common: ReadonlySignal<string | null>;

  /** The study that this person closed while it was shown to all: it does not open again by itself. */
  #dismissed: string | null = null;
  /** To be opened once the viewer is there, instead of what all see. */
  #wanted: string | null = null;
  /** Asked for the lead to show something of one's own: that counts, not what was on view before. */
  #bringing = false;
  #led = false;
  /** Led when the line was lost. */
  #ledAtLoss = false;
  #wasIn = true;
  #renewed = 0;
  /** The view as the server has it once all that was sent has arrived. */
  #sent: ViewSlots = {};
  /** What this person measured while looking freely: put away on the way back, there again the next time. */
  #own: { readonly study: string; readonly marks: ViewSlots } | null = null;
  /** The common view as it was applied here; null: anything may be shown. */
  #applied: ViewSlots | null = null;
  #sentAtMs = -Infinity;
  #cancelSending: (() => void) | null = null;
  /** How much that was sent is not answered. */
  #unanswered = 0;
  /** Some of it was refused for what it says: once all is answered, this viewer shows what the others see. */
  #goesBack = false;
  #cancelReport: (() => void) | null = null;
  #reported = "";
  #opening = 0;
  readonly #ended: (() => void)[];

  constructor(
    private readonly session: Session,
    private readonly surroundings: TogetherSurroundings<V>,
  ) {
    const { reading, self, phase } = session;
    this.leads = computed(() => reading.leader.value !== null && reading.leader.value === (self.value?.id ?? null));
    this.common = computed(() => studyOf(reading.view.value));
    this.#ended = [
      effect(() => {
        const now = [phase.value, reading.leader.value, reading.view.value, reading.renewed.value, this.leads.value, this.viewer.value, this.freely.value];
        untracked(() => now.length > 0 && this.#look());
      }),
      effect(() => {
        const now = [this.viewer.value?.sharpness.value, this.freely.value, this.leads.value, phase.value, reading.renewed.value];
        untracked(() => now.length > 0 && this.#reportSoon());
      }),
    ];
  }

  // ---- what the person does

  /** Opens a study: leading it if nobody leads, going along if it is on view, else on one's own. */
  choose(study: string): void {
    const { leader } = this.session.reading;
    const shared = this.common.peek() === study && leader.peek() !== null && !this.leads.peek();
    this.#dismissed = null;
    if (leader.peek() === null) {
      this.#bringing = this.session.permissions.peek().has("read");
      if (this.#bringing) this.#askLead();
    }
    if (shared) {
      this.goAlong();
      return;
    }
    this.freely.value = leader.peek() !== null && !this.leads.peek();
    this.byHand.value = true;
    this.#applied = null;
    const viewer = this.viewer.peek();
    if (viewer) void viewer.open(study).catch(() => undefined);
    else {
      this.#wanted = study;
      void this.#open();
    }
  }

  /** Where nobody leads: from what all see, or from a study that only this person has open. */
  lead(): void {
    const own = this.viewer.peek();
    this.#bringing = own !== null && studyOf(own.view()) !== this.common.peek();
    this.#askLead();
  }

  lookFreely(): void {
    if (this.leads.peek()) return;
    this.freely.value = true;
    const viewer = this.viewer.peek();
    if (viewer && this.#own?.study === studyOf(viewer.view())) viewer.apply(this.#own.marks);
  }

  /** Comes back to who leads; opens the pictures if need be. */
  goAlong(): void {
    if (this.freely.peek()) this.#putAway();
    this.#dismissed = null;
    this.#wanted = null;
    this.#applied = null;
    this.freely.value = false;
    this.byHand.value = true;
    if (this.stage.peek() === "closed" || this.stage.peek() === "failed") void this.#open();
  }

  /** For all, where this person leads; else only here. */
  close(): void {
    if (this.leads.peek()) {
      const letGo = async (): Promise<void> => {
        try {
          await this.session.setView({ study: null });
        } finally {
          await this.session.giveLead(null);
        }
      };
      this.surroundings.ask(letGo());
    } else {
      this.#dismissed = this.common.peek();
    }
    this.#shut();
  }

  give(to: ParticipantId | null): void {
    this.#send();
    this.surroundings.ask(this.session.giveLead(to));
  }

  again(): void {
    if (this.stage.peek() === "failed") void this.#open();
  }

  dispose(): void {
    for (const end of this.#ended) end();
    this.#shut();
    this.#cancelReport?.();
    this.#cancelReport = null;
  }

  #askLead(): void {
    const refused = (error: unknown): never => {
      this.#bringing = false;
      throw error;
    };
    this.surroundings.ask(this.session.askLead(true).catch(refused));
  }

  #putAway(): void {
    const view = this.viewer.peek()?.view() ?? {};
    const common = this.session.reading.view.peek();
    const study = studyOf(view);
    const marks = Object.entries(view).filter(([name]) => name.startsWith("mark.") && !(name in common));
    if (study !== null) this.#own = { study, marks: Object.fromEntries(marks) };
  }

  // ---- opening and closing

  async #open(): Promise<void> {
    const turn = ++this.#opening;
    this.stage.value = "opening";
    let viewer: V;
    try {
      viewer = await this.surroundings.load();
    } catch {
      if (turn === this.#opening) this.stage.value = "failed";
      return;
    }
    if (turn !== this.#opening) {
      viewer.dispose();
      return;
    }
    viewer.onChange = (changes) => this.#onHand(changes);
    const wanted = this.#wanted;
    this.#wanted = null;
    this.#applied = null;
    batch(() => {
      this.viewer.value = viewer;
      this.stage.value = "open";
    });
    if (wanted !== null) void viewer.open(wanted).catch(() => undefined);
    else if (this.leads.peek()) viewer.apply(this.session.reading.view.peek());
  }

  #shut(): void {
    this.#opening += 1;
    this.#cancelSending?.();
    this.#cancelSending = null;
    const viewer = this.viewer.peek();
    batch(() => {
      this.viewer.value = null;
      this.stage.value = "closed";
      this.freely.value = false;
      this.byHand.value = false;
    });
    this.#wanted = null;
    this.#applied = null;
    if (viewer) {
      viewer.onChange = null;
      viewer.dispose();
    }
  }

  // ---- what the session says

  #look(): void {
    const { reading, phase } = this.session;
    const view = reading.view.peek();
    const isIn = phase.peek().name === "inSession";
    if (this.#wasIn && !isIn) this.#ledAtLoss = this.#led;
    this.#wasIn = isIn;
    const renewed = this.#renewed !== reading.renewed.peek();
    this.#renewed = reading.renewed.peek();
    if (renewed) this.#sent = view;

    const leads = this.leads.peek();
    if (leads && !this.#led) this.#begin(view);
    else if (!leads && this.#led) this.#applied = null;
    this.#led = leads;
    if (leads) {
      if (renewed) {
        this.#ledAtLoss = false;
        if (!this.#goesBack) this.#sendSoon();
      }
    } else if (reading.leader.peek() === null) {
      if (renewed) this.#leadOn(view);
    } else if (isIn) {
      this.#ledAtLoss = false;
      // Somebody else was quicker: what was to be shown is not forced on the others when the lead comes later.
      this.#bringing = false;
      this.#follow(view);
    }
  }

  /** The lead is ours now. */
  #begin(view: ViewSlots): void {
    const viewer = this.viewer.peek();
    const brings = this.#bringing;
    this.#bringing = false;
    this.#sent = view;
    this.freely.value = false;
    if (viewer) {
      // What is measured and chosen on one's own is not forced on the others.
      if (!brings && studyOf(view) !== null) viewer.apply(difference(viewer.view(), view));
      this.#sendSoon();
    } else if (this.stage.peek() === "closed" && studyOf(view) !== null) {
      void this.#open();
    }
  }

  /** The server was started anew and knows nothing of what was shown; who led it takes it up again. */
  #leadOn(view: ViewSlots): void {
    if (!this.#ledAtLoss) return;
    this.#ledAtLoss = false;
    if (Object.keys(view).length > 0 || this.viewer.peek() === null) return;
    this.#bringing = true;
    this.#askLead();
  }

  #follow(view: ViewSlots): void {
    if (this.freely.peek()) return;
    const viewer = this.viewer.peek();
    const study = studyOf(view);
    if (study === null) {
      // Who leads has closed it for all.
      if (viewer && this.#applied !== null && studyOf(this.#applied) !== null) this.#shut();
      return;
    }
    if (viewer) {
      const changes = difference(this.#applied ?? viewer.view(), view);
      this.#applied = view;
      if (Object.keys(changes).length > 0) viewer.apply(changes);
    } else if (this.stage.peek() === "closed" && study !== this.#dismissed) {
      void this.#open();
    }
  }

  // ---- what the person's hand does in the viewer

  #onHand(changes: View): void {
    if (this.leads.peek()) {
      this.#sendSoon();
      return;
    }
    // Pointing alone changes nothing of what one sees.
    if (Object.keys(changes).every((name) => name === "pointer")) return;
    this.#applied = null;
    if (this.session.reading.leader.peek() !== null && !this.#bringing) this.freely.value = true;
  }

  #sendSoon(): void {
    if (this.#cancelSending) return;
    const waitMs = this.#sentAtMs + SENT_EVERY_MS - this.surroundings.nowMs();
    if (waitMs <= 0) this.#send();
    else this.#cancelSending = this.surroundings.after(waitMs, () => this.#send());
  }

  #send(): void {
    this.#cancelSending?.();
    this.#cancelSending = null;
    const viewer = this.viewer.peek();
    if (!viewer || !this.leads.peek() || this.session.phase.peek().name !== "inSession") return;
    const view = viewer.view();
    const changes = difference(this.#sent, view);
    // A viewer that has nothing open yet does not take from the others what they see.
    if (Object.keys(changes).length === 0 || studyOf(view) === null) return;
    this.#sent = view;
    this.#sentAtMs = this.surroundings.nowMs();
    this.#unanswered += 1;
    void this.session
      .setView(changes)
      .catch((error: unknown) => this.#onRefused(error instanceof Error ? error : new Error("refused")))
      .finally(() => {
        this.#unanswered -= 1;
        this.#goBack();
      });
  }

  #onRefused(error: Error): void {
    const code = "code" in error ? error.code : null;
    this.#sent = this.session.reading.view.peek();
    if (code === "tooLarge" || code === "malformed") {
      this.#goesBack = true;
      this.surroundings.ask(Promise.reject(error));
    } else if (code !== "notAllowed") {
      this.#cancelSending?.();
      this.#cancelSending = this.surroundings.after(AGAIN_AFTER_MS, () => this.#send());
    }
  }

  /** Not before all is answered: what is taken meanwhile would be undone here and not at the others. */
  #goBack(): void {
    if (!this.#goesBack || this.#unanswered > 0) return;
    this.#goesBack = false;
    const view = this.session.reading.view.peek();
    const viewer = this.viewer.peek();
    this.#sent = view;
    if (viewer && this.leads.peek() && studyOf(view) !== null) viewer.apply(difference(viewer.view(), view));
  }

  // ---- how far we are

  #reportSoon(): void {
    if (this.session.permissions.peek().has("read")) this.#cancelReport ??= this.surroundings.after(REPORTED_EVERY_MS, () => this.#report());
  }

  #report(): void {
    this.#cancelReport = null;
    const { phase, reading } = this.session;
    if (phase.peek().name !== "inSession") return;
    const viewer = this.viewer.peek();
    const progress = viewer && { following: !this.freely.peek(), ...viewer.sharpness.peek() };
    const said = JSON.stringify([progress, reading.renewed.peek()]);
    if (said === this.#reported || (progress === null && this.#reported === "")) return;
    this.#reported = said;
    this.session.reportReading(progress).catch(() => {
      this.#reported = "refused";
      this.#reportSoon();
    });
  }
}

function studyOf(view: ViewSlots): string | null {
  return typeof view.study === "string" ? view.study : null;
}
