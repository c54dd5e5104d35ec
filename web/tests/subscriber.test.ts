import { expect, test } from "vitest";
import type { SubscribeOffer } from "../src/protocol";
import { RequestError } from "../src/requests";
import { Subscriber } from "../src/subscriber";
import { FakePeer } from "./fakepeer";
import { FakeClock, settle } from "./fakes";

type Asked = Parameters<ConstructorParameters<typeof Subscriber>[0]["request"]>[0];

function setUp() {
  const clock = new FakeClock();
  const peers: FakePeer[] = [];
  const asked: Asked[] = [];
  const answers: ((result: unknown) => void)[] = [];
  let streams: ReadonlyMap<string, MediaStream> = new Map();
  const subscriber = new Subscriber(
    {
      createPeer: () => {
        const peer = new FakePeer();
        peer.addTransceiver("video", { sendEncodings: [] });
        peer.addTransceiver("audio", { sendEncodings: [] });
        peers.push(peer);
        return peer as unknown as RTCPeerConnection;
      },
      createStream: (track) => ({ getTracks: () => [track] }) as unknown as MediaStream,
      describe: () => undefined,
      after: clock.after,
      request: (message) => {
        asked.push(message);
        return new Promise((resolve, reject) => {
          answers.push((result) => (result instanceof Error ? reject(result) : resolve(result)));
        });
      },
    },
    (changed) => {
      streams = changed;
    },
  );
  const offer = (negotiation: number, changes: Partial<SubscribeOffer> = {}) =>
    subscriber.offered({
      type: "subscribeOffer",
      negotiation,
      sdp: `offer ${negotiation}`,
      tracks: [{ mid: "0", track: "t0" }],
      fresh: false,
      ...changes,
    });
  const peer = () => {
    const one = peers.at(-1);
    if (!one) throw new Error("no peer");
    return one;
  };
  subscriber.joined();
  return { clock, peers, asked, answers, subscriber, offer, peer, streams: () => streams };
}

const negotiations = (asked: readonly Asked[]) =>
  asked.flatMap((message) => (message.type === "subscribeAnswer" ? [message.negotiation] : []));
const restarts = (asked: readonly Asked[]) =>
  asked.flatMap((message) => (message.type === "restartSubscriber" ? [message.fresh] : []));

test("answers offers in their order, one at a time, and passes over stale ones", async () => {
  const { offer, asked, answers } = setUp();
  offer(1);
  await settle();
  offer(2);
  offer(3);
  offer(2);
  await settle();
  expect(negotiations(asked)).toEqual([1]);
  answers[0]?.({ type: "ok" });
  await settle();
  expect(negotiations(asked)).toEqual([1, 3]);
});

test("each track becomes a stream that stays the same over renegotiations", async () => {
  const { offer, answers, streams, subscriber } = setUp();
  offer(1);
  await settle();
  answers[0]?.({ type: "ok" });
  const first = streams().get("t0");
  expect(first).toBeDefined();
  offer(2, { tracks: [{ mid: "0", track: "t0" }, { mid: "1", track: "t1" }] });
  await settle();
  expect(streams().get("t0")).toBe(first);
  expect(streams().get("t1")).toBeDefined();
  expect(subscriber.tracksByMid().get("1")).toBe("t1");
  answers[1]?.({ type: "ok" });
  offer(3, { tracks: [{ mid: "0", track: "t2" }] });
  await settle();
  expect(streams().get("t2")).not.toBe(first);
  expect(streams().has("t1")).toBe(false);
});

test("a fresh offer begins a new connection", async () => {
  const { offer, answers, peers } = setUp();
  offer(1);
  await settle();
  answers[0]?.({ type: "ok" });
  offer(2, { fresh: true });
  await settle();
  expect(peers.map(({ closed }) => closed)).toEqual([true, false]);
});

test("an offer that the browser cannot take leads to a new connection, after a pause", async () => {
  const { offer, peer, asked, clock, answers } = setUp();
  offer(1);
  await settle();
  answers[0]?.({ type: "ok" });
  peer().failOn = "offer 2";
  offer(2);
  await settle();
  expect(restarts(asked)).toEqual([]);
  await clock.advance(1_000);
  expect(restarts(asked)).toEqual([true]);
});

test("an answer to an older offer is no reason to begin anew", async () => {
  const { offer, asked, answers, clock } = setUp();
  offer(1);
  await settle();
  answers[0]?.(new RequestError("conflict", ""));
  await clock.advance(9_000);
  expect(restarts(asked)).toEqual([]);
});

test("an answer that was lost with the line is given again when the offer is repeated", async () => {
  const { offer, asked, answers, subscriber } = setUp();
  offer(1);
  await settle();
  subscriber.offline();
  answers[0]?.(new RequestError("offline", ""));
  await settle();
  subscriber.resumed("up");
  offer(1);
  await settle();
  expect(negotiations(asked)).toEqual([1, 1]);
});

test("a broken path is asked to be restarted, at once or when the server can be asked again", async () => {
  const { offer, peer, asked, answers, subscriber, clock } = setUp();
  offer(1);
  await settle();
  answers[0]?.({ type: "ok" });
  peer().become("connected", "connected");
  peer().become("disconnected", "disconnected");
  subscriber.offline();
  await clock.advance(2_000);
  expect(restarts(asked)).toEqual([]);
  subscriber.resumed("up");
  expect(restarts(asked)).toEqual([false]);
});

test.each(["down", "none"] as const)("asks for a new connection when the server has it as %s", async (state) => {
  const { offer, asked, answers, subscriber } = setUp();
  offer(1);
  await settle();
  answers[0]?.({ type: "ok" });
  subscriber.offline();
  subscriber.resumed(state);
  expect(restarts(asked)).toEqual([true]);
});

test("on a new seat old numbers do not count, and nothing old is shown", async () => {
  const { offer, answers, asked, subscriber, streams } = setUp();
  offer(7);
  await settle();
  answers[0]?.({ type: "ok" });
  subscriber.joined();
  expect(streams().size).toBe(0);
  offer(1, { fresh: true });
  await settle();
  expect(negotiations(asked)).toEqual([7, 1]);
});
