// Owns how a fault is told: a sentence beside the thing that is wrong, with the button that mends it.

import type { ComponentChildren, JSX } from "preact";
import { formatNumber, t } from "../i18n";
import type { Source } from "../protocol";
import type { LocalTrack } from "../state";
import { Icon } from "./icons";

interface ProblemProps {
  readonly code: string;
  readonly children: ComponentChildren;
  /** A hint can wait; a fault is spoken at once. */
  readonly mild?: boolean;
}

export function Problem({ code, children, mild = false }: ProblemProps): JSX.Element {
  return (
    <div class={mild ? "problem mild" : "problem"} role={mild ? "status" : "alert"} data-testid="problem" data-code={code}>
      <Icon name="warning" />
      <div class="problem-body">{children}</div>
    </div>
  );
}

interface DeviceProblemProps {
  readonly source: Source;
  readonly local: LocalTrack | undefined;
  readonly framesPerSecond: number | null;
  readonly onRetry: () => void;
}

/** Nothing while the device works. */
export function DeviceTrouble({ source, local, framesPerSecond, onRetry }: DeviceProblemProps): JSX.Element | null {
  if (!local) return null;
  const what = t(`what.${source}`);
  if (local.problem !== null) {
    return (
      <Problem code={local.problem}>
        <p>{t(`problem.${local.problem}`, { what })}</p>
        {local.problem !== "insecure" && (
          <button type="button" class="button" onClick={onRetry}>
            <Icon name="retry" />
            {t("app.retry")}
          </button>
        )}
      </Problem>
    );
  }
  const [warning] = local.warnings;
  if (warning === undefined) return null;
  const fps = framesPerSecond === null ? "<15" : formatNumber(framesPerSecond);
  return (
    <Problem code={warning} mild>
      <p>{t(`problem.${warning}`, { what, fps })}</p>
    </Problem>
  );
}
