// Owns choosing a device and seeing or hearing that it works: the previews of the join page and of the devices dialog.

import type { JSX } from "preact";
import { useEffect, useId, useState } from "preact/hooks";
import { t } from "../i18n";
import type { Source } from "../protocol";
import type { Client, DeviceChoice, LocalTrack } from "../state";
import { useClient } from "./context";
import { Icon } from "./icons";
import type { IconName } from "./icons";
import { DeviceTrouble, Problem } from "./problem";
import { Video } from "./video";

export type Picked = "camera" | "ultrasound" | "microphone" | "ultrasoundSound";

/** Below this the microphone is as good as silent. */
const HEARD_LEVEL = 0.02;
const QUIET_AFTER_MS = 6_000;
const NONE = "";

export function PicturePreview({ source }: { readonly source: "camera" | "ultrasound" }): JSX.Element {
  const client = useClient();
  const local = client.locals.value.get(source);
  const stream = local?.stream ?? null;
  return (
    <section class={`preview ${source}`} aria-label={t(`join.${source}`)}>
      <h2>
        <Icon name={source} />
        {t(`join.${source}`)}
      </h2>
      <div class="preview-frame">
        {stream ? (
          <Video stream={stream} label={t(`join.${source}`)} testId={`${source}-preview`} mirrored={source === "camera"} />
        ) : (
          <p class="preview-empty">
            <Icon name={source === "camera" ? "cameraOff" : "ultrasound"} />
            {t(local?.state === "starting" ? "join.starting" : "join.off")}
          </p>
        )}
      </div>
      <DeviceSelect source={source} />
      <Trouble source={source} local={local} client={client} />
      {(stream !== null || source === "ultrasound") && <p class="note">{t(`join.${source}Note`)}</p>}
      {source === "ultrasound" && stream !== null && (
        <div class="preview-extra">
          <DeviceSelect source="ultrasoundSound" />
        </div>
      )}
    </section>
  );
}

export function MicrophonePreview(): JSX.Element {
  const client = useClient();
  const local = client.locals.value.get("microphone");
  const live = local?.state === "live";
  const level = client.levels.value.get("microphone") ?? 0;
  const quiet = useQuiet(live, level);
  return (
    <section class="preview microphone" aria-label={t("join.microphone")}>
      <h2>
        <Icon name={live ? "microphone" : "microphoneOff"} />
        {t("join.microphone")}
      </h2>
      <LevelMeter level={level} />
      <DeviceSelect source="microphone" />
      <Trouble source="microphone" local={local} client={client} />
      {live && !quiet && <p class="note">{t("join.microphoneNote")}</p>}
      {quiet && (
        <Problem code="quiet" mild>
          <p>{t("join.microphoneQuiet")}</p>
        </Problem>
      )}
    </section>
  );
}

export function LevelMeter({ level }: { readonly level: number }): JSX.Element {
  const percent = Math.round(Math.min(1, Math.max(0, level)) * 100);
  return (
    <div
      class="level"
      role="meter"
      aria-label={t("join.level")}
      aria-valuemin={0}
      aria-valuemax={100}
      aria-valuenow={percent}
      data-testid="mic-level"
      data-level={percent}
    >
      <div class="level-bar" style={{ transform: `scaleX(${percent / 100})` }} />
    </div>
  );
}

function DeviceSelect({ source }: { readonly source: Picked }): JSX.Element {
  const client = useClient();
  const id = useId();
  const local = client.locals.value.get(source);
  const choices = choicesFor(client, source);
  const chosen = local && local.state !== "off" ? (local.deviceId ?? NONE) : NONE;
  return (
    <label class="device-select" for={id}>
      <span class={source === "ultrasoundSound" ? "device-label" : "unseen"}>
        {t("join.choose", { what: t(`source.${source}`) })}
      </span>
      <select
        id={id}
        data-testid={`${source}-select`}
        value={chosen}
        onFocus={() => void client.refreshDevices()}
        onChange={(event) => choose(client, source, event.currentTarget.value)}
      >
        <option value={NONE}>{t("join.none")}</option>
        {choices.map((choice, index) => (
          <option key={choice.id} value={choice.id}>
            {choice.label || t("join.device", { number: index + 1 })}
          </option>
        ))}
      </select>
    </label>
  );
}

function Trouble({ source, local, client }: { source: Source; local: LocalTrack | undefined; client: Client }): JSX.Element | null {
  const rate = local?.stream?.getVideoTracks()[0]?.getSettings().frameRate ?? null;
  return (
    <DeviceTrouble
      source={source}
      local={local}
      framesPerSecond={rate}
      onRetry={() => void client.start(source, local?.deviceId ?? undefined)}
    />
  );
}

function choicesFor(client: Client, source: Picked): readonly DeviceChoice[] {
  const { cameras, microphones } = client.devices.value;
  const choices = source === "camera" || source === "ultrasound" ? cameras : microphones;
  // Before the person has allowed devices, browsers list them without an id.
  return choices.filter(({ id }) => id !== "");
}

function choose(client: Client, source: Picked, deviceId: string): void {
  if (deviceId === NONE) void client.stop(source);
  else void client.start(source, deviceId);
}

function useQuiet(live: boolean, level: number): boolean {
  const heard = level >= HEARD_LEVEL;
  const [quiet, setQuiet] = useState(false);
  useEffect(() => {
    setQuiet(false);
    if (!live || heard) return;
    const timer = setTimeout(() => setQuiet(true), QUIET_AFTER_MS);
    return () => clearTimeout(timer);
  }, [live, heard]);
  return live && quiet;
}

export function sourceIcon(source: Source): IconName {
  return source === "ultrasoundSound" ? "sound" : source;
}
