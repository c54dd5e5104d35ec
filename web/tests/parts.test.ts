// Tests src/reading/loading/parts.ts: an answer in parts, cut anywhere by the line.

import { expect, test } from "vitest";
import { Parts } from "../src/reading/loading/parts";

interface Seen {
  readonly headers: ReadonlyMap<string, string>;
  text: string;
  isWhole: boolean;
}

const part = (name: string, content: string): string =>
  `\r\n--b0\r\nContent-Type: image/jphc\r\nContent-Length: ${content.length}\r\nContent-Location: ${name}\r\n\r\n${content}`;
const END = "\r\n--b0--\r\n";

function taken(): { readonly seen: Seen[]; readonly parts: Parts } {
  const seen: Seen[] = [];
  const parts = new Parts({
    begins: (headers) => void seen.push({ headers, text: "", isWhole: false }),
    bytes: (piece) => {
      const last = seen.at(-1);
      if (last) last.text += new TextDecoder().decode(piece);
    },
    ends: () => {
      const last = seen.at(-1);
      if (last) last.isWhole = true;
    },
  });
  return { seen, parts };
}

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);

test.each([1, 2, 7, 64, 10_000])("is the same in pieces of %i bytes", (size) => {
  const { seen, parts } = taken();
  const whole = bytes(part("one", "first\r\n--b0\r\n\r\npixels") + part("two", "") + part("three", "last") + END);
  for (let at = 0; at < whole.length; at += size) parts.feed(whole.subarray(at, at + size));
  expect(seen.map(({ headers, text }) => [headers.get("content-location"), text])).toEqual([
    ["one", "first\r\n--b0\r\n\r\npixels"],
    ["two", ""],
    ["three", "last"],
  ]);
  expect(seen.every(({ isWhole }) => isWhole)).toBe(true);
  expect(parts.isWhole).toBe(true);
});

test("passes on what came of a part, and is not whole without its end", () => {
  const { seen, parts } = taken();
  parts.feed(bytes(part("one", "pixels").slice(0, -2)));
  expect(seen).toMatchObject([{ text: "pixe", isWhole: false }]);
  expect(parts.isWhole).toBe(false);
  parts.feed(bytes("ls"));
  expect(seen).toMatchObject([{ text: "pixels", isWhole: true }]);
  expect(parts.isWhole).toBe(false);
});

test("an answer without parts is whole", () => {
  const { seen, parts } = taken();
  parts.feed(bytes(END));
  expect(seen).toEqual([]);
  expect(parts.isWhole).toBe(true);
});

test.each([`\r\n--b0\r\nContent-Type: image/jphc\r\n\r\n`, `\r\n--b0\r\nContent-Length: -4\r\n\r\n`, "x".repeat(9000)])("refuses what is none of ours", (answer) => {
  expect(() => taken().parts.feed(bytes(answer))).toThrow("part");
});
