// Tests what is said of keeping (src/pages/read/keeping/words.ts) and what a link is offered of it (src/studies/keeping.ts).

import { beforeAll, describe, expect, test } from "vitest";
import { startLanguage } from "../src/i18n";
import { jobWords, keptWords, mayRetry } from "../src/pages/read/keeping/words";
import { createKeepingApi, offeredTo } from "../src/studies/keeping";
import type { Job, KeptStudy } from "../src/studies/keeping";

const NOW_MS = Date.UTC(2026, 10, 20, 12);

function job(changes: Partial<Job>): Job {
  return {
    id: "j",
    kind: "send",
    studyInstanceUID: "1.2",
    to: "PACS",
    copyInstanceUID: null,
    state: "running",
    done: 3,
    failed: 0,
    total: 10,
    attempts: 1,
    error: null,
    commitment: "",
    createdAt: NOW_MS,
    dueAt: NOW_MS,
    ...changes,
  };
}

function study(changes: Partial<KeptStudy>): KeptStudy {
  return { id: "s", studyInstanceUID: "1.2", session: null, instances: 1, sizeBytes: 1, hold: false, retainUntil: null, rule: null, ...changes };
}

function token(claims: object): string {
  return `h.${btoa(JSON.stringify(claims)).replace(/=+$/, "")}.s`;
}

beforeAll(async () => {
  await startLanguage(null, ["en"]);
});

describe("how long a study is kept", () => {
  const rule = { kind: "radiology", days: 3653 } as const;

  test.each([
    ["a hold, whatever the rule", study({ hold: true, rule, retainUntil: NOW_MS }), /^Held/],
    ["no session", study({}), /until somebody removes it/],
    ["a rule without end", study({ rule: { kind: "training", days: 0 } }), /stays for good/],
    ["an open session", study({ rule }), /still open.*3653 days/],
    ["an end, with its year", study({ rule, retainUntil: Date.UTC(2036, 10, 20, 12) }), /^Until November 20, 2036.*3653 days/],
  ])("is said for %s", (_, of, words) => {
    expect(keptWords(of)).toMatch(words);
  });
});

describe("a job", () => {
  test.each([
    ["that has its turn to come", job({ state: "waiting" }), "Waiting for its turn"],
    ["that has not counted yet", job({ total: 0, done: 0 }), "Beginning…"],
    ["that sends", job({}), "Sending: 3 of 10"],
    ["that waits for a commitment", job({ state: "confirming", done: 10 }), "All is sent. PACS has yet to confirm that it keeps it."],
    ["that is committed to", job({ state: "done", done: 10, commitment: "confirmed" }), "Sent: 10 objects. PACS confirms that it keeps all of them."],
    ["whose commitment never came", job({ state: "done", done: 10, commitment: "silent" }), "Sent: 10 objects. PACS never said that it keeps them; ask there."],
    ["that nobody was asked to commit to", job({ state: "done", done: 1, total: 1 }), "Sent: 1 object"],
    ["that copied all", job({ kind: "copy", state: "done", done: 10 }), "Ready: 10 objects"],
    ["that left some out", job({ kind: "copy", state: "done", done: 9 }), "Ready: 9 copied. 1 was left out: text, a video, or what may show a name."],
  ])("%s says so", (_, of, words) => {
    expect(jobWords(of, NOW_MS)).toBe(words);
  });

  test("that waits after a failure says why and when it is tried again", () => {
    expect(jobWords(job({ state: "waiting", error: { code: "tooMany" } }), NOW_MS)).toMatch(/does not answer.*next try is at \d\d:\d\d/);
  });

  test("that failed says whose fault it is: the archive's, the pictures', or the server's", () => {
    const failed = (kind: Job["kind"], code: NonNullable<Job["error"]>["code"]) => jobWords(job({ kind, state: "failed", error: { code } }), NOW_MS);
    expect(failed("send", "storageFailed")).toMatch(/^The archive did not take/);
    expect(failed("copy", "storageFailed")).toMatch(/^The server cannot store/);
    expect(failed("copy", "conflict")).toMatch(/may show the patient's name/);
    expect(failed("send", "internal")).toMatch(/on the server/);
    expect(failed("shred", "notFound")).toMatch(/not there any more/);
  });

  test.each([
    [job({}), false],
    [job({ state: "stopped" }), true],
    [job({ state: "failed", error: { code: "tooMany" } }), true],
    [job({ state: "failed", error: { code: "tooMany" }, studyInstanceUID: null }), false],
    [job({ kind: "copy", state: "failed", error: { code: "conflict" } }), false],
    [job({ kind: "copy", state: "failed", error: { code: "storageFailed" } }), true],
  ])("can be tried again only where that may help (%#)", (of, may) => {
    expect(mayRetry(of)).toBe(may);
  });
});

test("a link is offered what the server would let it do", () => {
  expect(offeredTo(token({ use: "staff" }))).toBe("all");
  expect(offeredTo(token({ use: "join", ses: "s", role: "hub" }))).toBe("send");
  expect(offeredTo("nonsense")).toBeNull();
  for (const role of ["organiser", "satellite", "viewer"]) expect(offeredTo(token({ use: "join", ses: "s", role }))).toBeNull();
});

test("what is asked goes to the study's own address, with the token in its header only", async () => {
  const asked: [string, RequestInit | undefined][] = [];
  const api = createKeepingApi("secret", (path, init) => {
    asked.push([path as string, init]);
    return Promise.resolve(new Response(null, { status: 204 }));
  });
  await api.hold("1.2/../3", true);
  await api.copy("1.2", { leaveOut: true, shiftDates: false, inSession: false });
  await api.shred("1.2");
  expect(asked.map(([path, init]) => [init?.method, path, init?.body])).toEqual([
    ["POST", "/api/studies/1.2%2F..%2F3/hold", '{"hold":true}'],
    ["POST", "/api/studies/1.2/deidentify", '{"leaveOut":true,"shiftDates":false,"inSession":false}'],
    ["DELETE", "/api/studies/1.2", null],
  ]);
  for (const [path, init] of asked) expect([path.includes("secret"), new Headers(init?.headers).get("Authorization")]).toEqual([false, "Bearer secret"]);
});
