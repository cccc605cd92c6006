"""The first lines of a mail's text, for a person who decides: plain text, else HTML without marks.

One pass over at most the body that is read; nothing of HTML is followed, loaded or believed.
"""

from __future__ import annotations

import html
import re
from dataclasses import dataclass
from typing import Final

from mailbot.core.inbound_message import InboundMessage
from mailbot.core.reading.mime_parts import Part

MAX_LINE_CHARS: Final = 500
_TAG: Final = re.compile(r"</?([A-Za-z][A-Za-z0-9]{0,20})")
_WHITE_SPACE: Final = re.compile(r"\s+")
_NOT_SHOWN: Final = {
    name: re.compile(f"</{name}", re.IGNORECASE)
    for name in ("head", "script", "style", "template", "title")
}
_NEW_LINE: Final = frozenset({
    "blockquote", "br", "center", "dd", "div", "dl", "dt", "footer", "form", "h1", "h2", "h3", "h4",
    "h5", "h6", "header", "hr", "li", "ol", "p", "pre", "section", "table", "td", "th", "tr", "ul",
})  # fmt: skip


@dataclass(frozen=True, slots=True)
class FirstLines:
    """At most so many lines as were asked for, none of them blank twice; `has_more` follows."""

    lines: tuple[str, ...] = ()
    has_more: bool = False


def first_lines(message: InboundMessage, most: int) -> FirstLines:
    """What stands first in the mail's text; nothing where it has none, or was fetched without."""
    shown = [part for part in message.parts if not _is_attached(part)]
    for kind, read in (("text/plain", str.splitlines), ("text/html", _lines_of_html)):
        for part in shown:
            if part.content_type == kind and (found := _tidied(read(part.text), most)).lines:
                return found
    return FirstLines()


def _is_attached(part: Part) -> bool:
    return part.fields.first("content-disposition").strip().lower().startswith("attachment")


def _tidied(lines: list[str], most: int) -> FirstLines:
    """Without blank lines at the start and the end, and without two of them in a row."""
    kept: list[str] = []
    is_after_blank = False
    for line in lines:
        text = line.rstrip()
        if not text.strip():
            is_after_blank = bool(kept)
            continue
        room = most - len(kept) - is_after_blank
        if room <= 0:
            return FirstLines(tuple(kept), has_more=True)
        kept += [""] if is_after_blank else []
        kept.append(text[:MAX_LINE_CHARS])
        is_after_blank = False
    return FirstLines(tuple(kept))


def _lines_of_html(source: str) -> list[str]:
    """The text between the marks, a new line where a browser would begin one."""
    out: list[str] = []
    at = 0
    while (start := source.find("<", at)) >= 0:
        out.append(_WHITE_SPACE.sub(" ", source[at:start]))
        if source.startswith("<!--", start):
            end = source.find("-->", start + 4)
            at = len(source) if end < 0 else end + 3
            continue
        tag = _TAG.match(source, start)
        if tag is None and not source.startswith(("<!", "<?"), start):  # "2 < 3"
            out.append("<")
            at = start + 1
            continue
        end = source.find(">", start)
        if end < 0:
            at = len(source)
            break
        at = end + 1
        name = tag[1].lower() if tag else ""
        if name in _NEW_LINE:
            out.append("\n")
        elif name in _NOT_SHOWN and not source.startswith("</", start):
            close = _NOT_SHOWN[name].search(source, at)
            at = close.start() if close else len(source)
    out.append(_WHITE_SPACE.sub(" ", source[at:]))
    return [_WHITE_SPACE.sub(" ", line).strip() for line in html.unescape("".join(out)).split("\n")]
