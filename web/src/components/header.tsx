// Owns the top line of the pages before and after a session: name of the program, language and theme.

import type { ComponentChildren, JSX } from "preact";
import { useEffect } from "preact/hooks";
import { LANGUAGES, language, setLanguage, t } from "../i18n";
import type { Language } from "../protocol";
import { Icon } from "./icons";
import { openStorage, setTheme, theme } from "./preferences";

interface PageProps {
  readonly children: ComponentChildren;
  readonly wide?: boolean;
  /** What this page is, for the browser's tab. Never whom it is about: the browser keeps titles. */
  readonly title?: string;
}

export function Page({ children, wide = false, title }: PageProps): JSX.Element {
  useTitle(title);
  return (
    <div class="page">
      <a class="skip" href="#content" onClick={focusContent}>
        {t("app.skip")}
      </a>
      <header class="page-header">
        <span class="brand">
          <BrandSign />
          {t("app.name")}
        </span>
        <div class="page-tools">
          <LanguageSelect />
          <ThemeSwitch />
        </div>
      </header>
      <main id="content" class={wide ? "page-main wide" : "page-main"} tabIndex={-1}>
        {children}
      </main>
    </div>
  );
}

export function LanguageSelect(): JSX.Element {
  return (
    <label class="tool-select">
      <Icon name="language" />
      <span class="unseen">{t("app.language")}</span>
      <select
        data-testid="language-select"
        value={language.value}
        onChange={(event) => void setLanguage(event.currentTarget.value as Language, openStorage())}
      >
        {LANGUAGES.map(({ code, name }) => (
          <option key={code} value={code} lang={code}>
            {name}
          </option>
        ))}
      </select>
    </label>
  );
}

export function ThemeSwitch(): JSX.Element {
  const other = theme.value === "dark" ? "light" : "dark";
  return (
    <button type="button" class="button quiet" data-testid="theme-button" onClick={() => setTheme(other)}>
      <Icon name={other === "light" ? "sun" : "moon"} />
      <span class="tool-word">{t(other === "light" ? "app.themeLight" : "app.themeDark")}</span>
    </button>
  );
}

function BrandSign(): JSX.Element {
  return (
    <svg class="brand-sign" viewBox="0 0 32 32" aria-hidden="true" focusable="false">
      <path d="M3 22h26M6 22v-4a10 10 0 0 1 20 0v4M11 22v-8M16 22V8.500M21 22v-8" />
    </svg>
  );
}

export function useTitle(title: string | undefined): void {
  useEffect(() => {
    document.title = title === undefined ? t("app.name") : `${title} · ${t("app.name")}`;
  }, [title]);
}

/** The fragment of the address carries the token, so the link must not change it. */
function focusContent(event: MouseEvent): void {
  event.preventDefault();
  document.getElementById("content")?.focus();
}
