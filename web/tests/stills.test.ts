// Tests src/event/stills.ts: small pictures are asked for while somebody looks, and none of their addresses is left over.

import { expect, test } from "vitest";
import type { Call } from "../src/api";
import { Stills } from "../src/event/stills";
import { FakeClock, settle } from "./fakes";

interface Given {
  readonly after: number;
  readonly pictures: readonly { participant: string; takenAt: number; jpeg: string }[];
  readonly levels: Readonly<Record<string, number>>;
}

const picture = (participant: string, text = participant) => ({ participant, takenAt: 0, jpeg: btoa(text) });

function setUp() {
  const clock = new FakeClock();
  const asked: string[] = [];
  const answers: (Given | Error)[] = [];
  const urls = new Set<string>();
  let made = 0;
  const call: Call = <T>(_: string, path: string): Promise<T> => {
    asked.push(path);
    const answer = answers.shift() ?? { after: 0, pictures: [], levels: {} };
    return answer instanceof Error ? Promise.reject(answer) : Promise.resolve(answer as T);
  };
  const stills = new Stills({
    call,
    after: clock.after,
    nowMs: () => clock.nowMs,
    createUrl: (jpeg) => {
      const url = `blob:${++made}:${jpeg.size}`;
      urls.add(url);
      return url;
    },
    revokeUrl: (url) => urls.delete(url),
  });
  return { clock, asked, answers, urls, stills };
}

test("only what is new is asked for, and an older picture's address is given back", async () => {
  const { clock, asked, answers, urls, stills } = setUp();
  answers.push({ after: 2, pictures: [picture("a"), picture("b")], levels: { a: -20 } });
  answers.push({ after: 3, pictures: [picture("a", "newer")], levels: {} });
  stills.look();
  await settle();
  expect(stills.levels.value.get("a")).toBe(-20);
  await clock.advance(2000);
  expect(asked).toEqual(["/api/wall?after=0", "/api/wall?after=2"]);
  expect(stills.pictures.value.get("a")).toBe("blob:3:5");
  expect([...urls].sort()).toEqual([...stills.pictures.value.values()].sort());
});

test("after a failure it goes on, and says so meanwhile", async () => {
  const { clock, answers, stills } = setUp();
  answers.push(new Error("no line"), { after: 1, pictures: [picture("a")], levels: {} });
  stills.look();
  await settle();
  expect(stills.failing.value).toBe(true);
  await clock.advance(2000);
  expect(stills.failing.value).toBe(false);
  expect(stills.pictures.value.size).toBe(1);
});

test("a picture that no newer one follows is not shown for ever", async () => {
  const { clock, answers, urls, stills } = setUp();
  answers.push({ after: 1, pictures: [picture("a")], levels: {} });
  stills.look();
  await clock.advance(59_000);
  expect(stills.pictures.value.size).toBe(1);
  await clock.advance(4000);
  expect(stills.pictures.value.size).toBe(0);
  expect(urls.size).toBe(0);
});

test("who looks no more asks for nothing and keeps nothing", async () => {
  const { clock, asked, answers, urls, stills } = setUp();
  answers.push({ after: 1, pictures: [picture("a")], levels: {} });
  const end = stills.look();
  await settle();
  end();
  await clock.advance(10_000);
  expect(asked.length).toBe(1);
  expect(urls.size).toBe(0);
  expect(clock.pending).toBe(0);
});
