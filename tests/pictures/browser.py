"""Debian's Chromium without a window: what it shows of a mail, and what is wrong with that."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final, Literal

from playwright.sync_api import Browser, Page, Route, sync_playwright

Scheme = Literal["light", "dark"]
SCHEMES: Final[tuple[Scheme, ...]] = ("light", "dark")
WIDTHS: Final = (320, 600, 1200)

_LOOK: Final = """
() => {
  const faults = [];
  const wide = window.innerWidth;
  const say = (what, element) => faults.push(
    what + ': ' + (element.innerText || element.tagName).trim().slice(0, 60));
  if (document.documentElement.scrollWidth > wide) faults.push(
    'runs out sideways: ' + document.documentElement.scrollWidth + ' of ' + wide + ' px');
  const rgba = text => {
    const found = text.match(/[\\d.]+/g).map(Number);
    return [found[0], found[1], found[2], found.length > 3 ? found[3] : 1];
  };
  const over = (top, below) => [0, 1, 2].map(
    at => top[at] * top[3] + below[at] * (1 - top[3])).concat(1);
  const canvas = matchMedia('(prefers-color-scheme: dark)').matches &&
    getComputedStyle(document.documentElement).colorScheme.includes('dark')
    ? [18, 18, 18, 1] : [255, 255, 255, 1];
  const behind = element => {
    const layers = [];
    for (let at = element; at; at = at.parentElement)
      layers.push(rgba(getComputedStyle(at).backgroundColor));
    return layers.reverse().reduce((below, top) => over(top, below), canvas);
  };
  const light = colour => {
    const [r, g, b] = colour.slice(0, 3).map(value => {
      value /= 255;
      return value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const contrast = (one, other) => {
    const [low, high] = [light(one), light(other)].sort((a, b) => a - b);
    return (high + 0.05) / (low + 0.05);
  };
  let texts = 0;
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const node = walker.currentNode, element = node.parentElement;
    if (!node.data.trim() || ['STYLE', 'SCRIPT'].includes(element.tagName)) continue;
    if (!element.checkVisibility({ opacityProperty: true, visibilityProperty: true })) continue;
    texts += 1;
    const range = document.createRange();
    range.selectNodeContents(node);
    for (const box of range.getClientRects())
      if (box.left < -0.5 || box.right > wide + 0.5) { say('is outside', element); break; }
    const text = range.getBoundingClientRect();
    for (let at = element; at && at !== document.body; at = at.parentElement) {
      const style = getComputedStyle(at), frame = at.getBoundingClientRect();
      if (style.overflowX === 'visible' && style.overflowY === 'visible') continue;
      if (text.right > frame.right + 1 || text.bottom > frame.bottom + 1 ||
          text.left < frame.left - 1 || text.top < frame.top - 1) say('is clipped', element);
    }
    const under = behind(element);
    const found = contrast(over(rgba(getComputedStyle(element).color), under), under);
    if (found < 4.5) say('has a contrast of only ' + found.toFixed(2), element);
  }
  if (!texts) faults.push('shows no text');
  for (const link of document.querySelectorAll('a[href]')) {
    link.scrollIntoView({ block: 'center' });
    const box = [...link.getClientRects()].find(one => one.width > 2 && one.height > 2);
    const at = box && document.elementFromPoint(
      box.left + box.width / 2, box.top + box.height / 2);
    const isSeen = link.checkVisibility(
      { opacityProperty: true, visibilityProperty: true });
    if (!isSeen || !at || !link.contains(at) || !link.innerText.trim())
      say('is a link nobody sees', link);
  }
  window.scrollTo(0, 0);
  return faults;
}
"""


@dataclass
class Shown:
    """A page in the browser, and what it asked the network for: nothing, if all is well."""

    page: Page
    asked_for: list[str] = field(default_factory=list)

    def faults(self) -> list[str]:
        """What a reader would not see, or see badly."""
        return [
            *self.page.evaluate(_LOOK),
            *(f"asks the network for {url}" for url in self.asked_for),
        ]

    def picture(self) -> bytes:
        """All of it from top to bottom, as PNG."""
        return self.page.screenshot(full_page=True)


@contextmanager
def chromium() -> Iterator[Browser]:
    """A browser that ends with the block."""
    program = shutil.which("chromium")
    assert program is not None, "chromium is missing: make servers installs it"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=program, args=["--no-sandbox", "--force-color-profile=srgb"]
        )
        try:
            yield browser
        finally:
            browser.close()


@contextmanager
def shown(browser: Browser, page_source: str, width: int, scheme: Scheme) -> Iterator[Shown]:
    """The mail in a window of this width, for somebody who likes it light or dark."""
    context = browser.new_context(
        viewport={"width": width, "height": 800}, color_scheme=scheme, java_script_enabled=True
    )
    try:
        showing = Shown(context.new_page())

        def refuse(route: Route) -> None:
            showing.asked_for.append(route.request.url)
            route.abort()

        context.route("**/*", refuse)
        showing.page.set_content(page_source)
        yield showing
    finally:
        context.close()
