"""The CSS of a letter's `<style>`, written into each tag's `style`, as mail programs want it.

css-inline works out what applies to which tag; only those attributes are then written into the
source. All else in it stays as it stands, letter for letter: Jinja's tags, and the lines that
errors name.
"""

from __future__ import annotations

import html
import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from html.parser import HTMLParser
from itertools import accumulate
from typing import Final

import css_inline

from mailbot.core.errors import TemplateError

MAX_INLINED_CHARS: Final = 1024 * 1024
_MOST_COMPARISONS: Final = 3_000_000  # tags times rules: half a second

_JINJA: Final = re.compile(r"{{.*?}}|{%.*?%}|{#.*?#}", re.DOTALL)
_STATEMENT: Final = "{%"
_MARK: Final = "\ue000"  # stands for each character of a Jinja tag: a letter of no alphabet
_NUMBER: Final = "data-mailbot-tag"
_OPEN: Final = "data-mailbot-open"
_BY_POSITION: Final = re.compile(r":(?:nth|first|last|only)-|:empty\b|[+~]")
_NO_SELECTOR: Final = re.compile(r"/\*.*?\*/|\{[^{}]*\}|\[[^\]]*\]", re.DOTALL)
_IGNORE: Final = re.compile(r"""\bdata-css-inline\s*=\s*["']?ignore""", re.IGNORECASE)
_ATTRIBUTE: Final = re.compile(
    r"""(?P<blank>[\s/]+)(?P<name>[^\s/>"'=]+)(?:\s*=\s*(?P<value>"[^"]*"|'[^']*'|[^\s>"']+))?"""
)
_STYLED_BY: Final = frozenset({"class", "id", "style"})
_VOID: Final = frozenset({
    "area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "param", "source",
    "track", "wbr",
})  # fmt: skip
# Tags that show nothing: what CSS says of them is of no use to a reader.
_UNSEEN: Final = frozenset({"head", "link", "meta", "script", "style", "title"})
_NEVER_READ: Final = frozenset({"link"})  # a stylesheet elsewhere: no letter may fetch one

_INLINER: Final = css_inline.CSSInliner(load_remote_stylesheets=False)


@dataclass(frozen=True, slots=True)
class _Tag:
    """A start tag: where it stands in the source, and its text with Jinja's tags marked."""

    name: str
    start: int
    text: str
    is_open: bool  # a field decides what applies to it
    are_inner_open: bool  # and to what stands within it, since it may be called anything

    @property
    def after_name(self) -> int:
        """Where its attributes begin, counted from the source's start."""
        return self.start + 1 + len(self.name)


def inline_css(name: str, source: str) -> str:
    """The HTML template with its CSS inlined; `<style>` stays, for what cannot be inlined.

    Left as they are: a tag with `data-css-inline="ignore"`; one whose style or attributes a field
    makes, or whose style is no CSS; one whose class or id a field makes, with all within it; and
    everything where `why_not_inlined` says so. Lines keep their numbers. Raises TemplateError
    naming `name`: there is too much of it, or it cannot be read.
    """
    reader = _read(source)
    if not reader.rules or reader.left_alone is not None:
        return source
    if len(reader.tags) * reader.rules > _MOST_COMPARISONS:
        raise TemplateError(
            f"has {len(reader.tags):,} tags and {reader.rules:,} rules of CSS: too many to inline.",
            where=name,
            next_step='Write fewer, or <style data-css-inline="ignore">.',
        )
    pieces, at = [], 0
    for tag, style in zip(reader.tags, _styles(name, source, reader), strict=True):
        if style is None:
            continue
        start, end = _old_style(tag)
        pieces += [source[at:start], f' style="{style}"']
        at = end
    inlined = "".join([*pieces, source[at:]])
    if len(inlined) > MAX_INLINED_CHARS:
        raise TemplateError(
            f"has {len(inlined):,} characters with its CSS inlined.",
            where=name,
            next_step=f"It may have {MAX_INLINED_CHARS:,}: write fewer rules, or simpler ones.",
        )
    return inlined


def why_not_inlined(source: str) -> tuple[int, str] | None:
    """The line in `<style>` (from 1) for which no CSS is inlined at all, and why; None if it is."""
    return _read(source).left_alone


def unreadable_styles(source: str) -> list[int]:
    """The lines of tags whose own `style` is no CSS: nothing more is written into those."""
    reader = _read(source)
    return [source.count("\n", 0, reader.tags[at].start) + 1 for at in _unreadable(reader)]


def _read(source: str) -> _Reader:
    reader = _Reader(source)
    reader.feed(_JINJA.sub(_marked, source))
    reader.close()
    return reader


def _marked(tag: re.Match[str]) -> str:
    """As long as the tag, and with its line ends: what follows keeps line and column."""
    return re.sub(r"[^\n]", _MARK, tag[0])


class _Reader(HTMLParser):
    """Every start tag in its order, where each style sheet stands, and how many rules there are."""

    def __init__(self, source: str) -> None:
        super().__init__(convert_charrefs=False)
        lengths = [len(line) + 1 for line in source.split("\n")]
        self._line_starts = [0, *accumulate(lengths)]
        self._source = source
        self._within = ""
        self.tags: list[_Tag] = []
        self.sheets: list[tuple[int, int]] = []  # start and end of what stands within <style>
        self.rules = 0
        self.left_alone: tuple[int, str] | None = None
        self._has_statements = _STATEMENT in source

    def _here(self) -> int:
        line, column = self.getpos()
        return self._line_starts[line - 1] + column

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        text = self.get_starttag_text() or ""
        start = self._here()
        written = self._source[start : start + len(text)]
        has_statement = _STATEMENT in written
        made = {name for name, value in attrs if _MARK in name + (value or "")}
        has_name_made = any(_MARK in name for name in made)
        is_open = has_statement or has_name_made or not made.isdisjoint(_STYLED_BY)
        are_inner_open = is_open and made != {"style"}
        self.tags.append(_Tag(tag, start, text, is_open, are_inner_open))
        self._within = tag

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        self._within = ""

    def handle_endtag(self, tag: str) -> None:  # noqa: ARG002  HTMLParser calls it with it
        self._within = ""

    def handle_data(self, data: str) -> None:
        if self._within != "style" or _IGNORE.search(self.tags[-1].text):
            return
        start = self._here()
        self.sheets.append((start, start + len(data)))
        self.rules += data.count("{")
        if self.left_alone is None:
            self.left_alone = self._reason_to_leave(start, data)

    def _reason_to_leave(self, start: int, css: str) -> tuple[int, str] | None:
        statement = self._source.find(_STATEMENT, start, start + len(css))
        if statement >= 0:
            return self._line_of(statement), "a tag {% … %} decides about CSS here"
        if self._has_statements and (found := _BY_POSITION.search(_selectors(css))):
            why = f"“{found[0].strip()}” counts tags, and {{% … %}} changes how many there are"
            return self._line_of(start + found.start()), why
        return None

    def _line_of(self, at: int) -> int:
        return self._source.count("\n", 0, at) + 1


def _selectors(css: str) -> str:
    """As long as the CSS, with blanks for all but its selectors."""
    return _NO_SELECTOR.sub(lambda found: re.sub(r"[^\n]", " ", found[0]), css)


@dataclass(slots=True)
class _Fields:
    """Fields within CSS, each under a name that CSS can read, and back."""

    tags: list[str] = field(default_factory=list)

    def hide(self, css: str) -> str:
        def name_of(tag: re.Match[str]) -> str:
            if tag[0].startswith("{#"):
                return ""
            self.tags.append(tag[0])
            return f"mailbot-field-{len(self.tags)}-"

        return _JINJA.sub(name_of, css)

    def show(self, css: str) -> str:
        return re.sub(r"mailbot-field-(\d+)-", lambda name: self.tags[int(name[1]) - 1], css)


def _styles(name: str, source: str, reader: _Reader) -> Iterator[str | None]:
    """For each tag what its `style` is to be, ready to be written; None where it stays as it is."""
    fields, unreadable = _Fields(), frozenset[int]()
    try:
        inlined = _INLINER.inline(_numbered(source, reader, fields, unreadable))
    except css_inline.InlineError:
        fields, unreadable = _Fields(), frozenset(_unreadable(reader))
        try:
            inlined = _INLINER.inline(_numbered(source, reader, fields, unreadable))
        except css_inline.InlineError as error:
            raise TemplateError(f"its CSS cannot be read ({error}).", where=name) from error
    collector = _Collector()
    collector.feed(inlined)
    collector.close()
    for number, tag in enumerate(reader.tags):
        style = collector.styles.get(number)
        if style is None or tag.is_open or tag.name in _UNSEEN or number in unreadable:
            yield None
        else:
            yield fields.show(html.escape(style, quote=False).replace('"', "&quot;"))


def _numbered(source: str, reader: _Reader, fields: _Fields, unreadable: Collection[int]) -> str:
    """The document for css-inline: each tag numbered, fields hidden, nothing to fetch."""
    changes: list[tuple[int, int, str]] = [
        (start, end, fields.hide(source[start:end])) for start, end in reader.sheets
    ]
    for number, tag in enumerate(reader.tags):
        end = tag.start + len(tag.text)
        if tag.name in _NEVER_READ:
            changes.append((tag.start, end, ""))
            continue
        text = tag.text
        if tag.is_open or number in unreadable:  # css-inline could not read a field in its style
            style_from, style_to = _old_style(tag)
            text = text[: style_from - tag.start] + text[style_to - tag.start :]
        mark = f' {_NUMBER}="{number}"' + (f" {_OPEN}" if tag.are_inner_open else "")
        changes.append((tag.start, end, f"<{tag.name}{mark}{text[1 + len(tag.name) :]}"))
    pieces, at = [], 0
    for start, end, instead in sorted(changes):
        pieces += [_JINJA.sub(_marked, source[at:start]), instead]
        at = end
    return "".join([*pieces, _JINJA.sub(_marked, source[at:])])


def _unreadable(reader: _Reader) -> Iterator[int]:
    """The tags, by their number, whose own `style` is no CSS."""
    for number, tag in enumerate(reader.tags):
        style_from, style_to = _old_style(tag)
        if style_from == style_to or tag.is_open:
            continue
        style = tag.text[style_from - tag.start : style_to - tag.start]
        try:
            _INLINER.inline(f"<style>p{{a:b}}</style><p{style}>")
        except css_inline.InlineError:
            yield number


class _Collector(HTMLParser):
    """The `style` of each numbered tag that stands in no open one; reads what css-inline wrote."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.styles: dict[int, str] = {}
        self._depth = 0  # of tags, from the outermost open one

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(reversed(attrs))
        number, style = values.get(_NUMBER), values.get("style")
        if number and number.isdigit() and style and not self._depth:
            self.styles[int(number)] = style.rstrip("; ")
        if tag not in _VOID and (self._depth or _OPEN in values):
            self._depth += 1

    def handle_endtag(self, tag: str) -> None:  # noqa: ARG002  as above
        self._depth = max(0, self._depth - 1)


def _old_style(tag: _Tag) -> tuple[int, int]:
    """Where its `style` attribute stands in the source; an empty place behind its name if none."""
    for found in _ATTRIBUTE.finditer(tag.text, 1 + len(tag.name)):
        if found["name"].lower() == "style":
            return tag.start + found.start(), tag.start + found.end()
    return tag.after_name, tag.after_name
