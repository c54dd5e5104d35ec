// A peer connection of which only the shape is real: what was asked of it can be looked at. Real media is the browser
// tests' business; here it is the order of negotiations and the cures that are tested.

export class FakeSender {
  track: unknown;
  encodings: object[];
  constructor(track: unknown, encodings: object[]) {
    this.track = typeof track === "string" ? null : track;
    this.encodings = encodings;
  }
  replaceTrack(track: unknown): Promise<void> {
    this.track = track;
    return Promise.resolve();
  }
  getParameters() {
    return { encodings: this.encodings };
  }
  setParameters(parameters: { encodings: object[] }): Promise<void> {
    this.encodings = parameters.encodings;
    return Promise.resolve();
  }
}

export class FakeSection {
  mid: string | null = null;
  direction = "sendonly";
  stopped = false;
  readonly sender: FakeSender;
  readonly receiver = { track: { id: "" } };
  constructor(track: unknown, encodings: object[]) {
    this.sender = new FakeSender(track, encodings);
  }
  setCodecPreferences(): void {
    // Which codecs there are is the browser's business.
  }
  stop(): void {
    this.stopped = true;
  }
}

export class FakePeer {
  iceConnectionState = "new";
  connectionState = "new";
  oniceconnectionstatechange: (() => void) | null = null;
  onconnectionstatechange: (() => void) | null = null;
  localDescription: { sdp: string } | null = null;
  readonly sections: FakeSection[] = [];
  readonly calls: string[] = [];
  closed = false;
  failOn: string | null = null;

  addTransceiver(track: unknown, init: { sendEncodings: object[] }): FakeSection {
    const section = new FakeSection(track, init.sendEncodings);
    this.sections.push(section);
    return section;
  }
  getTransceivers(): FakeSection[] {
    return this.sections.filter((section) => !section.stopped);
  }
  createOffer(options: { iceRestart?: boolean }) {
    return Promise.resolve({ type: "offer", sdp: options.iceRestart ? "restart" : "offer" });
  }
  createAnswer() {
    return Promise.resolve({ type: "answer", sdp: "answer" });
  }
  setLocalDescription(description: { type: string; sdp?: string }): Promise<void> {
    this.calls.push(`local ${description.type}`);
    if (description.sdp !== undefined) this.localDescription = { sdp: description.sdp };
    for (const [index, section] of this.sections.entries()) section.mid ??= String(index);
    return Promise.resolve();
  }
  setRemoteDescription(description: { type: string; sdp: string }): Promise<void> {
    this.calls.push(`remote ${description.type} ${description.sdp}`);
    if (description.sdp === this.failOn) return Promise.reject(new Error("bad description"));
    return Promise.resolve();
  }
  close(): void {
    this.closed = true;
  }
  become(ice: string, connection: string): void {
    this.iceConnectionState = ice;
    this.connectionState = connection;
    this.oniceconnectionstatechange?.();
    this.onconnectionstatechange?.();
  }
}

export function fakeTrack(kind: "audio" | "video", height = 720): MediaStreamTrack {
  return { kind, contentHint: "", getSettings: () => ({ height }) } as unknown as MediaStreamTrack;
}
