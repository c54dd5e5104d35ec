// Owns the words of the pages: which language is shown, and `t` for every string. Knows no page and no session.
// Plural forms come from Intl.PluralRules (i18next), dates and numbers from Intl.

import { signal } from "@preact/signals";
import i18next from "i18next";
import type { Language } from "../protocol";
import en from "./en.json";
import ru from "./ru.json";
import vi from "./vi.json";

type Plural = "zero" | "one" | "two" | "few" | "many" | "other";
type WithoutPlural<K> = K extends `${infer Base}_${Plural}` ? Base : K;
/** Every string that there is; a key that is missing in English does not compile. */
export type Key = WithoutPlural<keyof typeof en>;
export type Values = Readonly<Record<string, string | number>>;

/** In the order of the language switch, each named in itself. */
export const LANGUAGES: readonly { readonly code: Language; readonly name: string }[] = [
  { code: "vi", name: "Tiếng Việt" },
  { code: "ru", name: "Русский" },
  { code: "en", name: "English" },
];

const STORAGE_KEY = "bridge.language";

export const language = signal<Language>("en");

/** Call once before the first page. Storage or browser languages may be missing (private mode): English then. */
export async function startLanguage(storage: Storage | null, browserLanguages: readonly string[]): Promise<void> {
  language.value = chooseLanguage(readRemembered(storage), browserLanguages);
  await i18next.init({
    lng: language.value,
    fallbackLng: "en",
    resources: { en: { translation: en }, ru: { translation: ru }, vi: { translation: vi } },
    keySeparator: false,
    nsSeparator: false,
    showSupportNotice: false,
    // Preact escapes what it renders.
    interpolation: { escapeValue: false },
  });
  showOnDocument(language.value);
}

export async function setLanguage(code: Language, storage: Storage | null): Promise<void> {
  await i18next.changeLanguage(code);
  language.value = code;
  showOnDocument(code);
  try {
    storage?.setItem(STORAGE_KEY, code);
  } catch {
    // Full or forbidden storage: the choice lasts for this page.
  }
}

/** The string in the language now shown; a component that calls it is drawn anew when the language changes. */
export function t(key: Key, values: Values = {}): string {
  return i18next.t(key, { ...values, lng: language.value });
}

/** The string in another language than the page's: for what is printed for others. */
export function tIn(code: Language, key: Key, values: Values = {}): string {
  return i18next.t(key, { ...values, lng: code });
}

export function chooseLanguage(remembered: string | null, browserLanguages: readonly string[]): Language {
  for (const wish of [remembered ?? "", ...browserLanguages]) {
    const known = LANGUAGES.find(({ code }) => wish.toLowerCase().split("-")[0] === code);
    if (known) return known.code;
  }
  return "en";
}

export function formatNumber(value: number, fractionDigits = 0): string {
  return new Intl.NumberFormat(language.value, {
    minimumFractionDigits: fractionDigits,
    maximumFractionDigits: fractionDigits,
  }).format(value);
}

/** Time of day for today, with the date for other days. */
export function formatWhen(atMs: number, nowMs: number): string {
  const sameDay = new Date(atMs).toDateString() === new Date(nowMs).toDateString();
  return new Intl.DateTimeFormat(language.value, {
    ...(sameDay ? {} : { day: "numeric", month: "short" }),
    hour: "2-digit",
    minute: "2-digit",
    hourCycle: "h23",
  }).format(atMs);
}

/** The day alone, with its year: for what lies far off. */
export function formatDate(atMs: number): string {
  return new Intl.DateTimeFormat(language.value, { dateStyle: "long" }).format(atMs);
}

/** A day as DICOM writes it (YYYYMMDD); what is no day stays as it was written. */
export function formatDay(day: string): string {
  const parts = /^(\d{4})(\d{2})(\d{2})$/.exec(day);
  if (!parts) return day;
  const [year, month, date] = parts.slice(1).map(Number) as [number, number, number];
  const at = new Date(Date.UTC(year, month - 1, date));
  const isDay = at.getUTCMonth() === month - 1 && at.getUTCDate() === date;
  return isDay ? new Intl.DateTimeFormat(language.value, { dateStyle: "medium", timeZone: "UTC" }).format(at) : day;
}

function readRemembered(storage: Storage | null): string | null {
  try {
    return storage?.getItem(STORAGE_KEY) ?? null;
  } catch {
    return null;
  }
}

function showOnDocument(code: Language): void {
  if (typeof document !== "undefined") document.documentElement.lang = code;
}
