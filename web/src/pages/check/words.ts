// Owns how the reasons of a line check are told: what is wrong in a line, and what to do about it.

import { formatNumber, t } from "../../i18n";
import { bitrate } from "../view";
import { reasonCode } from "./reasons";
import type { Reason } from "./reasons";

const DEVICE_STATES = ["denied", "none", "busy"] as const;

export function reasonText(reason: Reason): string {
  const code = reasonCode(reason);
  const value = typeof reason.value === "number" ? reason.value : 0;
  switch (code) {
    case "noCamera":
      return t(`reason.noCamera.${deviceState(reason.value)}`);
    case "noMicrophone":
      return t(`reason.noMicrophone.${deviceState(reason.value)}`);
    case "slowUp":
    case "slowDown":
      return t(`reason.${code}`, { speed: bitrate(value) });
    case "lossUp":
    case "lossDown":
      return t(`reason.${code}`, { percent: formatNumber(value * 100, value < 0.1 ? 1 : 0) });
    case "farAway":
    case "unsteady":
      return t(`reason.${code}`, { time: t("unit.ms", { value: formatNumber(value) }) });
    case "slowPicture":
      return t("reason.slowPicture", { fps: formatNumber(value) });
    case "noUdp":
    case "noWebSocket":
    case "notSecure":
    case "noPicture":
    case "other":
      return t(`reason.${code}`);
  }
}

/** `port`: the relay's, where it is known. */
export function reasonTodo(reason: Reason, port: number | null): string {
  const code = reasonCode(reason);
  switch (code) {
    case "noCamera":
      return deviceTodo(reason.value, t("what.camera"));
    case "noMicrophone":
      return deviceTodo(reason.value, t("what.microphone"));
    case "notSecure":
      return t("problem.insecure");
    case "noUdp":
      return port === null ? t("reason.noUdp.todo") : t("reason.noUdp.todoPort", { port });
    case "slowUp":
    case "slowDown":
      return t("reason.slow.todo");
    case "lossUp":
    case "lossDown":
    case "unsteady":
      return t("reason.unsteady.todo");
    case "noWebSocket":
    case "farAway":
    case "slowPicture":
    case "noPicture":
    case "other":
      return t(`reason.${code}.todo`);
  }
}

function deviceTodo(value: unknown, what: string): string {
  switch (deviceState(value)) {
    case "denied":
      return t("problem.noPermission", { what });
    case "none":
      return t("problem.noDevice", { what });
    case "busy":
      return t("problem.inUse", { what });
  }
}

function deviceState(value: unknown): (typeof DEVICE_STATES)[number] {
  return DEVICE_STATES.find((state) => state === value) ?? "none";
}
