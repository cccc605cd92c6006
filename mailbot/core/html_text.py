"""What a reader sees of a letter's HTML, as plain lines: for a preview on a terminal."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from typing import Final

_BLOCKS: Final = frozenset({
    "address", "article", "blockquote", "center", "dd", "div", "dl", "dt", "footer", "form", "h1",
    "h2", "h3", "h4", "h5", "h6", "header", "hr", "main", "ol", "p", "pre", "section", "table",
    "tr", "ul",
})  # fmt: skip
_APART: Final = frozenset({"h1", "h2", "h3", "h4", "h5", "h6", "p", "table", "ul", "ol", "hr"})
_UNSEEN: Final = frozenset({"head", "script", "style", "title", "template"})
_BLANKS: Final = re.compile(r"[ \t\r\n\f]+")
_HIDDEN: Final = re.compile(r"display\s*:\s*none|mso-hide\s*:\s*all", re.IGNORECASE)
_VOID: Final = frozenset({"br", "hr", "img", "input", "link", "meta", "col", "area", "wbr", "base"})


def text_of_html(html: str) -> str:
    """Its words in reading order: a block a line, links with their target, pictures as their alt.

    Never raises; ends in a line break unless there is nothing to see.
    """
    reader = _Reader()
    reader.feed(html)
    reader.close()
    return reader.text()


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self._lines: list[str] = [""]
        self._links: list[tuple[str, int, int]] = []  # target; line and column of its label
        self._hidden: list[str] = []  # the tags within the one that hides what it holds

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in reversed(attrs)}
        if self._hidden:
            if tag not in _VOID:
                self._hidden.append(tag)
            return
        is_hidden = tag in _UNSEEN or _HIDDEN.search(values.get("style", "")) is not None
        if is_hidden and tag not in _VOID:
            self._hidden.append(tag)
        elif tag == "br":
            self._lines.append("")
        elif tag in _BLOCKS:
            self._break(is_apart=tag in _APART)
        elif tag == "li":
            self._break()
            self._say("• ")
        elif tag in ("td", "th"):
            self._say(" " if self._lines[-1] else "")
        elif tag == "img" and not is_hidden:
            self._say(f"[{values['alt']}]" if values.get("alt") else "")
        elif tag == "a":
            target = values.get("href", "").strip()
            self._links.append((target, len(self._lines) - 1, len(self._lines[-1])))

    def handle_endtag(self, tag: str) -> None:
        if self._hidden:
            if tag in self._hidden:
                del self._hidden[len(self._hidden) - 1 - self._hidden[::-1].index(tag) :]
            return
        if tag in _BLOCKS:
            self._break(is_apart=tag in _APART)
        elif tag == "li":
            self._break()
        elif tag == "a" and self._links:
            target, line, column = self._links.pop()
            label = " ".join([self._lines[line][column:], *self._lines[line + 1 :]]).strip()
            if target.lower().startswith("mailto:"):
                target = target[7:].partition("?")[0]
            if target and not target.startswith("#") and label and label != target:
                self._say(f" <{target}>")

    def handle_data(self, data: str) -> None:
        if not self._hidden:
            self._say(_BLANKS.sub(" ", data))

    def text(self) -> str:
        lines = [line.strip() for line in self._lines]
        kept = [line for at, line in enumerate(lines) if line or (at and lines[at - 1])]
        whole = "\n".join(kept).strip("\n")
        return whole + "\n" if whole else ""

    def _say(self, words: str) -> None:
        if not self._lines[-1]:
            words = words.lstrip(" ")
        self._lines[-1] += words

    def _break(self, *, is_apart: bool = False) -> None:
        if self._lines[-1].strip():
            self._lines.append("")
        if is_apart and len(self._lines) > 1 and self._lines[-2].strip():
            self._lines.append("")
