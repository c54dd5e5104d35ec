// Tests src/i18n: three languages say the same things, and every string of theirs is used.

import { beforeAll, expect, test } from "vitest";
import { chooseLanguage, language, setLanguage, startLanguage, t } from "../src/i18n";
import en from "../src/i18n/en.json";
import ru from "../src/i18n/ru.json";
import vi from "../src/i18n/vi.json";

const SOURCES = import.meta.glob<string>("../src/**/*.{ts,tsx}", { query: "?raw", import: "default", eager: true });

type Words = Readonly<Record<string, string>>;

const PLURAL = /_(zero|one|two|few|many|other)$/;
const TABLES: Readonly<Record<"en" | "ru" | "vi", Words>> = { en, ru, vi };
const LANGUAGES = ["en", "ru", "vi"] as const;

const bases = (words: Words) => new Set(Object.keys(words).map((key) => key.replace(PLURAL, "")));
const places = (text: string) => new Set(Array.from(text.matchAll(/\{\{(\w+)\}\}/g), ([, name]) => name));

beforeAll(async () => {
  await startLanguage(null, ["en"]);
});

test.each(LANGUAGES)("%s has exactly the strings of English", (code) => {
  expect([...bases(TABLES[code])].sort()).toEqual([...bases(en)].sort());
});

test.each(LANGUAGES)("%s leaves no string empty", (code) => {
  expect(Object.entries(TABLES[code]).filter(([, text]) => text.trim() === "")).toEqual([]);
});

test.each(LANGUAGES)("%s has every plural form that its language has", (code) => {
  const forms = new Intl.PluralRules(code).resolvedOptions().pluralCategories;
  const counted = [...bases(en)].filter((base) => `${base}_other` in en);
  expect(counted.length).toBeGreaterThan(0);
  for (const base of counted) {
    for (const form of forms) expect(TABLES[code], `${base}_${form}`).toHaveProperty([`${base}_${form}`]);
  }
});

test.each(["ru", "vi"] as const)("%s fills in nothing that English does not", (code) => {
  const known = en as Words;
  for (const [key, text] of Object.entries(TABLES[code])) {
    const english = known[key] ?? known[key.replace(PLURAL, "_other")] ?? "";
    for (const place of places(text)) expect(places(english), `${key}: {{${place ?? ""}}}`).toContain(place);
  }
});

test("every string is used by a page, and every literal key is a string", () => {
  const { literal, families } = usedKeys();
  const all = bases(en);
  const unused = [...all].filter((key) => !literal.has(key) && !families.some((family) => family.test(key)));
  expect(unused).toEqual([]);
  for (const family of families) expect([...all].some((key) => family.test(key)), String(family)).toBe(true);
});

test("counts in Russian take the right form", async () => {
  await setLanguage("ru", null);
  expect(t("people.count", { count: 1 })).toBe("1 человек");
  expect(t("people.count", { count: 3 })).toBe("3 человека");
  expect(t("people.count", { count: 5 })).toBe("5 человек");
  expect(language.value).toBe("ru");
});

test("a name is shown as it was written, and cannot name another string", async () => {
  await setLanguage("en", null);
  expect(t("said.joined", { name: "<b>$t(app.close)</b>" })).toBe("<b>$t(app.close)</b> has joined");
});

test.each([
  [null, ["ru-RU", "en"], "ru"],
  [null, ["vi"], "vi"],
  [null, ["fr-FR", "de"], "en"],
  [null, [], "en"],
  ["vi", ["ru"], "vi"],
  ["xx", ["ru"], "ru"],
] as const)("remembered %s and browser %j gives %s", (remembered, browser, expected) => {
  expect(chooseLanguage(remembered, browser)).toBe(expected);
});

/** Keys as the sources write them: `"join.name"`, and families such as `kind.${...}`. */
function usedKeys(): { readonly literal: ReadonlySet<string>; readonly families: readonly RegExp[] } {
  const literal = new Set<string>();
  const families: RegExp[] = [];
  for (const source of Object.values(SOURCES)) {
    for (const [, key = ""] of source.matchAll(/"([a-z]+\.[A-Za-z0-9.]+)"/g)) literal.add(key);
    for (const [, template = ""] of source.matchAll(/\bt\(\s*`([^`]+)`/g)) families.push(familyOf(template));
    for (const [, template = ""] of source.matchAll(/\{ reason: t\(`([^`]+)`/g)) families.push(familyOf(template));
  }
  return { literal, families };
}

function familyOf(template: string): RegExp {
  const parts = template.replace(/\$\{(?:[^{}]|\{[^}]*\})*\}/g, "\u0000").split("\u0000");
  return new RegExp(`^${parts.map((part) => part.replace(/[.]/g, "\\.")).join("[A-Za-z0-9]+")}$`);
}
