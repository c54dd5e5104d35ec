"""What somebody who cannot see the page is told: faults that axe-core finds, the focus, and what live regions say."""

from __future__ import annotations

from typing import Any

from playwright.async_api import Browser, Page

from tests.e2e.conftest import new_page
from tests.serving import ROOT

AXE = ROOT / "web" / "node_modules" / "axe-core" / "axe.min.js"
"""From the page's development packages; the server never sends it."""

CHECK_JS = """
async () => {
  const found = await axe.run(document, {runOnly: {type: 'tag', values: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa']}});
  return found.violations.map(({id, nodes}) => `${id}: ${nodes.map(({target}) => target.join(' ')).join(', ')}`);
}
"""

LISTEN_JS = """
() => {
  const regions = '[aria-live], [role=status], [role=alert], [role=log]';
  window.heard = [];
  const say = (node) => {
    const element = node instanceof Element ? node : node.parentElement;
    if (!element?.isConnected || !element.closest(regions) || element.closest('[aria-hidden=true]')) return;
    if (!element.checkVisibility()) return;
    const words = node.textContent.trim();
    if (words !== '') window.heard.push(words);
  };
  new MutationObserver((changes) => {
    for (const {type, target, addedNodes} of changes) {
      if (type === 'characterData') say(target);
      else addedNodes.forEach(say);
    }
  }).observe(document.body, {subtree: true, childList: true, characterData: true});
}
"""

FOCUS_JS = """
() => {
  const at = document.activeElement;
  const box = at.getBoundingClientRect();
  const dialog = document.querySelector('dialog[open]');
  return {
    testid: at.dataset.testid ?? null, id: at.id, tag: at.tagName, place: at.dataset.place ?? null,
    person: at.closest('[data-participant]')?.dataset.participant ?? null,
    command: at.dataset.command ?? null,
    seen: at.checkVisibility() && box.width > 0 && box.height > 0,
    // What takes the focus only from us, such as a whole panel, is no control and needs no ring.
    ringed: at.tabIndex < 0 || getComputedStyle(at).outlineStyle !== 'none',
    outsideDialog: dialog !== null && at !== document.body && !dialog.contains(at),
  };
}
"""


async def open_checked(browser: Browser, address: str, **page_options: Any) -> Page:
    """A page that can be checked by `faults`."""
    page = await new_page(browser, **page_options)
    await page.add_init_script(path=AXE)
    await page.goto(address)
    return page


async def faults(page: Page) -> list[str]:
    """Violations of WCAG 2.1 A and AA that axe-core finds, in both themes."""
    found: list[str] = []
    for theme in ("light", "dark"):
        await page.evaluate("theme => document.documentElement.dataset.theme = theme", theme)
        # Colours fade into each other; axe would measure one in between.
        await page.evaluate(
            "() => Promise.all(document.getAnimations().map((one) => one.finished.catch(() => null)))"
        )
        found += [f"{theme}: {fault}" for fault in await page.evaluate(CHECK_JS)]
    return found


async def focus(page: Page) -> dict[str, Any]:
    """What has the keyboard."""
    at: dict[str, Any] = await page.evaluate(FOCUS_JS)
    return at


async def tab_to(page: Page, wanted: str, key: str = "Tab", limit: int = 60, **matching: str) -> None:
    """Presses Tab until what has this test id (and these properties) has the focus, which is seen at every step."""
    passed = []
    for _ in range(limit):
        await page.keyboard.press(key)
        at = await focus(page)
        assert not at["outsideDialog"], at
        if at["tag"] == "BODY":  # the browser's own controls come between the last and the first
            continue
        assert at["seen"], at
        assert at["ringed"], at
        passed.append(at["testid"] or at["tag"])
        if at["testid"] == wanted and all(at[name] == value for name, value in matching.items()):
            return
    raise AssertionError(f"no way to {wanted} by {key}: {passed}")


async def listen(page: Page) -> None:
    """From now on `heard` collects what a screen reader would say by itself."""
    await page.evaluate(LISTEN_JS)


async def heard(page: Page) -> list[str]:
    said: list[str] = await page.evaluate("() => window.heard")
    return said
