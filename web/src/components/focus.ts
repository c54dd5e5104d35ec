// Owns that the keyboard never loses its place: when what has the focus goes away (a closed panel, a person who left, a page
// that became another), the nearest thing that is left takes it. Knows no page; pages mark their places with `place`.

/** Goes where the place went away: selectors, the first that can be seen is taken. */
const AFTER = "data-after";
const PLACE = "data-place";
/** Every page has it, so there is always somewhere to go. */
const LAST_RESORT = "#content";

interface Place {
  readonly name: string;
  readonly after: string;
}

export interface PlaceProps {
  readonly "data-place": string;
  readonly "data-after": string | undefined;
  readonly tabIndex: -1;
}

/** Marks an element as a place; `after` names what takes the focus once the place itself is gone, such as its opener. */
export function place(name: string, after?: string): PlaceProps {
  return { "data-place": name, "data-after": after, tabIndex: -1 };
}

/** The button that opened something, or "more", behind which it may stand. */
export function opener(command: string): string {
  return `[data-command="${command}"], .more-button`;
}

export function keepFocus(document: Document): () => void {
  let last: Element | null = null;
  let places: readonly Place[] = [];

  const note = (event: FocusEvent): void => {
    last = event.target instanceof Element ? event.target : null;
    places = placesAround(last);
  };
  const look = (): void => {
    const focused = document.activeElement;
    if (last === null || (focused !== null && focused !== document.body) || isSeen(last)) return;
    last = null;
    nearest(document, places)?.focus();
  };
  const observer = new MutationObserver(look);
  document.addEventListener("focusin", note);
  observer.observe(document.body, { subtree: true, childList: true, attributes: true, attributeFilter: ["class", "open", "data-panel"] });
  return () => {
    observer.disconnect();
    document.removeEventListener("focusin", note);
  };
}

/** From the inside out. */
function placesAround(element: Element | null): readonly Place[] {
  const found: Place[] = [];
  for (let at = element?.closest(`[${PLACE}]`); at; at = at.parentElement?.closest(`[${PLACE}]`)) {
    found.push({ name: at.getAttribute(PLACE) ?? "", after: at.getAttribute(AFTER) ?? "" });
  }
  return found;
}

function nearest(document: Document, places: readonly Place[]): HTMLElement | null {
  const selectors = places.flatMap(({ name, after }) => [`[${PLACE}="${CSS.escape(name)}"]`, after]);
  for (const selector of [...selectors, LAST_RESORT].filter((one) => one !== "")) {
    const seen = [...document.querySelectorAll<HTMLElement>(selector)].find(isSeen);
    if (seen) return seen;
  }
  return null;
}

function isSeen(element: Element): boolean {
  return element.isConnected && element.checkVisibility();
}
