import { expect, test } from "vitest";
import { Coalescer, Serial } from "../src/queue";
import { settle } from "./fakes";

test("work never overlaps, and pokes during a run lead to one more run", async () => {
  let runs = 0;
  let running = 0;
  const releases: (() => void)[] = [];
  const queue = new Coalescer(
    async () => {
      runs += 1;
      running += 1;
      expect(running).toBe(1);
      await new Promise<void>((resolve) => releases.push(resolve));
      running -= 1;
    },
    () => expect.unreachable(),
  );
  queue.poke();
  queue.poke();
  queue.poke();
  expect(runs).toBe(1);
  releases.shift()?.();
  await settle();
  expect(runs).toBe(2);
  releases.shift()?.();
  await settle();
  expect(runs).toBe(2);
  queue.poke();
  expect(runs).toBe(3);
});

test("a failure is handed over, and a poke from there is honoured", async () => {
  const failures: unknown[] = [];
  let runs = 0;
  const queue: Coalescer = new Coalescer(
    () => {
      runs += 1;
      return runs === 1 ? Promise.reject(new Error("first")) : Promise.resolve();
    },
    (error) => {
      failures.push(error);
      queue.poke();
    },
  );
  queue.poke();
  await settle();
  expect(failures).toHaveLength(1);
  expect(runs).toBe(2);
});

test("nothing runs after closing", () => {
  const queue = new Coalescer(
    () => expect.unreachable(),
    () => expect.unreachable(),
  );
  queue.close();
  queue.poke();
});

test("serial work keeps its order over failures", async () => {
  const order: number[] = [];
  const serial = new Serial();
  const first = serial.run(async () => {
    await settle();
    order.push(1);
    throw new Error("first");
  });
  const second = serial.run(() => {
    order.push(2);
    return Promise.resolve("two");
  });
  await expect(first).rejects.toThrow("first");
  await expect(second).resolves.toBe("two");
  expect(order).toEqual([1, 2]);
});
