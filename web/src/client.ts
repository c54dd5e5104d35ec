// Wires connection, media, devices and room into the one object that the pages use.

import type { Client } from "./state";

/** What the client needs from its surroundings; the page passes none, tests pass their own. */
export interface Surroundings {
  /** ws(s)://HOST/ws; by default of the page's own origin. */
  readonly url?: string;
}

export declare function createClient(surroundings?: Surroundings): Client;
