// Tests src/reading/loading: how long an answer is waited for, and what is told when the line breaks.

import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { createStudyApi } from "../src/reading/loading/api";
import { ANSWERED_MS, STALLED_MS } from "../src/reading/loading/patience";

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

/** A server whose answer comes when and as far as the test lets it; it ends as `fetch` does when it is given up. */
function slowServer() {
  let pour: ReadableStreamDefaultController<Uint8Array> | null = null;
  let answer: ((response: Response) => void) | null = null;
  const api = createStudyApi("token", (_url, init) => {
    const { signal } = init ?? {};
    return new Promise<Response>((resolve, reject) => {
      answer = resolve;
      signal?.addEventListener("abort", () => {
        reject(new DOMException("given up", "AbortError"));
        pour?.error(new DOMException("given up", "AbortError"));
      });
    });
  });
  return {
    api,
    answers: () => answer?.(new Response(new ReadableStream({ start: (controller) => void (pour = controller) }))),
    brings: (bytes: string) => pour?.enqueue(new TextEncoder().encode(bytes)),
    ends: () => pour?.close(),
    breaks: () => pour?.error(new TypeError("network error")),
  };
}

const PDF = "/dicom-web/studies/1/series/2/instances/3/bulkdata/00420011";

test("a large document on a thin line comes however long it takes", async () => {
  const { api, answers, brings, ends } = slowServer();
  const document = api.bulk(PDF);
  await vi.advanceTimersByTimeAsync(ANSWERED_MS - 1);
  answers();
  for (let piece = 0; piece < 20; piece++) {
    await vi.advanceTimersByTimeAsync(STALLED_MS - 1);
    brings("x");
  }
  await vi.advanceTimersByTimeAsync(1);
  ends();
  expect((await document).byteLength).toBe(20);
});

test("a line that brings nothing any more is the network's fault, in what is one answer as in what is read piece by piece", async () => {
  for (const ask of ["bulk", "video", "rows"] as const) {
    const { api, answers, brings } = slowServer();
    const asked = ask === "bulk" ? api.bulk(PDF) : ask === "video" ? api.video("1", "2", "3", new AbortController().signal) : api.studies();
    const failed = asked.then(
      () => null,
      (error: unknown) => error,
    );
    answers();
    await vi.advanceTimersByTimeAsync(1);
    brings("[");
    await vi.advanceTimersByTimeAsync(STALLED_MS + 1);
    expect(await failed, ask).toMatchObject({ name: "ApiError", code: "network" });
  }
});

test("an answer that never begins, and one that breaks off, are the network's fault too", async () => {
  const silent = slowServer();
  const never = silent.api.bulk(PDF).catch((error: unknown) => error);
  await vi.advanceTimersByTimeAsync(ANSWERED_MS + 1);
  expect(await never).toMatchObject({ name: "ApiError", code: "network" });
  const broken = slowServer();
  const half = broken.api.studies().catch((error: unknown) => error);
  broken.answers();
  await vi.advanceTimersByTimeAsync(1);
  broken.brings("[{");
  broken.breaks();
  expect(await half).toMatchObject({ name: "ApiError", code: "network" });
});

test("who gives up itself is told of no failure of the line", async () => {
  const { api, answers } = slowServer();
  const stop = new AbortController();
  const video = api.video("1", "2", "3", stop.signal).catch((error: unknown) => error);
  answers();
  await vi.advanceTimersByTimeAsync(1);
  stop.abort();
  expect(await video).toMatchObject({ name: "AbortError" });
});
