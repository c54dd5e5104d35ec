// Owns one run of a line check from its first question to the verdict: what is tried in which order, and what is let go of
// afterwards. Shown by signals; knows no elements.

import { signal } from "@preact/signals";
import { ApiError } from "../../api";
import { createLevelMeter } from "../../level";
import type { ErrorCode } from "../../protocol";
import type { Graded, LineCheckApi, Measured } from "./api";
import { browserName } from "./browsername";
import { openDevices } from "./devices";
import type { Opened } from "./devices";
import { lossShare, lossUpShare, median, rateBps } from "./figures";
import type { Received, Sent } from "./figures";
import { Mirror } from "./mirror";
import { createNoise } from "./noise";
import { downLimitBps, PATIENCE_MS, Ramp, TARGETS_BPS } from "./ramp";
import { ALL_WAITING, changed, cutShort } from "./steps";
import type { Step, StepName, Steps } from "./steps";

const LOOKED_EVERY_MS = 250;
/** Counters that stand still must not hold it for ever. */
const RAMP_LIMIT_MS = TARGETS_BPS.length * PATIENCE_MS + 5_000;
/** A picture that has just begun comes in a burst. */
const DOWN_SETTLES_MS = 2_000;
const DOWN_MS = 4_000;
const PICTURE_SETTLES_MS = 2_500;
const PICTURE_MS = 6_000;
/** What a point's picture takes in an event. */
const PICTURE_BPS = 1_200_000;
const WITHOUT_PICTURE_BPS = 600_000;
/** More than this down is not asked of a point. */
const DOWN_ENOUGH_BPS = 2_000_000;
const SENT_TRIES = 4;
const SENT_AGAIN_MS = 2_500;

export type Fault = ErrorCode | "network" | "hidden";

export interface Outcome {
  readonly graded: Graded;
  readonly measured: Measured;
  /** UDP port of the relay, where it was told. */
  readonly port: number | null;
  /** Something was heard by the microphone. */
  readonly heard: boolean;
  readonly atMs: number;
}

export type Phase =
  | { readonly name: "ready" }
  | { readonly name: "running" }
  | { readonly name: "failed"; readonly code: Fault }
  | { readonly name: "done"; readonly outcome: Outcome };

export interface CheckSurroundings {
  readonly media: MediaDevices | undefined;
  readonly secure: boolean;
  readonly userAgent: string;
  createPeer(): RTCPeerConnection;
  /** Whether a WebSocket to the server opens. */
  webSocketOpens(): Promise<boolean>;
  audioContext(): AudioContext | null;
  nowMs(): number;
}

const NOTHING: Measured = {
  ...{ camera: null, microphone: null, udp: null, https: null, webSocket: null, rttMs: null, jitterMs: null },
  ...{ lossUp: null, lossDown: null, upBps: null, downBps: null, picture: null, browser: "" },
};
const HEARD_LEVEL = 0.02;

export class LineCheck {
  readonly phase = signal<Phase>({ name: "ready" });
  readonly steps = signal<Steps>(ALL_WAITING);
  readonly camera = signal<MediaStream | null>(null);
  /** The own picture as it comes back. */
  readonly mirrored = signal<MediaStream | null>(null);
  readonly level = signal(0);
  readonly measured = signal<Measured>(NOTHING);

  #running: AbortController | null = null;
  #loudest = 0;

  constructor(
    private readonly api: LineCheckApi,
    private readonly surroundings: CheckSurroundings,
  ) {}

  start(): void {
    this.stop();
    const running = (this.#running = new AbortController());
    this.steps.value = ALL_WAITING;
    this.measured.value = { ...NOTHING, browser: browserName(this.surroundings.userAgent), https: this.surroundings.secure };
    this.#loudest = 0;
    this.phase.value = { name: "running" };
    this.#run(running.signal).then(
      (outcome) => this.#finish(running, { name: "done", outcome }),
      (error: unknown) => this.#finish(running, { name: "failed", code: error instanceof ApiError ? error.code : "internal" }),
    );
  }

  /** Back to the beginning. */
  stop(): void {
    if (this.#running) this.#finish(this.#running, { name: "ready" });
  }

  /** A page that is not seen is slowed down by the browser: what it measures would be wrong. */
  hidden(): void {
    if (this.#running && this.steps.value.devices.state === "done") this.#finish(this.#running, { name: "failed", code: "hidden" });
  }

  #finish(running: AbortController, phase: Phase): void {
    if (running !== this.#running) return;
    this.#running = null;
    running.abort();
    this.phase.value = phase;
  }

  async #run(stopped: AbortSignal): Promise<Outcome> {
    const freed: (() => void)[] = [];
    const free = (): void => {
      for (const one of freed.splice(0).reverse()) one();
    };
    stopped.addEventListener("abort", free);
    try {
      const devices = await this.#devices(freed);
      stopped.throwIfAborted();
      this.#go("connection");
      const check = await this.api.begin();
      const ended = (): void => void this.api.end(check).catch(() => undefined);
      freed.push(ended);
      const mirror = new Mirror(this.api, check, () => this.surroundings.createPeer());
      freed.push(() => mirror.close());
      stopped.throwIfAborted();
      await this.#measure(devices, mirror, freed, stopped);
      const graded = await this.#tell(check, stopped);
      freed.splice(freed.indexOf(ended), 1);
      return { graded, measured: this.measured.value, port: mirror.port, heard: this.#loudest >= HEARD_LEVEL, atMs: this.surroundings.nowMs() };
    } finally {
      stopped.removeEventListener("abort", free);
      free();
    }
  }

  async #devices(freed: (() => void)[]): Promise<Opened> {
    this.#go("devices");
    const devices = await openDevices(this.surroundings.media);
    freed.push(() => {
      for (const track of devices.stream.getTracks()) track.stop();
      this.camera.value = this.mirrored.value = null;
    });
    this.#note({ camera: devices.camera, microphone: devices.microphone });
    if (devices.camera === "ok") this.camera.value = new MediaStream(devices.stream.getVideoTracks());
    if (devices.microphone === "ok") freed.push(this.#listen(devices.stream));
    this.#done("devices");
    return devices;
  }

  #listen(stream: MediaStream): () => void {
    const context = this.surroundings.audioContext();
    if (!context) return () => undefined;
    const meter = createLevelMeter(context, stream);
    const timer = setInterval(() => {
      this.level.value = meter.read();
      this.#loudest = Math.max(this.#loudest, this.level.value);
    }, LOOKED_EVERY_MS / 2);
    return () => {
      clearInterval(timer);
      meter.close();
      void context.close();
      this.level.value = 0;
    };
  }

  async #measure(devices: Opened, mirror: Mirror, freed: (() => void)[], stopped: AbortSignal): Promise<void> {
    const noise = createNoise();
    if (noise) freed.push(() => noise.stop());
    const camera = devices.stream.getVideoTracks()[0] ?? null;
    const picture = noise?.track ?? camera;
    if (!picture) throw new ApiError("unsupported", "this browser cannot make a picture to send");
    const sound = devices.stream.getAudioTracks()[0] ?? null;
    const [webSocket, udp] = await Promise.all([
      this.surroundings.webSocketOpens(),
      mirror.send(picture, sound, TARGETS_BPS[0]),
    ]);
    stopped.throwIfAborted();
    this.#note({ webSocket, udp });
    this.#done("connection");
    if (!udp) {
      this.steps.value = cutShort(this.steps.value);
      return;
    }
    await this.#fillUp(mirror, stopped);
    const back = await this.#sendBack(mirror, stopped);
    this.#go("picture");
    if (camera) await mirror.show(camera);
    await mirror.limit(camera ? PICTURE_BPS : WITHOUT_PICTURE_BPS);
    if (camera) this.mirrored.value = back;
    await this.#look(mirror, camera !== null, stopped);
    if (camera && back) this.#done("picture");
    else this.#step("picture", { state: "skipped" });
  }

  async #fillUp(mirror: Mirror, stopped: AbortSignal): Promise<void> {
    this.#go("up");
    const ramp = new Ramp();
    const endsAtMs = this.surroundings.nowMs() + RAMP_LIMIT_MS;
    let before: Sent | null = null;
    while (!ramp.over && this.surroundings.nowMs() < endsAtMs) {
      await pause(LOOKED_EVERY_MS, stopped);
      const sent = await mirror.sent();
      if (!sent) continue;
      const targetBps = ramp.targetBps;
      ramp.feed(sent);
      if (ramp.targetBps !== targetBps) await mirror.limit(ramp.targetBps);
      this.#step("up", { share: ramp.share, bps: before ? rateBps(before, sent) : null });
      before = sent;
    }
    this.#note({ upBps: ramp.bestBps });
    this.#done("up");
  }

  /** The stream that comes back; null: none does. */
  async #sendBack(mirror: Mirror, stopped: AbortSignal): Promise<MediaStream | null> {
    this.#go("down");
    const back = await mirror.receive();
    stopped.throwIfAborted();
    if (!back) {
      this.#note({ downBps: 0 });
      this.#done("down");
      return null;
    }
    await this.#during("down", 0, DOWN_SETTLES_MS, DOWN_SETTLES_MS + DOWN_MS, stopped);
    const [sentFrom, cameFrom] = [await mirror.sent(), await mirror.received()];
    await this.#during("down", DOWN_SETTLES_MS, DOWN_MS, DOWN_SETTLES_MS + DOWN_MS, stopped, async () => {
      const came = await mirror.received();
      return came && cameFrom ? rateBps(cameFrom, came) : null;
    });
    const [sentTo, cameTo] = [await mirror.sent(), await mirror.received()];
    if (!cameFrom || !cameTo) this.#note({ downBps: 0 });
    else {
      const sentBps = sentFrom && sentTo ? rateBps(sentFrom, sentTo) : 0;
      this.#note({ downBps: downLimitBps(sentBps, rateBps(cameFrom, cameTo), DOWN_ENOUGH_BPS) });
    }
    this.#done("down");
    return back;
  }

  /** At the pace of an event: what gets lost, how long it takes, what the picture is like. */
  async #look(mirror: Mirror, hasPicture: boolean, stopped: AbortSignal): Promise<void> {
    const wholeMs = PICTURE_SETTLES_MS + PICTURE_MS;
    await this.#during("picture", 0, PICTURE_SETTLES_MS, wholeMs, stopped);
    const sent: Sent[] = [];
    const came: Received[] = [];
    await this.#during("picture", PICTURE_SETTLES_MS, PICTURE_MS, wholeMs, stopped, async () => {
      const [there, back] = [await mirror.sent(), await mirror.received()];
      if (there) sent.push(there);
      if (back) came.push(back);
      return null;
    });
    this.#note({
      rttMs: median(known(sent.map(({ roundTripMs }) => roundTripMs))),
      jitterMs: median(known(came.map(({ jitterMs }) => jitterMs))) ?? median(known(sent.map(({ jitterMs }) => jitterMs))),
      lossUp: between(sent, lossUpShare),
      lossDown: between(came, lossShare),
      picture: hasPicture ? pictureOf(came) : null,
    });
  }

  async #during(
    step: StepName,
    fromMs: number,
    lengthMs: number,
    wholeMs: number,
    stopped: AbortSignal,
    look: () => Promise<number | null> = () => Promise.resolve(null),
  ): Promise<void> {
    const beganAtMs = this.surroundings.nowMs();
    for (let passedMs = 0; passedMs < lengthMs; passedMs = this.surroundings.nowMs() - beganAtMs) {
      const bps = await look();
      this.#step(step, { share: (fromMs + passedMs) / wholeMs, ...(bps === null ? {} : { bps }) });
      await pause(LOOKED_EVERY_MS, stopped);
    }
    await look();
  }

  /** A line that is poor loses answers, too. */
  async #tell(check: string, stopped: AbortSignal): Promise<Graded> {
    for (let tried = 1; ; tried++) {
      try {
        return await this.api.result(check, this.measured.value);
      } catch (error) {
        if (!(error instanceof ApiError) || error.code !== "network" || tried === SENT_TRIES) throw error;
        await pause(SENT_AGAIN_MS, stopped);
      }
    }
  }

  #note(found: Partial<Measured>): void {
    this.measured.value = { ...this.measured.value, ...found };
  }

  #go(name: StepName): void {
    this.#step(name, { state: "running", share: 0 });
  }

  #done(name: StepName): void {
    this.#step(name, { state: "done", share: 1, bps: null });
  }

  #step(name: StepName, change: Partial<Step>): void {
    this.steps.value = changed(this.steps.value, name, change);
  }
}

function pictureOf(came: readonly Received[]): Measured["picture"] {
  const [from, to] = [came[0], came.at(-1)];
  if (!from || !to || to.frames === from.frames || to.atMs <= from.atMs) return null;
  const fps = ((to.frames - from.frames) * 1000) / (to.atMs - from.atMs);
  return { width: to.width, height: to.height, fps: Math.round(fps * 10) / 10 };
}

function between<T>(looks: readonly T[], compare: (from: T, to: T) => number | null): number | null {
  const [from, to] = [looks[0], looks.at(-1)];
  return from !== undefined && to !== undefined ? compare(from, to) : null;
}

function known(values: readonly (number | null)[]): number[] {
  return values.filter((value) => value !== null);
}

function pause(lengthMs: number, stopped: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const end = (): void => {
      clearTimeout(timer);
      reject(new DOMException("stopped", "AbortError"));
    };
    const timer = setTimeout(() => {
      stopped.removeEventListener("abort", end);
      resolve();
    }, lengthMs);
    if (stopped.aborted) end();
    else stopped.addEventListener("abort", end);
  });
}
