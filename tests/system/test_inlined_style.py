"""A letter looks the same after its CSS was inlined, also where a mail program drops `<style>`."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser

from mailbot.core.inlining import inline_css
from tests.pictures.browser import chromium, shown
from tests.pictures.mails import EXAMPLES

TRICKY = """<html><head><style>
body { font: 14px/1.4 Georgia, serif; color: #222 }
table.teas td, .card > p { padding: 4px 8px; border-bottom: 1px solid #ccc }
.card p.small { font-size: 11px; color: #555 }
p.small { color: red }
#main h1 { margin: 0 !important; font-family: "Arial Black", sans-serif }
a[href^="https"] { color: rgb(10, 80, 60) !important }
.card { background: #fafafa; width: 300px }
</style></head><body><div id="main" class="card"><h1 style="margin: 9px">Teas &amp; more</h1>
<p class="small" style="font-size: 12px">small</p><div><p class="small">deeper</p></div>
<table class="teas"><tr><td>Assam<td align="right">4 €</tr></table>
<p><a href="https://shop.example/" style="color: blue">Shop</a></p></div></body></html>"""

LOOK = """() => Array.from(document.body.querySelectorAll('*')).map(element => {
  const style = getComputedStyle(element), seen = {};
  for (const name of ['color', 'background-color', 'font-family', 'font-size', 'font-weight',
      'line-height', 'text-align', 'text-decoration-line', 'padding-left', 'padding-top',
      'margin-top', 'margin-left', 'border-bottom-width', 'border-radius', 'width', 'display'])
    seen[name] = style.getPropertyValue(name);
  return [element.tagName, seen];
})"""

LETTERS = {"tricky": TRICKY, "spring": Path(EXAMPLES / "spring.html").read_text("utf-8")}


@pytest.mark.parametrize("name", LETTERS)
def test_every_tag_is_shown_as_before_with_the_style_sheet_and_without(name: str) -> None:
    source = LETTERS[name]
    inlined = inline_css(name, source)
    assert inlined.count("style=") > source.count("style=")
    sheets = re.compile(r"<style.*?</style>", re.DOTALL)
    with chromium() as browser:
        before = look(browser, source)
        assert len(before) > 5
        assert look(browser, inlined) == before
        assert look(browser, sheets.sub("", inlined)) == before, "as where <style> is dropped"


def test_the_look_notices_a_style_sheet_that_is_gone() -> None:
    with chromium() as browser:
        without = re.sub(r"<style.*?</style>", "", TRICKY, flags=re.DOTALL)
        assert look(browser, without) != look(browser, TRICKY)


def look(browser: Browser, source: str) -> list[Any]:
    with shown(browser, source, 700, "light") as page:
        found: list[Any] = page.page.evaluate(LOOK)
        return found
