// Owns the list of a line check's steps: what runs, how far it is, what each found out.

import type { JSX } from "preact";
import { Icon } from "../../components/icons";
import type { IconName } from "../../components/icons";
import { formatNumber, t } from "../../i18n";
import { bitrate } from "../view";
import type { Measured } from "./api";
import { GradeSign } from "./grade";
import { gradeOf } from "./reasons";
import type { Verdict } from "./reasons";
import { STEPS } from "./steps";
import type { Step, StepName, Steps } from "./steps";

const SIGNS: Readonly<Record<StepName, IconName>> = {
  devices: "camera",
  connection: "link",
  up: "send",
  down: "download",
  picture: "line",
};

interface StepListProps {
  readonly steps: Steps;
  readonly measured: Measured;
  readonly verdict: Verdict | null;
}

export function StepList({ steps, measured, verdict }: StepListProps): JSX.Element {
  return (
    <ol class="check-steps" data-testid="check-steps">
      {STEPS.map((name) => {
        const step = steps[name];
        const grade = verdict && step.state === "done" ? (gradeOf(name, verdict) ?? "green") : null;
        return (
          <li key={name} data-step={name} data-state={step.state} data-grade={grade}>
            <Icon name={SIGNS[name]} />
            <span class="check-step-name">{t(`linecheck.step.${name}`)}</span>
            <span class="check-step-found">{found(name, step, measured)}</span>
            {grade ? <GradeSign grade={grade} bare /> : step.state === "done" && <Icon name="check" />}
            {step.state === "running" && (
              <progress class="check-progress" max={1} value={step.share > 0 ? step.share : undefined} aria-label={t(`linecheck.step.${name}`)} />
            )}
          </li>
        );
      })}
    </ol>
  );
}

function found(name: StepName, step: Step, measured: Measured): string {
  if (step.state === "waiting") return "";
  if (step.state === "skipped") return t("linecheck.skipped");
  if (step.state === "running") return step.bps === null ? t("linecheck.running") : bitrate(step.bps);
  switch (name) {
    case "devices":
      return devicesFound(measured);
    case "connection":
      return connectionFound(measured);
    case "up":
      return measured.upBps === null ? "" : bitrate(measured.upBps);
    case "down":
      return measured.downBps === null ? t("linecheck.asMuch") : bitrate(measured.downBps);
    case "picture":
      return pictureFound(measured.picture);
  }
}

function devicesFound({ camera, microphone }: Measured): string {
  if (camera === "ok" && microphone === "ok") return t("linecheck.devices.both");
  if (camera === "ok") return t("linecheck.devices.camera");
  return t(microphone === "ok" ? "linecheck.devices.microphone" : "linecheck.devices.neither");
}

function connectionFound({ udp, rttMs }: Measured): string {
  if (udp === false) return t("linecheck.blocked");
  return rttMs === null ? t("linecheck.connected") : t("linecheck.connectedIn", { time: t("unit.ms", { value: formatNumber(Math.max(1, rttMs)) }) });
}

function pictureFound(picture: Measured["picture"]): string {
  if (picture === null) return t("linecheck.picture.none");
  return t("linecheck.picture.seen", { width: picture.width, height: picture.height, fps: formatNumber(picture.fps) });
}
