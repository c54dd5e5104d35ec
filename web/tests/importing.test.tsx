// @vitest-environment happy-dom
// Tests src/pages/event/importing.tsx: nothing is taken over that was not shown.

import { signal } from "@preact/signals";
import { cleanup, fireEvent, render, screen, waitFor } from "@testing-library/preact";
import { afterEach, beforeAll, expect, test, vi } from "vitest";
import { ApiError } from "../src/api";
import { startLanguage } from "../src/i18n";
import { Deeds } from "../src/pages/event/deeds";
import type { EventDesk } from "../src/pages/event/desk";
import { Importing } from "../src/pages/event/importing";
import type { Preview, Reading } from "../src/pages/event/sheet";

const PREVIEW: Preview = {
  ...{ added: 1, changed: 0, unchanged: 0, removed: 0, problems: [], gone: [] },
  rows: [{ line: 2, change: "added", province: "Sơn La", organisation: "BVĐK Mộc Châu", name: "", contact: "" }],
};
const OLD = { id: "1", province: "Hà Giang", organisation: "TTYT Mèo Vạc", name: "", contact: "" };

beforeAll(async () => {
  await startLanguage(null, ["en"]);
});

afterEach(cleanup);

test("points that the file does not name go only after it was shown which", async () => {
  const answers: ((refused: boolean) => void)[] = [];
  const preview = vi.fn(
    (_: Blob, how: Reading) =>
      new Promise<Preview>((resolve, reject) =>
        how.remove ? answers.push((refused) => (refused ? reject(new ApiError("network", "")) : resolve(PREVIEW))) : resolve(PREVIEW),
      ),
  );
  const event = signal({ points: [OLD], agenda: { version: 0, items: [] } });
  const take = vi.fn((_: Blob, _how: Reading) => Promise.resolve({ added: 1, changed: 0, unchanged: 0, removed: 0, problems: [] }));
  const api = { preview, take, event: () => Promise.resolve(event.value) };
  const desk = { api, event, changes: true, load: () => Promise.resolve() } as unknown as EventDesk;
  render(<Importing desk={desk} deeds={new Deeds()} onClose={() => undefined} />);
  const file = new File(["province,organisation\nSơn La,BVĐK Mộc Châu\n"], "points.csv", { type: "text/csv" });
  fireEvent.change(screen.getByTestId("sheet-file"), { target: { files: [file] } });
  const remove = await screen.findByTestId<HTMLInputElement>("remove-missing");

  fireEvent.click(remove);
  fireEvent.click(screen.getByTestId("import-apply"));
  expect(take).not.toHaveBeenCalled();

  answers[0]?.(true);
  await waitFor(() => expect(screen.getByTestId<HTMLInputElement>("remove-missing").checked).toBe(false));
  fireEvent.click(screen.getByTestId("import-apply"));
  await waitFor(() => expect(take).toHaveBeenCalledTimes(1));
  expect(take.mock.calls[0]?.[1]).toMatchObject({ remove: false });
});
