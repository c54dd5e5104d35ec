// Owns the two connections of a line check: what is sent to the relay, and what the relay sends back. Knows no page.

import { firstCodec, orderCodecs } from "../../encodings";
import type { LineCheckApi } from "./api";
import { receivedOf, sentOf } from "./figures";
import type { Received, Sent } from "./figures";

/** A way through is found within a second or two or not at all; thin lines lose some of the attempts. */
const CONNECTED_WITHIN_MS = 12_000;

export class Mirror {
  readonly #sending: RTCPeerConnection;
  readonly #receiving: RTCPeerConnection;
  #picture: RTCRtpSender | null = null;
  /** The relay's port, as its answer says; null before. */
  port: number | null = null;

  constructor(
    private readonly api: LineCheckApi,
    private readonly check: string,
    createPeer: () => RTCPeerConnection,
  ) {
    this.#sending = createPeer();
    this.#receiving = createPeer();
  }

  /** Begins to send. False: packets do not reach the relay. Rejects with ApiError. */
  async send(picture: MediaStreamTrack, sound: MediaStreamTrack | null, targetBps: number): Promise<boolean> {
    const sections = [this.#sending.addTransceiver(picture, { direction: "sendonly", sendEncodings: [{ maxBitrate: targetBps }] })];
    if (sound) sections.push(this.#sending.addTransceiver(sound, { direction: "sendonly" }));
    this.#picture = sections[0]?.sender ?? null;
    const codecs = RTCRtpSender.getCapabilities("video")?.codecs;
    const preferred = await firstCodec("camera", navigator.mediaCapabilities);
    if (codecs?.length) sections[0]?.setCodecPreferences(orderCodecs(codecs, preferred));
    await this.#sending.setLocalDescription(await this.#sending.createOffer());
    const answer = await this.api.up(this.check, this.#sending.localDescription?.sdp ?? "");
    this.port = portOf(answer);
    await this.#sending.setRemoteDescription({ type: "answer", sdp: answer });
    return connected(this.#sending);
  }

  /** What was sent, as it comes back; null: it does not. Rejects with ApiError. */
  async receive(): Promise<MediaStream | null> {
    const stream = new MediaStream();
    for (const kind of ["video", "audio"] as const) {
      const section = this.#receiving.addTransceiver(kind, { direction: "recvonly" });
      stream.addTrack(section.receiver.track);
    }
    await this.#receiving.setLocalDescription(await this.#receiving.createOffer());
    const answer = await this.api.back(this.check, this.#receiving.localDescription?.sdp ?? "");
    await this.#receiving.setRemoteDescription({ type: "answer", sdp: answer });
    return (await connected(this.#receiving)) ? stream : null;
  }

  /** Sends at most this from now on. */
  async limit(targetBps: number): Promise<void> {
    const parameters = this.#picture?.getParameters();
    if (!parameters) return;
    for (const encoding of parameters.encodings) encoding.maxBitrate = targetBps;
    try {
      await this.#picture?.setParameters(parameters);
    } catch {
      // Not every browser takes every parameter; it then sends what the line bears.
    }
  }

  /** Another picture on the same connection. */
  async show(picture: MediaStreamTrack): Promise<void> {
    await this.#picture?.replaceTrack(picture);
  }

  async sent(): Promise<Sent | null> {
    return sentOf(await this.#sending.getStats());
  }

  async received(): Promise<Received | null> {
    return receivedOf(await this.#receiving.getStats());
  }

  close(): void {
    this.#sending.close();
    this.#receiving.close();
  }
}

function connected(peer: RTCPeerConnection): Promise<boolean> {
  return new Promise((resolve) => {
    const timer = setTimeout(() => finish(false), CONNECTED_WITHIN_MS);
    const look = (): void => {
      if (peer.connectionState === "connected") finish(true);
      else if (peer.connectionState === "failed" || peer.connectionState === "closed") finish(false);
    };
    const finish = (yes: boolean): void => {
      clearTimeout(timer);
      peer.removeEventListener("connectionstatechange", look);
      resolve(yes);
    };
    peer.addEventListener("connectionstatechange", look);
    look();
  });
}

/** Of the first candidate (RFC 8839 section 5.1). */
export function portOf(sdp: string): number | null {
  const port = /^a=candidate:\S+ \d+ udp \d+ \S+ (\d{1,5}) /im.exec(sdp)?.[1];
  return port === undefined ? null : Number(port);
}
