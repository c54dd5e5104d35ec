// Owns the own devices that are open: starting, switching, muting, losing and finding them again, each source's state as
// signals. Knows nothing of the session: what is live here is published by client.ts.

import { signal } from "@preact/signals";
import { listDevices, NO_DEVICES, openDevice, pickDevice, problemOf } from "./devices";
import { createLevelMeter } from "./level";
import type { LevelMeter } from "./level";
import { captureWarnings } from "./plausibility";
import { sourceKind } from "./protocol";
import type { Source } from "./protocol";
import { Serial } from "./queue";
import type { CaptureWarning, DeviceProblem, Devices, LocalTrack } from "./state";

const LEVEL_PERIOD_MS = 100;

export type Capture = Omit<LocalTrack, "blocked" | "track">;

/** What a source was, to begin it again after a reload. */
export interface SourceWish {
  readonly source: Source;
  readonly muted: boolean;
}

export interface KeyValueStore {
  get(key: string): string | null;
  set(key: string, value: string): void;
  remove(key: string): void;
}

export interface CaptureSurroundings {
  readonly media: MediaDevices | undefined;
  /** Kept on this device from one visit to the next. */
  readonly memory: KeyValueStore;
  after(delayMs: number, callback: () => void): () => void;
  audioContext(): AudioContext | null;
  /** RGBA of a small copy of the present picture. */
  grab(stream: MediaStream): Promise<Uint8ClampedArray | null>;
}

/** Worth trying again by itself when devices change or the machine wakes up. */
const PASSING: ReadonlySet<DeviceProblem | null> = new Set<DeviceProblem>(["unplugged", "noDevice", "inUse"]);

export class Captures {
  readonly all = signal<ReadonlyMap<Source, Capture>>(new Map());
  readonly devices = signal<Devices>(NO_DEVICES);
  readonly levels = signal<ReadonlyMap<Source, number>>(new Map());

  readonly #order = new Map<Source, Serial>();
  readonly #meters = new Map<Source, LevelMeter>();
  #reading = false;

  constructor(
    private readonly surroundings: CaptureSurroundings,
    private readonly lost: (source: Source) => void,
  ) {
    surroundings.media?.addEventListener("devicechange", () => void this.#devicesChanged());
  }

  get(source: Source): Capture {
    return this.all.value.get(source) ?? OFF(source);
  }

  start(source: Source, deviceId?: string): Promise<void> {
    return this.#inOrder(source, async () => {
      if (deviceId !== undefined) this.surroundings.memory.set(memoryKey(source), deviceId);
      // Choosing a device for a camera that is off changes the choice, not that it is off.
      const muted = this.get(source).muted && source === "camera" && this.get(source).state === "live";
      if (muted && deviceId !== undefined) this.#update(source, { deviceId });
      else await this.#open(source, deviceId ?? null);
    });
  }

  stop(source: Source): Promise<void> {
    return this.#inOrder(source, () => {
      this.#release(source);
      this.#update(source, { ...OFF(source) });
      return Promise.resolve();
    });
  }

  stopAll(): void {
    for (const source of this.all.value.keys()) void this.stop(source);
  }

  setMuted(source: Source, muted: boolean): Promise<void> {
    return this.#inOrder(source, async () => {
      const before = this.get(source);
      this.#update(source, { muted });
      if (before.state === "off" || before.state === "failed") {
        if (!muted) await this.#open(source, before.deviceId);
      } else if (source === "camera" && muted) {
        this.#release(source);
        this.#update(source, { stream: null });
      } else if (source === "camera" && !before.stream) {
        await this.#open(source, before.deviceId);
      } else {
        for (const track of before.stream?.getTracks() ?? []) track.enabled = !muted;
      }
    });
  }

  remembered(source: Source): string | null {
    return this.surroundings.memory.get(memoryKey(source));
  }

  async refresh(): Promise<void> {
    this.devices.value = await listDevices(this.surroundings.media);
  }

  /** What a reload should begin again; a shared screen needs a click each time. */
  wishes(): SourceWish[] {
    return [...this.all.value.values()]
      .filter((one) => one.state !== "off" && one.source !== "screen")
      .map(({ source, muted }) => ({ source, muted }));
  }

  async restore(wishes: readonly SourceWish[]): Promise<void> {
    await Promise.all(
      wishes.map(async ({ source, muted }) => {
        if (muted && source === "camera") {
          this.#update(source, { state: "live", muted, deviceId: this.remembered(source) });
          return;
        }
        this.#update(source, { muted });
        await this.start(source);
      }),
    );
  }

  /** The machine woke up, or devices changed: what was lost may be there again. */
  wake(): void {
    for (const one of this.all.value.values()) {
      if (one.state === "failed" && PASSING.has(one.problem)) void this.start(one.source);
    }
  }

  /** Looks at what the capture card delivers. `framesPerSecond`: as sent, null if not known. */
  async inspect(source: "ultrasound" | "microscope", framesPerSecond: number | null): Promise<void> {
    const { stream, muted } = this.get(source);
    const track = stream?.getVideoTracks()[0];
    if (!stream || !track || muted) return;
    const settings = track.getSettings();
    const pixels = await this.surroundings.grab(stream).catch(() => null);
    if (this.get(source).stream !== stream) return;
    const warnings = captureWarnings({
      heightPx: settings.height ?? null,
      framesPerSecond: framesPerSecond ?? settings.frameRate ?? null,
      pixels,
    });
    if (!same(warnings, this.get(source).warnings)) this.#update(source, { warnings });
  }

  // ---- opening

  async #open(source: Source, deviceId: string | null): Promise<void> {
    this.#update(source, { state: "starting", problem: null });
    const named = this.devices.value.named;
    if (!named) await this.refresh();
    try {
      let stream = await this.#openOnce(source, deviceId ?? this.#pick(source));
      if (!named && deviceId === null) stream = await this.#reconsider(source, stream);
      this.#adopt(source, stream);
    } catch (error) {
      this.#release(source);
      this.#update(source, { state: "failed", stream: null, problem: problemOf(error, source), warnings: [] });
    }
  }

  async #openOnce(source: Source, deviceId: string | null): Promise<MediaStream> {
    const { media } = this.surroundings;
    try {
      return await openDevice(media, source, deviceId);
    } catch (error) {
      const problem = problemOf(error, source);
      if (problem === "overconstrained" && deviceId !== null) return openDevice(media, source, null);
      if (problem !== "inUse" || !this.get(source).stream) throw error;
      // Some machines open only one device of a kind at a time: let go of ours first.
      this.#release(source);
      return openDevice(media, source, deviceId);
    }
  }

  /** Before the first permission devices have no names, so the choice was blind: choose again with open eyes. */
  async #reconsider(source: Source, stream: MediaStream): Promise<MediaStream> {
    await this.refresh();
    const better = this.#pick(source);
    if (better === null || better === stream.getTracks()[0]?.getSettings().deviceId) return stream;
    for (const track of stream.getTracks()) track.stop();
    return openDevice(this.surroundings.media, source, better).catch(() => openDevice(this.surroundings.media, source, null));
  }

  #pick(source: Source): string | null {
    const others = [...this.all.value.values()].filter((one) => one.source !== source && one.stream);
    const taken = others.flatMap((one) => (one.deviceId === null ? [] : [one.deviceId]));
    return pickDevice(source, this.devices.value, this.remembered(source), taken);
  }

  #adopt(source: Source, stream: MediaStream): void {
    this.#release(source);
    const track = stream.getTracks()[0];
    if (!track) throw new DOMException("the device gave no track", "NotFoundError");
    const { muted } = this.get(source);
    track.enabled = !muted;
    track.addEventListener("ended", () => this.#ended(source, stream));
    const settings = track.getSettings();
    this.#update(source, {
      state: "live",
      stream,
      problem: null,
      warnings: [],
      deviceId: settings.deviceId ?? null,
      deviceLabel: track.label,
    });
    this.#measure(source, stream);
    void this.refresh();
  }

  #ended(source: Source, stream: MediaStream): void {
    if (this.get(source).stream !== stream) return;
    if (source === "screen") {
      void this.stop(source);
      return;
    }
    this.#release(source);
    this.#update(source, { state: "failed", stream: null, problem: "unplugged", warnings: [] });
    this.lost(source);
  }

  #release(source: Source): void {
    this.#meters.get(source)?.close();
    this.#meters.delete(source);
    for (const track of this.get(source).stream?.getTracks() ?? []) track.stop();
  }

  async #devicesChanged(): Promise<void> {
    await this.refresh();
    this.wake();
  }

  // ---- levels

  #measure(source: Source, stream: MediaStream): void {
    if (sourceKind(source) !== "audio") return;
    const context = this.surroundings.audioContext();
    if (!context) return;
    this.#meters.set(source, createLevelMeter(context, stream));
    if (!this.#reading) this.#readLevels();
  }

  #readLevels(): void {
    this.levels.value = new Map(
      [...this.#meters].map(([source, meter]) => [source, this.get(source).muted ? 0 : meter.read()]),
    );
    this.#reading = this.#meters.size > 0;
    if (this.#reading) this.surroundings.after(LEVEL_PERIOD_MS, () => this.#readLevels());
  }

  #update(source: Source, changes: Partial<Capture>): void {
    this.all.value = new Map(this.all.value).set(source, { ...this.get(source), ...changes });
  }

  #inOrder(source: Source, work: () => Promise<void>): Promise<void> {
    const order = this.#order.get(source) ?? new Serial();
    this.#order.set(source, order);
    return order.run(work);
  }
}

function OFF(source: Source): Capture {
  return {
    source,
    state: "off",
    muted: false,
    stream: null,
    deviceId: null,
    deviceLabel: "",
    problem: null,
    warnings: [],
  };
}

function memoryKey(source: Source): string {
  return `bridge.device.${source}`;
}

function same(a: readonly CaptureWarning[], b: readonly CaptureWarning[]): boolean {
  return a.length === b.length && a.every((warning, i) => warning === b[i]);
}
