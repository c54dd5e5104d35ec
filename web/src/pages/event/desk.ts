// Owns what the tabs of an event's page share: the event as last heard, its calls, and whether it can be changed. Knows no tab.

import type { ReadonlySignal } from "@preact/signals";
import type { SessionId } from "../../protocol";
import type { EventApi } from "./api";
import type { EventFacts } from "./model";

export interface EventDesk {
  readonly token: string;
  readonly session: SessionId;
  readonly api: EventApi;
  readonly event: ReadonlySignal<EventFacts>;
  /** The link is of an organiser or of staff: it gives out links and changes what is planned. The hub only looks. */
  readonly manages: boolean;
  /** The same, and the event is not over. */
  readonly changes: boolean;
  /** Asks for the event anew; what went wrong is told above the tabs. */
  readonly load: () => Promise<void>;
}
