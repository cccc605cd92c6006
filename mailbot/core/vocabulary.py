"""The words that ask for an end of offers, and where in a subject each counts. Words are data.

Matching folds what mail software and keyboards change: width and ligatures (NFKC), case, the
Turkish i, invisible characters. The compiled patterns are alternations of plain forms: linear.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from mailbot.core.errors import InputError

MAX_FORM_CHARS: Final = 80
_MAX_FOLDED_CHARS: Final = 4096  # NFKC can make one character eighteen
_TURKISH_I: Final = {0x130: "i", 0x131: "i"}
# Soft hyphen, zero-width characters, direction marks, variation selectors.
_INVISIBLE: Final = re.compile(
    "[\u00ad\u034f\u061c\u180e\u200b-\u200f\u202a-\u202e\u2060-\u2064\u2066-\u2069\ufe00-\ufe0f\ufeff]"
)
_NOT_WORD_BEFORE: Final = r"(?<![^\W_])"
_NOT_WORD_AFTER: Final = r"(?![^\W_])"


class Where(StrEnum):
    """What part of the subject the form has to be."""

    ANYWHERE = "anywhere"
    WHOLE_SUBJECT = "whole_subject"


class Boundary(StrEnum):
    """What has to stand around the form; `substring` for scripts that write no spaces."""

    WORD = "word"
    SUBSTRING = "substring"


@dataclass(frozen=True, slots=True)
class Entry:
    """One form in one language."""

    language: str
    form: str
    where: Where = Where.ANYWHERE
    boundary: Boundary = Boundary.WORD

    def __post_init__(self) -> None:
        if not 2 <= len(fold(self.form)) <= MAX_FORM_CHARS:
            raise InputError(
                f"The form {self.form[:20]!r} cannot be a word of the vocabulary.",
                next_step=f"Write 2 to {MAX_FORM_CHARS} characters.",
            )


@dataclass(frozen=True, slots=True)
class Hit:
    """A form that stands in a subject; `text` is the folded subject it was found in."""

    text: str
    start: int
    end: int
    is_whole: bool


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """Every entry, compiled once."""

    entries: tuple[Entry, ...]
    _anywhere: re.Pattern[str] | None = field(init=False, repr=False, compare=False)
    _whole: frozenset[str] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        anywhere = [entry for entry in self.entries if entry.where is Where.ANYWHERE]
        words = _alternation(entry for entry in anywhere if entry.boundary is Boundary.WORD)
        inside = _alternation(entry for entry in anywhere if entry.boundary is Boundary.SUBSTRING)
        bounded = f"{_NOT_WORD_BEFORE}(?:{words}){_NOT_WORD_AFTER}" if words else ""
        pattern = "|".join(filter(None, (bounded, inside)))
        object.__setattr__(self, "_anywhere", re.compile(pattern) if pattern else None)
        object.__setattr__(self, "_whole", frozenset(fold(e.form) for e in self.entries))

    def find(self, subject: str) -> Hit | None:
        """The first form in the subject, in its folded text; None where there is none."""
        for text in _readings(subject):
            bare = _bare(text)
            if bare in self._whole:
                start = text.find(bare)
                return Hit(text, start, start + len(bare), is_whole=True)
            match = self._anywhere.search(text) if self._anywhere else None
            if match:
                return Hit(text, match.start(), match.end(), is_whole=False)
        return None


def fold(text: str) -> str:
    """Two spellings that a reader takes for the same: equal. White space collapsed."""
    if not text.isascii():
        text = unicodedata.normalize("NFKC", text).translate(_TURKISH_I)
    return " ".join(text.casefold().split())[:_MAX_FOLDED_CHARS]


def _readings(subject: str) -> tuple[str, ...]:
    """Invisible characters may stand inside a word or between two: both readings."""
    if subject.isascii() or not _INVISIBLE.search(subject):
        return (fold(subject),)
    return fold(_INVISIBLE.sub("", subject)), fold(_INVISIBLE.sub(" ", subject))


def _bare(text: str) -> str:
    """Without the punctuation around it."""
    start, end = 0, len(text)
    while start < end and not text[start].isalnum():
        start += 1
    while end > start and not text[end - 1].isalnum():
        end -= 1
    return text[start:end]


def _alternation(entries: Iterable[Entry]) -> str:
    forms = {fold(entry.form) for entry in entries}
    return "|".join(re.escape(form) for form in sorted(forms, key=lambda form: (-len(form), form)))


# What the policy promises; everything else is an addition of the data file.
THE_WORD: Final = Vocabulary((Entry("en", "unsubscribe"),))
