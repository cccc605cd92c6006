"""The words that ask for an end of offers, and where in a subject each counts. Words are data.

A subject is folded to what a reader sees (width, case, accents, invisible characters) and cut into
words; a form is a row of words. Looking up is one pass over the subject's words: linear.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from mailbot.core.errors import InputError
from mailbot.core.folding import plain, readings
from mailbot.core.misspellings import is_nearly_the_word, is_one_edit
from mailbot.core.subject_prefixes import end_of_prefixes

MAX_FORM_CHARS: Final = 80
_MAX_GAP_CHARS: Final = 60  # between a form and its object
_LONG: Final = 10  # letters of a form whose misspelling is still told from other words
_WORD: Final = re.compile(r"[^\W_]+")


class Where(StrEnum):
    """What part of the subject the form has to be."""

    ANYWHERE = "anywhere"
    BEGINNING = "beginning"  # after courtesies, and what answering puts before it
    WHOLE_SUBJECT = "whole_subject"  # but for the same
    WITH_OBJECT = "with_object"  # beside one of the entry's objects


class Boundary(StrEnum):
    """What has to stand around the form; `substring` for scripts that write no spaces."""

    WORD = "word"
    SUBSTRING = "substring"


@dataclass(frozen=True, slots=True)
class Entry:
    """Forms of one language that count alike.

    A word that ends in `*` stands for every word that starts so, among `objects` and `unless` one
    between two stars for every word that it is part of. `objects` belong to WITH_OBJECT.
    Where one of `unless` stands in the subject as well, the entry does not count. An entry that is
    not certain says that a person should decide.
    """

    language: str
    forms: tuple[str, ...]
    where: Where = Where.ANYWHERE
    boundary: Boundary = Boundary.WORD
    objects: tuple[str, ...] = ()
    unless: tuple[str, ...] = ()
    is_certain: bool = True

    def __post_init__(self) -> None:
        least = 1 if self.where is Where.WHOLE_SUBJECT else 2
        for form in self.forms:
            if (
                form.startswith("*")
                or not least <= len(plain(form.replace("*", ""))) <= MAX_FORM_CHARS
            ):
                raise InputError(
                    f"The form {form[:20]!r} cannot be a word of the vocabulary.",
                    next_step=f"Write {least} to {MAX_FORM_CHARS} characters.",
                )
        if not self.forms:
            raise InputError("The entry has no form.", next_step='Write form = "…".')
        if bool(self.objects) != (self.where is Where.WITH_OBJECT):
            raise InputError(
                "Objects go with where = with_object, and only with it.",
                next_step='Write objects = ["newsletter"], or another where.',
            )


@dataclass(frozen=True, slots=True)
class Hit:
    """A form that stands in a subject; `text` is the folded subject it was found in.

    `is_whole`: the subject is the form and nothing else, not even a "Re:". `is_alone`: but for
    courtesies and prefixes. `is_certain` False: it may ask, or not.
    """

    text: str
    start: int
    end: int
    is_whole: bool
    is_alone: bool = False
    is_certain: bool = True


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """Every entry, in an index by its first word. `courtesies` may stand around a whole subject.

    `misspellings` ask where nothing else stands there; `come_back` is the opposite wish;
    `refusals` hold a word and say that it is not meant; `robots` is how machines speak of it.
    """

    entries: tuple[Entry, ...]
    courtesies: tuple[str, ...] = ()
    misspellings: tuple[str, ...] = ()
    come_back: tuple[Entry, ...] = ()
    refusals: tuple[Entry, ...] = ()
    robots: tuple[Entry, ...] = ()
    _index: Index = field(init=False, repr=False, compare=False)
    _come_back: Index = field(init=False, repr=False, compare=False)
    _refusals: Index = field(init=False, repr=False, compare=False)
    _robots: Index = field(init=False, repr=False, compare=False)
    _misspelt: frozenset[str] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        polite = frozenset(_words_of(form) for form in self.courtesies)
        object.__setattr__(self, "_index", Index(self.entries, polite))
        object.__setattr__(self, "_come_back", Index(self.come_back, polite))
        object.__setattr__(self, "_refusals", Index(self.refusals, polite))
        object.__setattr__(self, "_robots", Index(self.robots, polite))
        misspelt = frozenset("".join(_words_of(form)) for form in self.misspellings)
        object.__setattr__(self, "_misspelt", misspelt)

    def find(self, subject: str) -> Hit | None:
        """The first certain form in the subject, else the first uncertain one; None without one."""
        return self._index.find(subject)

    def find_come_back(self, subject: str) -> Hit | None:
        """The same for the wish to get offers again."""
        return self._come_back.find(subject)

    def refuses(self, subject: str) -> bool:
        """Whether the subject says that it is not wanted, or was a mistake."""
        return self._refusals.find(subject) is not None

    def sounds_like_a_robot(self, subject: str) -> bool:
        """Whether the subject reads like a machine's answer to somebody's request."""
        return self._robots.find(subject) is not None

    def is_misspelling(self, word: str) -> bool:
        """Whether this (folded) word is a listed misspelling, or the promised one but for typos."""
        return word in self._misspelt or is_nearly_the_word(word)

    def is_typo_of_a_form(self, word: str) -> bool:
        """Whether one typing error makes this word of a long form, and none of a form to come back.

        Long ones only: "Anmeldung" is one letter from "Abmeldung", and its opposite.
        """
        if len(word) < _LONG - 1 or any(is_one_edit(word, one) for one in self._come_back.words):
            return False
        return any(is_one_edit(word, one) for one in self._index.words if len(one) >= _LONG)

    def core_of(self, subject: str) -> tuple[str, ...]:
        """The subject's words without prefixes and courtesies: what is left to say something."""
        return self._index.core_of(subject)


_Words = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Span:
    start: int
    end: int


class Index:
    """Entries by the first word of their forms. Made once, asked for each mail."""

    __slots__ = (
        "_by_prefix", "_by_word", "_polite", "_prefix_sizes", "_substrings", "_whole", "words",
    )  # fmt: skip

    def __init__(self, entries: Sequence[Entry], polite: frozenset[_Words]) -> None:
        self._polite = polite
        self._by_word: dict[str, list[tuple[_Words, Entry]]] = {}
        self._by_prefix: dict[str, list[tuple[_Words, Entry]]] = {}
        self._whole: dict[_Words, Entry] = {}
        substrings: dict[str, Entry] = {}
        for entry in entries:
            for form in entry.forms:
                words = _words_of(form)
                self._keep_whole(words, entry)
                if entry.where is Where.WHOLE_SUBJECT:
                    continue
                if entry.boundary is Boundary.SUBSTRING:
                    substrings.setdefault(plain(form), entry)
                elif words[0].endswith("*"):
                    self._by_prefix.setdefault(words[0][:-1], []).append((words, entry))
                else:
                    self._by_word.setdefault(words[0], []).append((words, entry))
        self._prefix_sizes = sorted({len(prefix) for prefix in self._by_prefix})
        self._substrings = tuple(substrings.items())
        self.words = tuple(words[0] for words in self._whole if len(words) == 1)

    def _keep_whole(self, words: _Words, entry: Entry) -> None:
        """A form that is the whole subject counts, unless it is only part of a phrase."""
        if entry.where is Where.WITH_OBJECT or any(word.endswith("*") for word in words):
            return
        known = self._whole.get(words)
        if known is None or (entry.is_certain and not known.is_certain):
            self._whole[words] = entry

    def find(self, subject: str) -> Hit | None:
        doubtful: Hit | None = None
        for text in readings(subject):
            hit = self._find_in(text)
            if hit is not None and hit.is_certain:
                return hit
            doubtful = doubtful or hit
        return doubtful

    def core_of(self, subject: str) -> _Words:
        return tuple(word for word, _ in self._core(readings(subject)[0]))

    def _find_in(self, text: str) -> Hit | None:
        words = [(match[0], _Span(match.start(), match.end())) for match in _WORD.finditer(text)]
        if not words:
            return None
        best = self._whole_hit(text, words)
        if best is not None and best.is_certain:
            return best
        for entry, start, end in self._candidates(text, words):
            if _counts(entry, text, start, end) and self._is_placed(entry, text, start):
                hit = self._hit(text, words, start, end, entry)
                if hit.is_certain:
                    return hit
                best = best or hit
        return best

    def _hit(
        self, text: str, words: list[tuple[str, _Span]], start: int, end: int, entry: Entry
    ) -> Hit:
        core = self._core(text) or words
        return Hit(
            text, start, end,
            is_whole=start <= words[0][1].start and end >= words[-1][1].end,
            is_alone=start <= core[0][1].start and end >= core[-1][1].end,
            is_certain=entry.is_certain,
        )  # fmt: skip

    def _is_placed(self, entry: Entry, text: str, start: int) -> bool:
        if entry.where is not Where.BEGINNING:
            return True
        core = self._core(text)
        return bool(core) and core[0][1].start >= start

    def _whole_hit(self, text: str, words: list[tuple[str, _Span]]) -> Hit | None:
        everything = tuple(word for word, _ in words)
        entry = self._whole.get(everything)
        if entry is not None:
            return Hit(text, words[0][1].start, words[-1][1].end, True, True, entry.is_certain)
        core = self._core(text)
        entry = self._whole.get(tuple(word for word, _ in core)) if core else None
        if entry is None:
            return None
        return Hit(text, core[0][1].start, core[-1][1].end, False, True, entry.is_certain)

    def _core(self, text: str) -> list[tuple[str, _Span]]:
        start = end_of_prefixes(text)
        words = [(m[0], _Span(m.start(), m.end())) for m in _WORD.finditer(text, start)]
        return self._without_courtesies(words)

    def _without_courtesies(self, words: list[tuple[str, _Span]]) -> list[tuple[str, _Span]]:
        first, last = 0, len(words)
        while first < last:
            for size in range(min(4, last - first), 0, -1):
                if tuple(word for word, _ in words[first : first + size]) in self._polite:
                    first += size
                    break
                if tuple(word for word, _ in words[last - size : last]) in self._polite:
                    last -= size
                    break
            else:
                break
        return words[first:last]

    def _candidates(
        self, text: str, words: list[tuple[str, _Span]]
    ) -> Iterator[tuple[Entry, int, int]]:
        for number, (word, span) in enumerate(words):
            for form, entry in self._starting_with(word):
                last = number + len(form) - 1
                if last < len(words) and all(
                    _is_word(words[number + n][0], form[n]) for n in range(len(form))
                ):
                    yield entry, span.start, words[last][1].end
        for part, entry in self._substrings if not text.isascii() else ():
            at = text.find(part)
            if at >= 0:
                yield entry, at, at + len(part)

    def _starting_with(self, word: str) -> Iterable[tuple[_Words, Entry]]:
        yield from self._by_word.get(word, ())
        for size in self._prefix_sizes:
            if size > len(word):
                break
            yield from self._by_prefix.get(word[:size], ())


def _counts(entry: Entry, text: str, start: int, end: int) -> bool:
    if entry.unless and any(_stands_in(form, text, entry.boundary) for form in entry.unless):
        return False
    if entry.where is not Where.WITH_OBJECT:
        return True
    near = f"{text[max(0, start - _MAX_GAP_CHARS) : start]} \0 {text[end : end + _MAX_GAP_CHARS]}"
    return any(_stands_in(form, near, entry.boundary) for form in entry.objects)


def _stands_in(form: str, text: str, boundary: Boundary) -> bool:
    if boundary is Boundary.SUBSTRING:
        return plain(form) in text
    wanted = _words_of(form)
    words = _WORD.findall(text)
    return any(
        all(_is_word(words[at + n], wanted[n]) for n in range(len(wanted)))
        for at in range(len(words) - len(wanted) + 1)
    )


def _is_word(word: str, wanted: str) -> bool:
    if wanted.startswith("*"):
        return wanted.strip("*") in word
    return word.startswith(wanted[:-1]) if wanted.endswith("*") else word == wanted


def _words_of(form: str) -> _Words:
    """`Opt-out` → ("opt", "out"); a star stays with its word."""
    return tuple(re.findall(r"\*?[^\W_]+\*?", plain(form)))


# What the policy promises; everything else is an addition of the data file.
THE_WORD: Final = Vocabulary((Entry("en", ("unsubscribe",)),))
