import { expect, test } from "vitest";
import { ApiError, createApi } from "../src/api";

function setUp(status: number, body: string) {
  const asked: { url: string; init: RequestInit }[] = [];
  const api = createApi("secret-token", (url, init) => {
    asked.push({ url: url as string, init: init ?? {} });
    return Promise.resolve(new Response(status === 204 ? null : body, { status }));
  });
  return { api, asked };
}

test("the token goes into the header and nowhere else", async () => {
  const { api, asked } = setUp(200, '{"sessions":[]}');
  await expect(api.sessions()).resolves.toEqual({ sessions: [] });
  expect(asked[0]?.init.headers).toMatchObject({ Authorization: "Bearer secret-token" });
  expect(asked[0]?.url).not.toContain("secret");
});

test("ids are escaped in paths, and no content is no error", async () => {
  const { api, asked } = setUp(204, "");
  await api.revokeInvite("a/b", "c?d");
  expect(asked[0]).toMatchObject({ url: "/api/sessions/a%2Fb/invites/c%3Fd", init: { method: "DELETE" } });
});

test.each([
  [401, '{"error":{"code":"tokenExpired","text":"late"}}', "tokenExpired"],
  [418, '{"error":{"code":"inventedLater","text":""}}', "internal"],
  [502, "<html>", "internal"],
  [200, "<html>", "internal"],
])("answer %d %s is the error %s", async (status, body, code) => {
  const { api } = setUp(status, body);
  await expect(api.invite()).rejects.toMatchObject({ name: "ApiError", code });
});

test("no answer at all is the network", async () => {
  const api = createApi("t", () => Promise.reject(new TypeError("fetch failed")));
  const error = await api.points().catch((reason: unknown) => reason);
  expect(error).toBeInstanceOf(ApiError);
  expect(error).toMatchObject({ code: "network" });
});
