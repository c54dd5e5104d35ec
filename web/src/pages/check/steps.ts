// Owns the steps of a line check and how far each has come. Pure.

export const STEPS = ["devices", "connection", "up", "down", "picture"] as const;
export type StepName = (typeof STEPS)[number];

export interface Step {
  readonly state: "waiting" | "running" | "done" | "skipped";
  /** 0 to 1 while it runs. */
  readonly share: number;
  /** What flows just now. */
  readonly bps: number | null;
}

export type Steps = Readonly<Record<StepName, Step>>;

const WAITING: Step = { state: "waiting", share: 0, bps: null };

export const ALL_WAITING: Steps = { devices: WAITING, connection: WAITING, up: WAITING, down: WAITING, picture: WAITING };

export function changed(steps: Steps, name: StepName, change: Partial<Step>): Steps {
  return { ...steps, [name]: { ...steps[name], ...change } };
}

/** What has not run will not. */
export function cutShort(steps: Steps): Steps {
  return STEPS.reduce((all, name) => (all[name].state === "waiting" ? changed(all, name, { state: "skipped" }) : all), steps);
}
