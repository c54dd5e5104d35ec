// Tests src/event/places.ts: the list of points and the run of show are kept up to date, and nobody's writing is lost.

import { expect, test } from "vitest";
import { ApiError } from "../src/api";
import type { Call } from "../src/api";
import type { Agenda } from "../src/event/agenda";
import { Places } from "../src/event/places";
import { FakeClock, settle } from "./fakes";

const item = (state: "planned" | "now") => ({ id: "a", kind: "speech", title: "Opening", point: null, minutes: 5, state }) as const;
const point = (id: string, revoked = false) => ({ id, province: "Sơn La", organisation: "", name: id, participant: `p-${id}`, revoked });

/** A server with one event, whose organisers may be others. */
function setUp() {
  const clock = new FakeClock();
  const asked: string[] = [];
  const server = { points: [point("one"), point("two", true)], agenda: { version: 1, items: [item("planned")] } as Agenda, down: false };
  const call: Call = <T>(method: string, path: string, body?: unknown): Promise<T> => {
    asked.push(`${method} ${path}`);
    if (server.down) return Promise.reject(new ApiError("network", ""));
    if (method === "GET") return Promise.resolve(structuredClone({ points: server.points, agenda: server.agenda }) as T);
    const wish = body as Agenda;
    if (wish.version !== server.agenda.version) return Promise.reject(new ApiError("conflict", ""));
    server.agenda = { version: wish.version + 1, items: wish.items };
    return Promise.resolve({ version: server.agenda.version } as T);
  };
  const places = new Places(call, clock.after);
  return { clock, asked, server, places };
}

test("points and run of show are asked for at once and again, until nobody looks", async () => {
  const { clock, asked, server, places } = setUp();
  const stop = places.look("s/1");
  await settle();
  expect(asked).toEqual(["GET /api/events/s%2F1"]);
  expect(places.listed.value.map(({ id }) => id)).toEqual(["one"]);
  expect(places.agenda.value?.version).toBe(1);
  server.points = [point("one"), point("three")];
  server.down = true;
  await clock.advance(15_000);
  expect(places.listed.value).toHaveLength(1);
  server.down = false;
  await clock.advance(15_000);
  expect(places.listed.value).toHaveLength(2);
  stop();
  expect(clock.pending).toBe(0);
  await clock.advance(60_000);
  expect(asked).toHaveLength(3);
});

test("what is written is known at once, with its new version", async () => {
  const { server, places } = setUp();
  places.look("s");
  await settle();
  await places.saveAgenda([item("now")]);
  await places.saveAgenda([item("planned")]);
  expect(places.agenda.value).toEqual({ version: 3, items: [item("planned")] });
  expect(server.agenda.version).toBe(3);
});

test("what another organiser wrote meanwhile is not written over, but shown", async () => {
  const { server, places } = setUp();
  places.look("s");
  await settle();
  server.agenda = { version: 7, items: [item("planned"), item("now")] };
  await expect(places.saveAgenda([item("now")])).rejects.toMatchObject({ code: "conflict" });
  expect(server.agenda.version).toBe(7);
  expect(places.agenda.value?.items).toHaveLength(2);
});

test("an answer that was under way while something was written is passed over", async () => {
  const { places, clock } = setUp();
  places.look("s");
  await settle();
  const older = places.again();
  await places.saveAgenda([item("now")]);
  await older;
  expect(places.agenda.value?.items[0]?.state).toBe("now");
  expect(clock.pending).toBe(1);
});
