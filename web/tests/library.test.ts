// Tests src/reading/library.ts and what it is made of: what is asked for when a study is opened, in which order, and what is kept.

import { effect } from "@preact/signals";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { BEHIND_MS, Library } from "../src/reading/library";
import { createStudyApi } from "../src/reading/loading/api";
import { Places } from "../src/reading/loading/places";
import type { Loading } from "../src/reading/loading/places";

const element = (...Value: unknown[]) => ({ Value });
const slice = (number: number) => ({
  "00080018": element(`1.2.3.${number}`),
  "00200013": element(number),
  "00280002": element(1),
  "00280004": element("MONOCHROME2"),
  "00280010": element(8),
  "00280011": element(8),
});
const series = (uid: string) => ({ "0020000D": element("1"), "0020000E": element(uid), "00100010": element({ Alphabetic: "Lan" }), "00201209": element(2) });

/** A server whose answers come in the pieces that the test gives. */
function server() {
  const asked: string[] = [];
  const pours = new Map<string, { give: (text: string) => Promise<void>; breaks: () => Promise<void>; end: () => Promise<void>; isGivenUp: boolean }>();
  const settle = (): Promise<void> => vi.advanceTimersByTimeAsync(0).then(() => undefined);
  const api = createStudyApi("token", (url, init) => {
    const path = (url as string).replace("/dicom-web", "").replace(/\?.*/, "");
    asked.push(path);
    const stream = new ReadableStream<Uint8Array>({
      start(controller) {
        const own = {
          isGivenUp: false,
          give: (text: string): Promise<void> => {
            controller.enqueue(new TextEncoder().encode(text));
            return settle();
          },
          breaks: (): Promise<void> => {
            controller.error(new TypeError("network error"));
            return settle();
          },
          end: (): Promise<void> => {
            controller.close();
            return settle();
          },
        };
        init?.signal?.addEventListener("abort", () => {
          own.isGivenUp = true;
          controller.error(new DOMException("given up", "AbortError"));
        });
        pours.set(path, own);
      },
    });
    return Promise.resolve(new Response(stream));
  });
  const at = (path: string) => {
    const found = pours.get(path);
    if (!found) throw new Error(`${path} was not asked for`);
    return found;
  };
  const answer = async (path: string, body: unknown): Promise<void> => {
    await at(path).give(JSON.stringify(body));
    await at(path).end();
  };
  return { api, asked, at, answer, settle };
}

const METADATA = "/studies/1/series/1.2/metadata";

/** As a component does that shows it. */
const look = (_shown: unknown): void => undefined;

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

test("a study and its series are one question, and the first picture of a CT is known with them", async () => {
  const { api, asked, answer, settle } = server();
  const library = new Library(api, (uid) => uid === "1.2");
  const study = library.study("1");
  const rescaled = { "00281052": element("-1024"), "00281053": element("1"), "00201209": element(2) };
  await answer("/series", [{ ...series("1.2"), ...slice(1), ...rescaled }, series("1.3")]);
  expect(study.value).toMatchObject({ state: "ready", value: { head: { uid: "1", patient: "Lan" }, series: [{ uid: "1.2" }, { uid: "1.3" }] } });
  const open = library.seriesOf("1", "1.2");
  await settle();
  expect(open.value).toMatchObject({ state: "ready", value: { kind: "pictures", pictures: [{ instance: "1.2.3.1", intercept: -1024 }] } });
  // The others are told of behind it.
  expect(asked).toEqual(["/series"]);
  library.pictureCame();
  await settle();
  expect(asked).toEqual(["/series", METADATA]);
  await answer(METADATA, [slice(1), slice(2)]);
  expect(open.value).toMatchObject({ state: "ready", value: { pictures: [{ instance: "1.2.3.1" }, { instance: "1.2.3.2" }] } });
});

test("the others of a series do not wait long for its first picture", async () => {
  const { api, asked, answer } = server();
  const library = new Library(api, () => true);
  const open = library.seriesOf("1", "1.2");
  await answer("/series", [{ ...series("1.2"), ...slice(1), "00281052": element(0), "00281053": element(1) }]);
  expect(open.value.state).toBe("ready");
  await vi.advanceTimersByTimeAsync(BEHIND_MS);
  expect(asked).toEqual(["/series", METADATA]);
});

test("a picture that is there does not go because the line breaks behind it", async () => {
  const { api, asked, at, answer } = server();
  const library = new Library(api, () => true);
  const open = library.seriesOf("1", "1.2");
  await answer("/series", [{ ...series("1.2"), ...slice(1), "00281052": element(0), "00281053": element(1) }]);
  await vi.advanceTimersByTimeAsync(BEHIND_MS);
  await at(METADATA).breaks();
  expect(open.value).toMatchObject({ state: "ready", value: { pictures: [{ instance: "1.2.3.1" }] } });
  await vi.advanceTimersByTimeAsync(500);
  expect(asked).toEqual(["/series", METADATA, METADATA]);
  await answer(METADATA, [slice(1), slice(2)]);
  expect(open.value).toMatchObject({ state: "ready", value: { pictures: [{}, {}] } });
});

test.each([
  ["may have a table for its values", {}],
  ["is a loop", { "00281052": element(0), "00281053": element(1), "00280008": element(9) }],
  ["has colours", { "00281052": element(0), "00281053": element(1), "00280004": element("PALETTE COLOR") }],
  ["is all there is", { "00281052": element(0), "00281053": element(1), "00201209": element(1) }],
])("what %s is shown only when all of it is known", async (_what, says) => {
  const { api, asked, answer, settle } = server();
  const library = new Library(api, () => true);
  const open = library.seriesOf("1", "1.2");
  await answer("/series", [{ ...series("1.2"), ...slice(1), ...says }]);
  await settle();
  expect(open.value.state).toBe("loading");
  expect(asked).toEqual(["/series", METADATA]);
});

test("who follows to another place asks for study and series at once", async () => {
  const { api, asked, answer, settle } = server();
  const library = new Library(api);
  const open = library.seriesOf("1", "1.2");
  await settle();
  expect(asked).toEqual([METADATA, "/series"]);
  await answer(METADATA, [slice(1)]);
  await answer("/series", [series("1.2")]);
  expect(open.value.state).toBe("ready");
});

test("a study that is left while it comes takes no more of the line, and is asked for anew by who comes back", async () => {
  const { api, asked, at } = server();
  const library = new Library(api);
  const place = library.study("1");
  const leave = effect(() => look(place.value));
  await at("/series").give("[");
  leave();
  await vi.advanceTimersByTimeAsync(2_000);
  expect(at("/series").isGivenUp).toBe(true);
  const stay = effect(() => look(place.value));
  expect(asked).toEqual(["/series", "/series"]);
  stay();
});

test("small pictures of series wait for the first picture, two come at once, and none comes later than some seconds", async () => {
  const { api, asked, answer } = server();
  vi.stubGlobal("URL", Object.assign(URL, { createObjectURL: () => "blob:1", revokeObjectURL: () => undefined }));
  const library = new Library(api);
  library.study("1");
  await answer("/series", [series("1.2")]);
  const small = ["1.2", "1.3", "1.4"].map((uid) => library.thumbnail("1", uid));
  await vi.advanceTimersByTimeAsync(1_000);
  expect(asked).toEqual(["/series"]);
  library.pictureCame();
  await vi.advanceTimersByTimeAsync(0);
  const path = (uid: string): string => `/studies/1/series/${uid}/thumbnail`;
  expect(asked.slice(1)).toEqual([path("1.2"), path("1.3")]);
  await answer(path("1.2"), "");
  expect(asked.slice(3)).toEqual([path("1.4")]);
  expect(await small[0]).toBe("blob:1");
  library.seriesOf("1", "1.5");
  void library.thumbnail("1", "1.6");
  await answer(path("1.3"), "");
  await vi.advanceTimersByTimeAsync(2_900);
  expect(asked).not.toContain(path("1.6"));
  await vi.advanceTimersByTimeAsync(200);
  expect(asked).toContain(path("1.6"));
  vi.unstubAllGlobals();
});

test("what nobody looks at is kept up to a limit, those seen last the longest; what is looked at always", async () => {
  const gone: string[] = [];
  const ask = vi.fn((name: string) => Promise.resolve(name.length));
  const places = new Places({ ask, weigh: (size) => size, limit: 5, gone: (name) => gone.push(name) });
  const see = (name: string): (() => void) => effect(() => look(places.at(name).value));
  const kept = see("kept!!");
  for (const name of ["a", "bb", "ccc"]) {
    const leave = see(name);
    await vi.advanceTimersByTimeAsync(0);
    leave();
  }
  await vi.advanceTimersByTimeAsync(2_000);
  expect(gone).toEqual(["a"]);
  expect([places.known("a"), places.known("bb"), places.known("kept!!")]).toEqual([null, 2, 6]);
  kept();
  await vi.advanceTimersByTimeAsync(2_000);
  expect(places.known("kept!!")).toBeNull();
});

test("what could not be had says why, and is asked for once more", async () => {
  let isBroken = true;
  const places = new Places({ ask: () => (isBroken ? Promise.reject(new Error("no")) : Promise.resolve("here")), weigh: () => 1, limit: 5 });
  const states: Loading<string>["state"][] = [];
  effect(() => void states.push(places.at("x").value.state));
  await vi.advanceTimersByTimeAsync(0);
  isBroken = false;
  places.again();
  await vi.advanceTimersByTimeAsync(0);
  expect(states).toEqual(["loading", "failed", "loading", "ready"]);
});
