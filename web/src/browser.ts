// Owns the browser's side of what the engine room is given: socket, timers, storage, wake-up events, media factories.
// The only module of the engine room that touches window and document.

import type { KeyValueStore } from "./captures";
import type { Line, LineEvents } from "./connection";
import type { Surroundings } from "./client";

const PROBE_TIMEOUT_MS = 3_000;
/** Enough to tell black from grey; small enough to cost nothing. */
const GRAB_WIDTH_PX = 64;
const GRAB_HEIGHT_PX = 36;
const GRAB_TIMEOUT_MS = 2_000;

export function browserSurroundings(): Surroundings {
  let audio: AudioContext | null = null;
  return {
    dial: (protocol, events) => dial(socketUrl(location), protocol, events),
    probe,
    nowMs: () => Date.now(),
    after: (delayMs, callback) => {
      const timer = setTimeout(callback, delayMs);
      return () => clearTimeout(timer);
    },
    random: () => Math.random(),
    visible: () => document.visibilityState === "visible",
    online: () => navigator.onLine,
    onWake,
    onVisibility: (callback) => {
      const changed = () => callback(document.visibilityState === "visible");
      document.addEventListener("visibilitychange", changed);
      return () => document.removeEventListener("visibilitychange", changed);
    },
    createPeer: () => new RTCPeerConnection({ bundlePolicy: "max-bundle", rtcpMuxPolicy: "require" }),
    createStream: (track) => new MediaStream([track]),
    codecs: () => RTCRtpSender.getCapabilities("video")?.codecs,
    capabilities: navigator.mediaCapabilities,
    media: navigator.mediaDevices,
    memory: keyValueStore(() => localStorage),
    tab: keyValueStore(() => sessionStorage),
    audioContext: () => {
      audio ??= new AudioContext();
      // Before the first click it may sleep; every later start wakes it.
      if (audio.state === "suspended") void audio.resume().catch(() => undefined);
      return audio;
    },
    grab,
  };
}

function socketUrl(place: Location): string {
  return `${place.protocol === "http:" ? "ws" : "wss"}://${place.host}/ws`;
}

function dial(url: string, protocol: string, events: LineEvents): Line {
  const socket = new WebSocket(url, protocol);
  socket.onopen = () => events.open();
  socket.onmessage = (event) => events.message(event.data);
  socket.onclose = (event) => events.closed(event.code, event.reason);
  return {
    send: (text) => {
      if (socket.readyState === WebSocket.OPEN) socket.send(text);
    },
    close: (code) => socket.close(code),
  };
}

async function probe(): Promise<boolean> {
  try {
    // Any answer will do: also a server that is not well takes back its participants.
    await fetch("/healthz", { cache: "no-store", credentials: "omit", signal: AbortSignal.timeout(PROBE_TIMEOUT_MS) });
    return true;
  } catch {
    return false;
  }
}

/** Says when the device woke up or is looked at again, and whether it is on another network now. */
function onWake(callback: (networkChanged: boolean) => void): () => void {
  const ending = new AbortController();
  const { signal } = ending;
  window.addEventListener("online", () => callback(true), { signal });
  window.addEventListener("pageshow", (event) => event.persisted && callback(true), { signal });
  document.addEventListener("resume", () => callback(false), { signal });
  document.addEventListener("visibilitychange", () => document.visibilityState === "visible" && callback(false), {
    signal,
  });
  watchNetworkType(callback, signal);
  return () => ending.abort();
}

/** Wi-Fi to 4G on phones and tablets; elsewhere the browser does not say, and ICE finds out by itself. */
function watchNetworkType(callback: (networkChanged: boolean) => void, signal: AbortSignal): void {
  const network = (navigator as Navigator & { connection?: EventTarget & { readonly type?: string } }).connection;
  let type = network?.type;
  network?.addEventListener(
    "change",
    () => {
      // The event also tells new estimates of the same network: those are no reason for anything.
      if (network.type === type) return;
      type = network.type;
      if (type !== "none") callback(true);
    },
    { signal },
  );
}

/** Storage may be forbidden (private windows, policies): then nothing is remembered and all else works. */
function keyValueStore(storage: () => Storage): KeyValueStore {
  const guarded = <T>(work: () => T, otherwise: T): T => {
    try {
      return work();
    } catch {
      return otherwise;
    }
  };
  return {
    get: (key) => guarded(() => storage().getItem(key), null),
    set: (key, value) => guarded(() => storage().setItem(key, value), undefined),
    remove: (key) => guarded(() => storage().removeItem(key), undefined),
  };
}

async function grab(stream: MediaStream): Promise<Uint8ClampedArray | null> {
  const video = document.createElement("video");
  video.muted = true;
  video.srcObject = stream;
  try {
    await video.play();
    await Promise.race([
      new Promise((resolve) => video.requestVideoFrameCallback(resolve)),
      new Promise((_, reject) => setTimeout(() => reject(new Error("no picture")), GRAB_TIMEOUT_MS)),
    ]);
    const context = new OffscreenCanvas(GRAB_WIDTH_PX, GRAB_HEIGHT_PX).getContext("2d");
    if (!context) return null;
    context.drawImage(video, 0, 0, GRAB_WIDTH_PX, GRAB_HEIGHT_PX);
    return context.getImageData(0, 0, GRAB_WIDTH_PX, GRAB_HEIGHT_PX).data;
  } finally {
    video.srcObject = null;
  }
}
