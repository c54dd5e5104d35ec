// Owns the browser's side of a line check: WebSocket, devices, peer connections.

import { SUBPROTOCOL } from "../../protocol";
import type { CheckSurroundings } from "./run";

const OPENS_WITHIN_MS = 8_000;
const NORMAL_CLOSURE = 1000;

export function checkSurroundings(): CheckSurroundings {
  return {
    media: (navigator as Partial<Navigator>).mediaDevices,
    secure: window.isSecureContext,
    userAgent: navigator.userAgent,
    createPeer: () => new RTCPeerConnection({ bundlePolicy: "max-bundle", rtcpMuxPolicy: "require" }),
    webSocketOpens,
    audioContext: () => {
      const context = new AudioContext();
      void context.resume().catch(() => undefined);
      return context;
    },
    nowMs: () => Date.now(),
  };
}

/** Some proxies of hospitals let pages through and WebSockets not: then nobody gets into a session. */
function webSocketOpens(): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = new WebSocket(`${location.protocol === "http:" ? "ws" : "wss"}://${location.host}/ws`, SUBPROTOCOL);
    const finish = (opens: boolean): void => {
      clearTimeout(timer);
      socket.onopen = socket.onclose = null;
      socket.close(NORMAL_CLOSURE);
      resolve(opens);
    };
    const timer = setTimeout(() => finish(false), OPENS_WITHIN_MS);
    socket.onopen = () => finish(true);
    socket.onclose = () => finish(false);
  });
}
