// Owns how what a person did on an event's page is told and taken back: the last deed with its undo, or why it failed.

import { signal } from "@preact/signals";
import type { ReadonlySignal } from "@preact/signals";
import type { JSX } from "preact";
import { ApiError } from "../../api";
import { toldAs } from "../../components/context";
import { Icon } from "../../components/icons";
import { Problem } from "../../components/problem";
import { t } from "../../i18n";
import type { Key } from "../../i18n";
import type { Fault } from "../loading";

type Trouble = Exclude<Fault, null>;
/** What a code means here, where the usual words would mislead. */
export type OwnWords = Partial<Readonly<Record<Trouble, Key>>>;

export interface Deed {
  /** A function, because the language may change meanwhile. */
  readonly words: () => string;
  readonly undo: (() => Promise<void>) | null;
}

export class Deeds {
  private readonly working = signal(false);
  private readonly trouble = signal<Trouble | null>(null);
  private readonly done = signal<Deed | null>(null);

  get busy(): ReadonlySignal<boolean> {
    return this.working;
  }

  get fault(): ReadonlySignal<Trouble | null> {
    return this.trouble;
  }

  get last(): ReadonlySignal<Deed | null> {
    return this.done;
  }

  /** One at a time; false if it failed, which is told, or another goes on. */
  async run(work: () => Promise<Deed | null>): Promise<boolean> {
    if (this.working.peek()) return false;
    this.working.value = true;
    try {
      this.done.value = await work();
      this.trouble.value = null;
      return true;
    } catch (error) {
      this.done.value = null;
      this.trouble.value = faultOf(error);
      return false;
    } finally {
      this.working.value = false;
    }
  }

  /** What fails can be tried again: there may be no other way back. */
  async undo(): Promise<void> {
    const last = this.done.peek();
    const undo = last?.undo;
    if (!undo || this.working.peek()) return;
    const undone = await this.run(async () => {
      await undo();
      return { words: () => t("event.undone"), undo: null };
    });
    if (!undone) this.done.value = last;
  }

  tell(deed: Deed): void {
    this.done.value = deed;
    this.trouble.value = null;
  }

  forget(): void {
    this.done.value = null;
    this.trouble.value = null;
  }
}

export function faultOf(error: unknown): Trouble {
  return error instanceof ApiError ? error.code : "internal";
}

export function Failed({ fault, own = {} }: { readonly fault: Trouble; readonly own?: OwnWords }): JSX.Element {
  const words = own[fault];
  return (
    <Problem code={fault}>
      <p>{words === undefined ? t("said.failed", { reason: t(`refused.${toldAs(fault)}`) }) : t(words)}</p>
    </Problem>
  );
}

/** Stays in sight at the lower edge. */
export function DeedBar({ deeds, own = {} }: { readonly deeds: Deeds; readonly own?: OwnWords }): JSX.Element {
  const last = deeds.last.value;
  const fault = deeds.fault.value;
  return (
    <div class="deed-place">
      {fault !== null && <Failed fault={fault} own={own} />}
      <div role="status">
        {last !== null && (
          <p class="deed" data-testid="deed">
            <span>{last.words()}</span>
            {last.undo !== null && (
              <button type="button" class="button small" data-testid="undo" aria-disabled={deeds.busy.value} onClick={() => void deeds.undo()}>
                <Icon name="undo" />
                {t("event.undo")}
              </button>
            )}
            <button type="button" class="button quiet small" onClick={() => deeds.forget()}>
              <Icon name="close" />
              {t("app.close")}
            </button>
          </p>
        )}
      </div>
    </div>
  );
}
