// @vitest-environment happy-dom
// Tests src/pages/event/head.tsx: the time at which an event begins is written, refused, and written again.

import { signal } from "@preact/signals";
import { cleanup, fireEvent, render, screen, waitFor } from "@testing-library/preact";
import { afterEach, beforeAll, expect, test } from "vitest";
import { ApiError } from "../src/api";
import { startLanguage } from "../src/i18n";
import type { EventDesk } from "../src/pages/event/desk";
import { EventHead } from "../src/pages/event/head";

beforeAll(async () => {
  await startLanguage(null, ["en"]);
});

afterEach(cleanup);

test("what was refused is not told again when the form is opened anew; what was typed stays until it is closed", async () => {
  const event = signal({ title: "Khai trương", state: "open", startsAt: Date.UTC(2026, 4, 20, 7), points: [] });
  const api = { setStart: () => Promise.reject(new ApiError("network", "")) };
  render(<EventHead desk={{ token: "", api, event, changes: true, load: () => Promise.resolve() } as unknown as EventDesk} />);
  fireEvent.click(screen.getByTestId("change-begin"));
  fireEvent.input(screen.getByTestId("begin"), { target: { value: "2026-06-01T09:00" } });
  fireEvent.click(screen.getByTestId("save-begin"));
  await waitFor(() => expect(screen.getByTestId("problem").getAttribute("data-code")).toBe("network"));
  expect(screen.getByTestId<HTMLInputElement>("begin").value).toBe("2026-06-01T09:00");
  fireEvent.click(screen.getByText("Cancel"));
  fireEvent.click(screen.getByTestId("change-begin"));
  expect(screen.queryByTestId("problem")).toBeNull();
});
