// Owns that a study which is open grows on the screen while it is still arriving: asked for anew now and then, and at its end.

import { effect } from "@preact/signals";
import type { ReadonlySignal } from "@preact/signals";
import type { Study } from "../../protocol";

/** What is needed of a viewer for that. */
export interface Growing {
  readonly study: ReadonlySignal<string | null>;
  /** Whether all that grew has come. */
  readonly library: { refresh(study: string): Promise<boolean> };
}

/** Each time all that is known of the pictures comes again, so not with every picture. */
export const REFRESHED_EVERY_MS = 2_500;

export function followGrowth(
  viewer: ReadonlySignal<Growing | null>,
  studies: ReadonlySignal<readonly Study[]>,
  after: (delayMs: number, callback: () => void) => () => void,
): () => void {
  /** Of the study that is open: how many there were when it was asked for last. */
  let known: { readonly growing: Growing; readonly uid: string; instances: number } | null = null;
  let cancel: (() => void) | null = null;

  const refresh = (): void => {
    cancel = null;
    const open = known;
    const now = open && studies.peek().find(({ uid }) => uid === open.uid);
    if (!open || !now || now.instances === open.instances) return;
    const { instances } = now;
    void open.growing.library.refresh(open.uid).then((came) => {
      // What did not come is asked for again.
      if (came) open.instances = instances;
      soon();
    });
  };
  const soon = (): void => {
    const open = known;
    const now = open && studies.peek().find(({ uid }) => uid === open.uid);
    if (open && now && now.instances !== open.instances) cancel ??= after(REFRESHED_EVERY_MS, refresh);
  };
  const stop = effect(() => {
    const growing = viewer.value;
    const uid = growing?.study.value ?? null;
    const instances = studies.value.find((study) => study.uid === uid)?.instances ?? 0;
    if (growing === null || uid === null) known = null;
    else if (known?.growing !== growing || known.uid !== uid) known = { growing, uid, instances };
    soon();
  });
  return () => {
    stop();
    cancel?.();
  };
}
