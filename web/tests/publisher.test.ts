import { expect, test } from "vitest";
import type { PublishAnswer, TrackWish } from "../src/protocol";
import { Publisher } from "../src/publisher";
import { RequestError } from "../src/requests";
import { FakePeer, fakeTrack } from "./fakepeer";
import { FakeClock, settle } from "./fakes";

interface Asked {
  readonly sdp: string;
  readonly tracks: readonly TrackWish[];
  readonly fresh?: boolean;
  answer(): Promise<void>;
  refuse(code: RequestError["code"]): Promise<void>;
}

function setUp() {
  const clock = new FakeClock();
  const peers: FakePeer[] = [];
  const asked: Asked[] = [];
  const published = new Map<string, string | null>();
  const refused: string[] = [];
  const publisher = new Publisher(
    {
      createPeer: () => {
        const peer = new FakePeer();
        peers.push(peer);
        return peer as unknown as RTCPeerConnection;
      },
      request: (message) =>
        new Promise<PublishAnswer>((resolve, reject) => {
          asked.push({
            ...message,
            answer: async () => {
              const tracks = message.tracks.map(({ mid, source }) => ({ mid, track: `t-${source}-${peers.length}` }));
              resolve({ type: "publishAnswer", sdp: "answer", tracks });
              await settle();
            },
            refuse: async (code) => {
              reject(new RequestError(code, ""));
              await settle();
            },
          });
        }),
      after: clock.after,
      codecs: () => undefined,
      capabilities: undefined,
    },
    {
      published: (source, track) => published.set(source, track),
      refused: (error) => refused.push(error.code),
    },
  );
  const last = () => {
    const one = asked.at(-1);
    if (!one) throw new Error("nothing was asked");
    return one;
  };
  const peer = () => {
    const one = peers.at(-1);
    if (!one) throw new Error("no peer");
    return one;
  };
  const connect = async () => {
    publisher.set("camera", { track: fakeTrack("video"), muted: false });
    publisher.joined();
    await settle();
    await last().answer();
    peer().become("connected", "connected");
  };
  return { clock, peers, asked, published, refused, publisher, last, peer, connect };
}

test("offers nothing before it is in a session, and nothing when there is nothing to send", async () => {
  const { publisher, asked } = setUp();
  publisher.set("camera", { track: fakeTrack("video"), muted: false });
  await settle();
  expect(asked).toHaveLength(0);
  const empty = setUp();
  empty.publisher.joined();
  await settle();
  expect(empty.asked).toHaveLength(0);
});

test("publishes on a fresh connection and learns the ids", async () => {
  const { connect, asked, published } = setUp();
  await connect();
  expect(asked[0]).toMatchObject({ fresh: true, tracks: [{ mid: "0", source: "camera", muted: false }] });
  expect(published.get("camera")).toBe("t-camera-1");
});

test("one negotiation at a time: sources that come meanwhile share the next offer", async () => {
  const { publisher, connect, asked, last } = setUp();
  await connect();
  publisher.set("microphone", { track: fakeTrack("audio"), muted: true });
  await settle();
  publisher.set("ultrasound", { track: fakeTrack("video", 1080), muted: false });
  publisher.set("screen", { track: fakeTrack("video"), muted: false });
  await settle();
  expect(asked).toHaveLength(2);
  await last().answer();
  await settle();
  expect(asked).toHaveLength(3);
  expect(last().tracks.map(({ source }) => source)).toEqual(["camera", "microphone", "ultrasound", "screen"]);
  expect(last().fresh).toBeUndefined();
});

test("another device or muting needs no negotiation", async () => {
  const { publisher, connect, asked, peer } = setUp();
  await connect();
  const other = fakeTrack("video", 1080);
  publisher.set("camera", { track: other, muted: false });
  await settle();
  expect(peer().sections[0]?.sender.track).toBe(other);
  expect(peer().sections[0]?.sender.encodings[0]).toMatchObject({ scaleResolutionDownBy: 6 });
  publisher.set("camera", { track: null, muted: true });
  await settle();
  expect(peer().sections[0]?.sender.track).toBeNull();
  expect(asked).toHaveLength(1);
});

test("sends the layers that are wanted, also when that is said before the track is known", async () => {
  const { publisher, last, peer } = setUp();
  publisher.set("camera", { track: fakeTrack("video"), muted: false });
  publisher.joined();
  await settle();
  publisher.setLayers("t-camera-1", ["l"]);
  await last().answer();
  await settle();
  const active = () =>
    (peer().sections[0]?.sender.encodings as RTCRtpEncodingParameters[]).filter((one) => one.active).map((one) => one.rid);
  expect(active()).toEqual(["l"]);
  publisher.setLayers("t-camera-1", ["l", "m"]);
  await settle();
  expect(active()).toEqual(["l", "m"]);
  publisher.setLayers("t-camera-1", []);
  publisher.set("camera", { track: fakeTrack("video", 1080), muted: false });
  await settle();
  expect(active()).toEqual([]);
});

test.each([
  [true, ["l"], 60_000],
  [true, ["l", "m", "h"], 150_000],
  [false, ["l"], 150_000],
])("in an event (%s) a camera of which %j is wanted has a thumbnail of %d bit/s", async (crowded, layers, bitrateBps) => {
  const { publisher, last, peer } = setUp();
  publisher.set("camera", { track: fakeTrack("video"), muted: false });
  publisher.joined(crowded);
  await settle();
  await last().answer();
  await settle();
  publisher.setLayers("t-camera-1", ["l", "m"]);
  publisher.setLayers("t-camera-1", layers);
  await settle();
  const [thumbnail] = peer().sections[0]?.sender.encodings as RTCRtpEncodingParameters[];
  expect(thumbnail).toMatchObject({ rid: "l", active: true, maxBitrate: bitrateBps });
});

test("a source that ends stops its section, but never the one that carries the transport", async () => {
  const { publisher, connect, last, peer, published } = setUp();
  await connect();
  publisher.set("ultrasound", { track: fakeTrack("video"), muted: false });
  await settle();
  await last().answer();
  publisher.remove("ultrasound");
  publisher.remove("camera");
  await settle();
  await last().answer();
  await last().answer();
  expect(peer().sections.map(({ stopped, direction }) => [stopped, direction])).toEqual([
    [false, "inactive"],
    [true, "sendonly"],
  ]);
  expect([...published.values()]).toEqual([null, null]);
  expect(last().tracks).toEqual([]);
});

test("a broken path is restarted on the same connection", async () => {
  const { clock, connect, last, peer, peers } = setUp();
  await connect();
  peer().become("disconnected", "disconnected");
  await clock.advance(2_000);
  expect(last().sdp).toBe("restart");
  expect(peers).toHaveLength(1);
});

test("a restart that nobody answers because the line broke is taken back and asked again", async () => {
  const { publisher, connect, last, peer, peers, asked } = setUp();
  await connect();
  publisher.restart();
  await settle();
  publisher.offline();
  await last().refuse("offline");
  expect(peer().calls.at(-1)).toBe("local rollback");
  publisher.resumed("up");
  await settle();
  expect(asked).toHaveLength(3);
  expect(last().sdp).toBe("restart");
  expect(peers).toHaveLength(1);
});

test.each(["down", "none"] as const)("begins anew when the server has it as %s", async (state) => {
  const { publisher, connect, last, peers } = setUp();
  await connect();
  publisher.offline();
  publisher.resumed(state);
  await settle();
  expect(last().fresh).toBe(true);
  expect(peers.map(({ closed }) => closed)).toEqual([true, false]);
});

test("a new seat gets a new connection with all that is wanted", async () => {
  const { publisher, connect, last } = setUp();
  await connect();
  publisher.joined();
  await settle();
  expect(last()).toMatchObject({ fresh: true, tracks: [{ source: "camera" }] });
});

test("after an unknown failure tries again, ever more slowly", async () => {
  const { publisher, connect, last, asked, clock } = setUp();
  await connect();
  publisher.set("microphone", { track: fakeTrack("audio"), muted: false });
  await settle();
  await last().refuse("internal");
  expect(asked).toHaveLength(2);
  await clock.advance(500);
  expect(asked).toHaveLength(3);
  expect(last().fresh).toBe(true);
  await last().refuse("internal");
  await clock.advance(900);
  expect(asked).toHaveLength(3);
  await clock.advance(100);
  expect(asked).toHaveLength(4);
});

test("what is refused for good is not asked again until something else is wanted", async () => {
  const { publisher, connect, last, asked, refused, clock } = setUp();
  await connect();
  publisher.set("screen", { track: fakeTrack("video"), muted: false });
  await settle();
  await last().refuse("notAllowed");
  await clock.advance(60_000);
  expect(asked).toHaveLength(2);
  expect(refused).toEqual(["notAllowed"]);
  publisher.remove("screen");
  await settle();
  expect(last()).toMatchObject({ fresh: true, tracks: [{ source: "camera" }] });
});

test("closing lets go of everything", async () => {
  const { publisher, connect, peer, clock, asked } = setUp();
  await connect();
  publisher.close();
  expect(peer().closed).toBe(true);
  await clock.advance(60_000);
  expect(asked).toHaveLength(1);
  expect(clock.pending).toBe(0);
});
