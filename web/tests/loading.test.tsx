// @vitest-environment happy-dom
// Tests src/pages/loading.ts: when a list is asked for again, and which answer counts.

import { act, cleanup, render, screen } from "@testing-library/preact";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { ApiError } from "../src/api";
import { useLoading } from "../src/pages/loading";

interface ShownProps {
  readonly ask: () => Promise<string>;
  readonly changes?: (found: string) => boolean;
}

const EVERY_MS = 60_000;
let again: () => Promise<void> = () => Promise.resolve();

function Shown({ ask, changes }: ShownProps) {
  const { found, fault, load } = useLoading(ask, EVERY_MS, changes);
  again = load;
  return (
    <p data-testid="shown">
      {found.value ?? "nothing"} {fault.value ?? "fine"}
    </p>
  );
}

const shown = (): string => screen.getByTestId("shown").textContent;

beforeEach(() => void vi.useFakeTimers());

afterEach(() => {
  cleanup();
  vi.useRealTimers();
});

async function pass(ms: number): Promise<void> {
  await act(async () => {
    await vi.advanceTimersByTimeAsync(ms);
  });
}

test("what may change is asked for again, seldom; what does not, never", async () => {
  const ask = vi.fn(() => Promise.resolve("list"));
  const still = () => false;
  render(<Shown ask={ask} />);
  await pass(EVERY_MS - 1);
  expect(ask).toHaveBeenCalledTimes(1);
  await pass(2);
  expect(ask).toHaveBeenCalledTimes(2);
  cleanup();
  render(<Shown ask={ask} changes={still} />);
  await pass(3 * EVERY_MS);
  expect(ask).toHaveBeenCalledTimes(3);
});

test("a lost network is tried again soon, a refused link never", async () => {
  const lost = vi.fn(() => Promise.reject(new ApiError("network", "")));
  render(<Shown ask={lost} />);
  await pass(11_000);
  expect(lost).toHaveBeenCalledTimes(3);
  expect(shown()).toBe("nothing network");
  cleanup();
  const refused = vi.fn(() => Promise.reject(new ApiError("tokenExpired", "")));
  render(<Shown ask={refused} />);
  await pass(3 * EVERY_MS);
  expect(refused).toHaveBeenCalledTimes(1);
  expect(shown()).toBe("nothing tokenExpired");
});

test("a server that fails for a while is asked again, and what it says then is shown", async () => {
  let up = false;
  const ask = vi.fn(() => (up ? Promise.resolve("list") : Promise.reject(new ApiError("internal", ""))));
  render(<Shown ask={ask} />);
  await pass(1);
  expect(shown()).toBe("nothing internal");
  up = true;
  await pass(EVERY_MS);
  expect(shown()).toBe("list fine");
});

test("an older answer does not hide a newer one, and nothing is asked once the page is left", async () => {
  const answers: ((list: string) => void)[] = [];
  const ask = vi.fn(() => new Promise<string>((resolve) => answers.push(resolve)));
  render(<Shown ask={ask} />);
  void again();
  await act(() => {
    answers[1]?.("new");
    answers[0]?.("old");
  });
  await pass(1);
  expect(shown()).toBe("new fine");
  cleanup();
  await pass(3 * EVERY_MS);
  expect(ask).toHaveBeenCalledTimes(2);
});
