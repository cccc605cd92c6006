"""A text part made from an HTML template, as a template: its fields and tags stay Jinja's.

Made once, when a letter comes without a text; a person can read it, and write a better one.
"""

from __future__ import annotations

import re
import textwrap
from typing import Final

from mailbot.core.html_text import text_of_html

_JINJA: Final = re.compile(r"{{.*?}}|{%.*?%}|{#.*?#}", re.DOTALL)
_FIRST: Final = 0xF0000  # a letter of no alphabet for each tag: a plane of Unicode for private use
_LAST: Final = 0xFFFFD
_HIDDEN: Final = re.compile(f"[{chr(_FIRST)}-{chr(_LAST)}]")
_WIDTH: Final = 72


def text_template_of(html_source: str) -> str:
    """The words of an HTML template as a text template; "" where it shows none.

    Paragraphs of up to 72 columns (a field counts as one), links as `words <target>`, lists with
    “•”, pictures as their alt text. A tag like `{% for %}` stays where it stood.
    """
    tags: dict[str, str] = {}  # what stands for each; a link and its label may be the same tag

    def hide(tag: re.Match[str]) -> str:
        if tag[0].startswith("{#") or _FIRST + len(tags) > _LAST:
            return ""
        return tags.setdefault(tag[0], chr(_FIRST + len(tags)))

    written = text_of_html(_JINJA.sub(hide, html_source))
    if not _says_something(written, tags):
        return ""
    lines = [line for paragraph in written.split("\n") for line in _wrapped(paragraph)]
    shown = {mark: tag for tag, mark in tags.items()}
    return _HIDDEN.sub(lambda mark: shown.get(mark[0], ""), "\n".join(lines))


def _says_something(written: str, tags: dict[str, str]) -> bool:
    """Whether a word or a field is left; `{% if %}` by itself says nothing."""
    fields = {mark for tag, mark in tags.items() if tag.startswith("{{")}
    return any(char.isalnum() or char in fields for char in written)


def _wrapped(paragraph: str) -> list[str]:
    """Links and long words stay whole; a list's second line stands under its first."""
    indent = "  " if paragraph.startswith("• ") else ""
    return textwrap.wrap(
        paragraph,
        _WIDTH,
        subsequent_indent=indent,
        break_long_words=False,
        break_on_hyphens=False,
    ) or [""]
