// @vitest-environment happy-dom
// Tests src/pages/event/sheets.tsx: links that could not be had are asked for again by a press.

import { cleanup, fireEvent, render, screen } from "@testing-library/preact";
import { afterEach, beforeAll, expect, test, vi } from "vitest";
import { ApiError } from "../src/api";
import { startLanguage } from "../src/i18n";
import type { EventDesk } from "../src/pages/event/desk";
import { Sheets } from "../src/pages/event/sheets";

beforeAll(async () => {
  await startLanguage(null, ["en"]);
});

afterEach(cleanup);

test("sheets that could not be made for want of the network are made by a second press", async () => {
  const point = { id: "p1", name: "Trạm Mộc Châu", organisation: "Trạm Mộc Châu", province: "Sơn La", link: "https://bridge.example/#token" };
  const withLinks = vi
    .fn(() => Promise.resolve({ title: "Khai trương", startsAt: null, points: [point] }))
    .mockRejectedValueOnce(new ApiError("network", ""));
  render(<Sheets desk={{ api: { withLinks } } as unknown as EventDesk} points={null} onClose={() => undefined} />);
  fireEvent.click(await screen.findByTestId("sheets-again"));
  expect((await screen.findByTestId("sheet")).textContent).toContain("Trạm Mộc Châu");
  expect(screen.queryByTestId("problem")).toBeNull();
});
