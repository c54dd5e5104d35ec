// Owns what this browser remembers about the person: theme, name and whether single keys work. Never tokens.

import { signal } from "@preact/signals";

export type Theme = "dark" | "light";

const THEME_KEY = "bridge.theme";
const NAME_KEY = "bridge.name";
const SINGLE_KEYS_KEY = "bridge.singleKeys";

/** Null where the browser forbids it (some private modes throw on the mere access). */
export function openStorage(): Storage | null {
  try {
    return window.localStorage;
  } catch {
    return null;
  }
}

export const theme = signal<Theme>("dark");
export const singleKeys = signal(true);

export function startPreferences(): void {
  showTheme(read(THEME_KEY) === "light" ? "light" : "dark");
  singleKeys.value = read(SINGLE_KEYS_KEY) !== "off";
}

export function setTheme(wish: Theme): void {
  showTheme(wish);
  write(THEME_KEY, wish);
}

export function setSingleKeys(on: boolean): void {
  singleKeys.value = on;
  write(SINGLE_KEYS_KEY, on ? "on" : "off");
}

export function rememberedName(): string {
  return read(NAME_KEY) ?? "";
}

export function rememberName(name: string): void {
  write(NAME_KEY, name);
}

function showTheme(wish: Theme): void {
  theme.value = wish;
  document.documentElement.dataset.theme = wish;
}

function read(key: string): string | null {
  try {
    return openStorage()?.getItem(key) ?? null;
  } catch {
    return null;
  }
}

function write(key: string, value: string): void {
  try {
    openStorage()?.setItem(key, value);
  } catch {
    // Full or forbidden storage: the choice lasts for this page.
  }
}
