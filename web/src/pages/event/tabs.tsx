// Owns the tabs of an event's page: which is open stands in the address's fragment, arrows go from one to the next.
// After the ARIA Authoring Practices, "Tabs" with automatic activation.

import { useSignal } from "@preact/signals";
import type { Signal } from "@preact/signals";
import type { ComponentChildren, JSX } from "preact";
import { t } from "../../i18n";

export const TABS = ["points", "show", "checks", "after"] as const;
export type Tab = (typeof TABS)[number];

const OPTION = "tab=";

export function tabOf(hash: string): Tab {
  const said = hash.split("&").find((option) => option.startsWith(OPTION))?.slice(OPTION.length);
  return TABS.find((tab) => tab === said) ?? "points";
}

/** The same fragment with another tab in it. */
export function withTab(hash: string, tab: Tab): string {
  const others = hash.split("&").filter((option) => !option.startsWith(OPTION));
  return [...others, `${OPTION}${tab}`].join("&");
}

export function useTab(): Signal<Tab> {
  return useSignal<Tab>(tabOf(location.hash));
}

export function openTab(tab: Signal<Tab>, wish: Tab): void {
  tab.value = wish;
  // Replaced, not set: a fragment that is set loads the page again.
  history.replaceState(null, "", withTab(location.hash, wish));
}

export function TabBar({ tab, label }: { readonly tab: Signal<Tab>; readonly label: string }): JSX.Element {
  const go = (event: KeyboardEvent): void => {
    const now = TABS.indexOf(tab.value);
    const aim: Readonly<Record<string, number>> = { ArrowRight: now + 1, ArrowLeft: now - 1, Home: 0, End: -1 };
    const place = aim[event.key];
    const wish = place === undefined ? undefined : TABS.at(place % TABS.length);
    if (wish === undefined) return;
    event.preventDefault();
    openTab(tab, wish);
    document.getElementById(`tab-${wish}`)?.focus();
  };
  return (
    <div class="event-tabs" role="tablist" aria-label={label} onKeyDown={go}>
      {TABS.map((one) => (
        <button
          key={one}
          type="button"
          role="tab"
          id={`tab-${one}`}
          class="event-tab"
          data-testid={`tab-${one}`}
          aria-selected={tab.value === one}
          aria-controls={`tabpanel-${one}`}
          tabIndex={tab.value === one ? 0 : -1}
          onClick={() => openTab(tab, one)}
        >
          {t(`event.tab.${one}`)}
        </button>
      ))}
    </div>
  );
}

export function TabPanel({ tab, children }: { readonly tab: Tab; readonly children: ComponentChildren }): JSX.Element {
  return (
    <div class="event-panel" role="tabpanel" id={`tabpanel-${tab}`} aria-labelledby={`tab-${tab}`} data-testid={`panel-${tab}`}>
      {children}
    </div>
  );
}
