import { signal } from "@preact/signals";
import { expect, test, vi } from "vitest";
import { followGrowth, REFRESHED_EVERY_MS } from "../src/pages/reading/growth";
import type { Growing } from "../src/pages/reading/growth";
import type { Study } from "../src/protocol";
import { FakeClock } from "./fakes";

const study = (uid: string, instances: number): Study => ({
  ...{ uid, instances, modalities: [], description: "", patient: "", date: "", series: 1 },
  ...{ expected: null, arriving: true, point: "", receivedAt: 0 },
});

function setUp() {
  const clock = new FakeClock();
  const studies = signal<readonly Study[]>([study("a", 3), study("b", 1)]);
  const refresh = vi.fn(() => Promise.resolve(true));
  const open = signal<string | null>(null);
  const viewer = signal<Growing | null>(null);
  const stop = followGrowth(viewer, studies, clock.after);
  return { clock, studies, refresh, open, viewer, stop, reader: { study: open, library: { refresh } } };
}

test("an open study that grows is asked for anew, not with every picture, and once more at its end", async () => {
  const { clock, studies, refresh, open, viewer, reader } = setUp();
  open.value = "a";
  viewer.value = reader;
  for (let instances = 4; instances <= 53; instances += 1) {
    studies.value = [study("a", instances), study("b", 1)];
    await clock.advance(100);
  }
  await clock.advance(2 * REFRESHED_EVERY_MS);
  expect(refresh.mock.calls.length).toBeGreaterThanOrEqual(2);
  expect(refresh.mock.calls.length).toBeLessThanOrEqual(3);
  const before = refresh.mock.calls.length;
  await clock.advance(10 * REFRESHED_EVERY_MS);
  expect(refresh).toHaveBeenCalledTimes(before);
});

test("others that grow, and a study that is opened only now, are not asked for twice", async () => {
  const { clock, studies, refresh, open, viewer, reader } = setUp();
  studies.value = [study("a", 5), study("b", 9)];
  open.value = "a";
  viewer.value = reader;
  studies.value = [study("a", 5), study("b", 10)];
  await clock.advance(2 * REFRESHED_EVERY_MS);
  open.value = "b";
  await clock.advance(2 * REFRESHED_EVERY_MS);
  expect(refresh).not.toHaveBeenCalled();
});

test("what did not come is asked for again, until it came", async () => {
  const { clock, studies, refresh, open, viewer, reader } = setUp();
  refresh.mockResolvedValueOnce(false).mockResolvedValueOnce(false);
  open.value = "a";
  viewer.value = reader;
  studies.value = [study("a", 4)];
  await clock.advance(10 * REFRESHED_EVERY_MS);
  expect(refresh).toHaveBeenCalledTimes(3);
});

test("nothing is asked for after the end", async () => {
  const { clock, studies, refresh, open, viewer, stop, reader } = setUp();
  open.value = "a";
  viewer.value = reader;
  studies.value = [study("a", 4)];
  stop();
  await clock.advance(2 * REFRESHED_EVERY_MS);
  expect([refresh.mock.calls.length, clock.pending]).toEqual([0, 0]);
});
