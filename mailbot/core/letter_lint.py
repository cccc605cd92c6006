"""What is wrong with a letter's links, pictures, size and subject, as they are written.

Found in the template's source, so that each fault has its line. What a field puts in shows only
in a letter: `links_in` and `size_faults` take rendered ones as well.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator
from dataclasses import dataclass
from html.parser import HTMLParser
from typing import Final
from urllib.parse import urlsplit

from mailbot.core.inlining import unreadable_styles, why_not_inlined
from mailbot.core.preflight import Fault, Severity
from mailbot.core.template_fields import place_of
from mailbot.core.templates import Part, Template

LARGEST_SHOWN_WHOLE: Final = 102_000  # bytes of HTML that Gmail shows before it cuts
_LONGEST_SUBJECT: Final = 78  # characters: RFC 5322's line; most readers show fewer
_PHONE_SUBJECT: Final = 45
_MOST_MARKS: Final = 1
_MOST_CAPITALS: Final = 8  # a shop's name may be written so
_MARKUP: Final = re.compile(r"{{.*?}}|{%.*?%}|{#.*?#}", re.DOTALL)
_FIELD: Final = "\ue000"  # stands for what a field will put in: a letter of no alphabet
_TEXT_LINK: Final = re.compile(r"\b(?:https?|ftp)://[^\s<>\"')\]]+", re.IGNORECASE)
_WITHOUT_SCHEME: Final = re.compile(r"(?:www\.|[\w-]+\.(?:com|org|net|de|fr|es|it|nl|eu|co))\b")
_PLACEHOLDER: Final = re.compile(r"(?:.+\.)?example\.(?:com|org|net)")
_LOCAL: Final = re.compile(r"(?:.+\.)?(?:localhost|local|internal|intranet|lan|home\.arpa)")
_FOR_TRYING: Final = re.compile(r".+\.(?:example|test|invalid)")  # RFC 6761
_STYLE_SHEET: Final = re.compile(r"<link\b[^>]*\bstylesheet\b|@import\b", re.IGNORECASE)
_OPENED: Final = {"a": "href", "area": "href", "img": "src"}


@dataclass(frozen=True, slots=True)
class Link:
    """What an `href` or `src` holds, or a URL in a text; `line` counts from 1."""

    target: str
    line: int
    tag: str = ""  # "" in a text
    alt: str | None = None  # of an <img>


def link_faults(template: Template) -> list[Fault]:
    """Links that lead nowhere, each with its line; the same warning stands there once."""
    found: list[Fault] = []
    told: set[str] = set()
    for place, link in _every_link(template):
        if link.tag == "img" and link.target.startswith("data:"):
            continue  # a picture's fault
        wrong = _wrong_with(link)
        if wrong is not None:
            severity, what, next_step = wrong
            if severity is Severity.WARNING and what in told:
                continue
            told.add(what)
            found.append(Fault(severity, f"{place}, line {link.line}", what, next_step))
    return found


def picture_faults(template: Template) -> list[Fault]:
    """Pictures that many readers do not show, and those without words in their place."""
    found = []
    for place, link in _every_link(template):
        if link.tag != "img":
            continue
        where = f"{place}, line {link.line}"
        if link.target.startswith("data:"):
            what = f"a picture is written into the letter ({len(link.target):,} characters)."
            advice = (
                "Gmail and Outlook show none: put it on your website and name its https address."
            )
            found.append(_warning(where, what, advice))
        if link.alt is None:
            what = "a picture has no alt text."
            advice = 'Say what it shows: alt="…", or alt="" where it only decorates.'
            found.append(_warning(where, what, advice))
    return found


def subject_style_faults(template: Template) -> list[Fault]:
    """A subject that is cut off, shouts or begs."""
    where, shown = place_of(template.name, "subject"), _plain(template.subject.source)
    letters = [char for char in shown if char.isalpha() and char != _FIELD]
    found = []
    if len(shown) > _LONGEST_SUBJECT:
        what = f"the subject has {len(shown)} characters."
        advice = f"Readers cut it off; a phone shows about {_PHONE_SUBJECT}."
        found.append(_warning(where, what, advice))
    capitals = sum(char.isupper() for char in letters)
    if capitals > _MOST_CAPITALS and not any(char.islower() for char in letters):
        advice = "Write it in small letters: spam filters count this."
        found.append(_warning(where, "the subject is all capitals.", advice))
    if shown.count("!") > _MOST_MARKS:
        advice = "Leave one at most: spam filters count them."
        found.append(_warning(where, "the subject has several exclamation marks.", advice))
    return found


def style_faults(template: Template) -> list[Fault]:
    """CSS that mail programs do not read, each with its line."""
    if template.html is None:
        return []
    place, source = place_of(template.name, "html"), template.html.source
    found = []
    left = why_not_inlined(source)
    if left is not None:
        line, why = left
        what = f"the CSS stays in <style> and is not inlined: {why}."
        advice = "Many mail programs read it there; for the others write style=… into the tags."
        found.append(_warning(f"{place}, line {line}", what, advice))
    for number in unreadable_styles(source):
        what = "the style of a tag is no CSS."
        found.append(_warning(f"{place}, line {number}", what, 'Write it like style="color: red".'))
    for number, line_text in enumerate(_plain(source).split("\n"), 1):
        if _STYLE_SHEET.search(line_text):
            what = "a style sheet that stands elsewhere is read by no mail program."
            found.append(_warning(f"{place}, line {number}", what, "Put its CSS into <style>."))
    return found


def size_fault(name: str, html: str | None) -> Fault | None:
    """An HTML part, rendered, that Gmail cuts off: the way out at its end is then not seen."""
    size = len((html or "").encode())
    if size <= LARGEST_SHOWN_WHOLE:
        return None
    return _warning(
        place_of(name, "html"),
        f"the HTML has {size:,} bytes; Gmail cuts it off at {LARGEST_SHOWN_WHOLE:,}.",
        "Make it shorter: what is cut off is its end, with the way out.",
    )


def links_in(source: str) -> list[Link]:
    """Every link and picture of an HTML source, in its order. Never raises."""
    reader = _Links()
    reader.feed(source)
    reader.close()
    return reader.found


class _Links(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.found: list[Link] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        name = _OPENED.get(tag)
        values = {key: value or "" for key, value in reversed(attrs)}  # the first of two counts
        if name is None or (tag == "a" and name not in values):
            return  # <a name=…> is a place, not a link
        target = values.get(name, "").strip()
        self.found.append(Link(target, self.getpos()[0], tag, values.get("alt")))


def _every_link(template: Template) -> Iterator[tuple[str, Link]]:
    if template.html is not None:
        place = place_of(template.name, "html")
        for link in links_in(_plain(template.html.source)):
            yield place, link
    yield from ((place_of(template.name, "text"), link) for link in _text_links(template.text))


def _text_links(part: Part) -> Iterator[Link]:
    for number, line in enumerate(_plain(part.source).split("\n"), part.skipped_lines + 1):
        for found in _TEXT_LINK.finditer(line):
            yield Link(found[0].rstrip(".,;:!?"), number)


def _plain(source: str) -> str:
    """The source with a mark for each field or tag of the template; lines stay where they are."""
    return _MARKUP.sub(lambda tag: _FIELD + "\n" * tag[0].count("\n"), source)


_Wrong = tuple[Severity, str, str]  # how bad, what, what to do


def _wrong_with(link: Link) -> _Wrong | None:
    """What is wrong with a target; None where nothing is seen."""
    target = link.target
    thing = "picture" if link.tag == "img" else "link"
    if not target or target == "#":
        return _error(f"a {thing} leads nowhere.", "Write its address, like https://…")
    if target.startswith(_FIELD):
        return None  # the field holds all of it
    scheme, colon, rest = target.partition(":")
    scheme = scheme.lower() if colon and scheme.isalnum() else ""
    shown = target.replace(_FIELD, "…")[:80]
    if scheme in ("mailto", "tel", "sms", "cid"):
        return None if rest.strip() else _error(f"“{shown}” names nobody.", "Write whom.")
    if scheme in ("javascript", "vbscript", "data", "file"):
        return _error(f"“{shown}” opens in no mail program.", "Write an https address.")
    if scheme in ("http", "https"):
        return _wrong_with_host(target, shown, scheme)
    if _WITHOUT_SCHEME.match(target):
        return _error(f"“{shown}” lacks https:// in front.", f"Write https://{shown}")
    what = f"“{shown}” is no whole address: a mail has no page that it could stand on."
    return _error(what, f"Write the {thing}'s whole address, with https:// and host.")


def _wrong_with_host(target: str, shown: str, scheme: str) -> _Wrong | None:
    try:
        host = (urlsplit(target).hostname or "").rstrip(".")
    except ValueError:
        host = ""
    if _FIELD in host:
        return None
    if not host or " " in target:
        return _error(f"“{shown}” names no host.", "Write it like https://www.yourshop.com/teas")
    if _PLACEHOLDER.fullmatch(host):
        return _error(f"“{shown}” leads to “{host}”, a placeholder.", "Write your own host.")
    if _is_private(host) or "." not in host or _LOCAL.fullmatch(host):
        return _error(f"“{shown}” leads where no customer comes.", "Write a public address.")
    if _FOR_TRYING.fullmatch(host):
        what = f"a link leads to “{host}”, which nobody can reach."
        return Severity.WARNING, what, "Fine to try mailbot with; else write your own host."
    if scheme == "http":
        return Severity.WARNING, f"“{shown}” is not encrypted.", "Write https:// if it has that."
    return None


def _is_private(host: str) -> bool:
    try:
        return not ipaddress.ip_address(host).is_global
    except ValueError:
        return False


def _error(what: str, next_step: str) -> _Wrong:
    return Severity.ERROR, what, next_step


def _warning(where: str, what: str, next_step: str) -> Fault:
    return Fault(Severity.WARNING, where, what, next_step)
