import { expect, test } from "vitest";
import { PeerWatch } from "../src/peerwatch";
import { FakeClock } from "./fakes";

function setUp() {
  const clock = new FakeClock();
  const cures: string[] = [];
  const watch = new PeerWatch({
    after: clock.after,
    restartIce: () => cures.push("ice"),
    renew: () => cures.push("renew"),
  });
  watch.begin();
  return { clock, cures, watch };
}

test("a break under 2 s heals by itself", async () => {
  const { clock, cures, watch } = setUp();
  watch.changed("connected", "connected");
  watch.changed("disconnected", "disconnected");
  await clock.advance(1_900);
  watch.changed("connected", "connected");
  await clock.advance(60_000);
  expect(cures).toEqual([]);
});

test("a longer one gets ICE restarts, then a new connection", async () => {
  const { clock, cures, watch } = setUp();
  watch.changed("connected", "connected");
  watch.changed("disconnected", "disconnected");
  await clock.advance(2_000);
  expect(cures).toEqual(["ice"]);
  watch.changed("checking", "connecting");
  await clock.advance(5_000);
  expect(cures).toEqual(["ice", "ice"]);
  await clock.advance(5_000);
  expect(cures).toEqual(["ice", "ice", "renew"]);
});

test("failed ICE is restarted at once", () => {
  const { cures, watch } = setUp();
  watch.changed("connected", "connected");
  watch.changed("failed", "failed");
  expect(cures).toEqual(["ice"]);
});

test("failed DTLS needs a new connection", () => {
  const { cures, watch } = setUp();
  watch.changed("connected", "failed");
  expect(cures).toEqual(["renew"]);
});

test("what never connects is begun anew", async () => {
  const { clock, cures, watch } = setUp();
  watch.changed("checking", "connecting");
  await clock.advance(10_000);
  expect(cures).toEqual(["renew"]);
});

test("a changed network is acted upon at once, a mere waking only if the line is down", () => {
  const { cures, watch } = setUp();
  watch.wake(true);
  expect(cures).toEqual([]);
  watch.changed("connected", "connected");
  watch.wake(false);
  expect(cures).toEqual([]);
  watch.wake(true);
  expect(cures).toEqual(["ice"]);
  watch.changed("disconnected", "disconnected");
  watch.wake(false);
  expect(cures).toEqual(["ice", "ice"]);
});

test("nothing happens after the end", async () => {
  const { clock, cures, watch } = setUp();
  watch.changed("connected", "connected");
  watch.changed("disconnected", "disconnected");
  watch.end();
  await clock.advance(60_000);
  expect(cures).toEqual([]);
});
