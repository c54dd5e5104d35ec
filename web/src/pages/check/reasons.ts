// Owns what the reasons of a line check belong to, for who made it and for who looks at all of them (docs/protocol.md, "Line check"). Pure.

import type { Grade } from "../event/model";
import type { StepName } from "./steps";

export interface Reason {
  readonly code: string;
  readonly grade: Grade;
  readonly value: unknown;
}

export interface Verdict {
  readonly grade: Grade;
  readonly reasons: readonly Reason[];
}

/** With the step that finds each out. */
const STEP_OF = {
  noCamera: "devices",
  noMicrophone: "devices",
  notSecure: "connection",
  noWebSocket: "connection",
  noUdp: "connection",
  farAway: "connection",
  slowUp: "up",
  lossUp: "up",
  slowDown: "down",
  lossDown: "down",
  unsteady: "down",
  slowPicture: "picture",
  noPicture: "picture",
} as const satisfies Readonly<Record<string, StepName>>;

export type ReasonCode = keyof typeof STEP_OF;

/** A newer server may have reasons that this page does not know: those are told as `other`. */
export function reasonCode({ code }: Reason): ReasonCode | "other" {
  return code in STEP_OF ? (code as ReasonCode) : "other";
}

/** The worst that a step found out; null: nothing is wrong with it. */
export function gradeOf(step: StepName, verdict: Verdict): Grade | null {
  const own = verdict.reasons.filter((reason) => {
    const code = reasonCode(reason);
    return code !== "other" && STEP_OF[code] === step;
  });
  return own.find(({ grade }) => grade === "red")?.grade ?? own[0]?.grade ?? null;
}
