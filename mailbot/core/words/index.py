"""Finds the forms of the vocabulary in a subject: one pass over its words, by their first word.

A subject is cut into words once; what stands around a form is looked at once an entry: linear.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice
from typing import Final

from mailbot.core.words.folding import plain, readings
from mailbot.core.words.forms import Boundary, Entry, Hit, Where
from mailbot.core.words.subject_prefixes import end_of_prefixes, is_forward, is_reply

_MAX_GAP_CHARS: Final = 60  # between a form and its object
_MAX_GAP_WORDS: Final = 5  # the same, where it has to be one clause
_CLAUSE_END: Final = re.compile(r"[,.;:!?()–—、。，；：！？]| - ")
_LONGEST_COURTESY: Final = 5  # words
_MAX_CANDIDATES: Final = 500  # forms looked at in one subject; a person's has a handful
_WORD: Final = re.compile(r"[^\W_]+")
_DASH: Final = re.compile(r" [-–—|] ?")
_ADDRESS: Final = re.compile(r"[^\s<>@]{1,64}@[^\s<>@]{1,255}")

Words = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Placed:
    """One word of a subject."""

    word: str
    start: int
    end: int


class _Compiled:
    """An entry with its objects and exceptions as patterns: each is asked once a subject."""

    __slots__ = ("entry", "objects", "unless")

    def __init__(self, entry: Entry) -> None:
        self.entry = entry
        self.objects = _pattern(entry.objects, entry.boundary)
        self.unless = _pattern(entry.unless, entry.boundary)


class _Reading:
    """One folded subject, or its end from `start` on, cut up once for all forms."""

    def __init__(self, text: str, polite: frozenset[Words], start: int = 0) -> None:
        self.text, self.start = text, start
        self.words = _placed_words(text, start)
        proper = _proper_words(text, start)
        self.core = _without_courtesies(proper, polite)
        self.opened = proper[proper.index(self.core[0]) :] if self.core else []  # "me" may belong
        self._objects: dict[_Compiled, list[tuple[int, int]] | None] = {}

    def counts(self, found: _Compiled, start: int, end: int) -> bool:
        """Whether the entry's form between `start` and `end` stands where it has to."""
        if found not in self._objects:
            is_taken_back = found.unless is not None and found.unless.search(self.text, self.start)
            objects = (
                found.objects.finditer(self.text, self.start) if found.objects is not None else ()
            )
            self._objects[found] = None if is_taken_back else [hit.span() for hit in objects]
        objects_at = self._objects[found]
        if objects_at is None:
            return False
        if found.entry.where is Where.BEGINNING:
            return bool(self.core) and self.core[0].start >= start
        if not found.entry.where.has_objects:
            return True
        if found.entry.where is Where.BEFORE_OBJECT:
            return any(self._is_one_clause(end, first) for first, _ in objects_at)
        return any(
            0 <= first - end <= _MAX_GAP_CHARS or 0 <= start - last <= _MAX_GAP_CHARS
            for first, last in objects_at
        )

    def _is_one_clause(self, start: int, end: int) -> bool:
        if not 0 <= end - start <= _MAX_GAP_CHARS:
            return False
        between = self.text[start:end]
        return _CLAUSE_END.search(between) is None and len(between.split()) <= _MAX_GAP_WORDS

    def hit(self, found: _Compiled, start: int, end: int) -> Hit:
        core = self.core or self.words
        return Hit(
            self.text, start, end,
            is_whole=not self.start and start <= self.words[0].start and end >= self.words[-1].end,
            is_alone=start <= core[0].start and end >= core[-1].end,
            is_certain=found.entry.is_certain,
        )  # fmt: skip


class Index:
    """Entries by the first word of their forms. Made once, asked for each mail."""

    __slots__ = (
        "_by_prefix", "_by_word", "_key_prefixes", "_key_sizes", "_keys", "_polite",
        "_prefix_sizes", "_substrings", "_whole", "words",
    )  # fmt: skip

    def __init__(self, entries: Sequence[Entry], polite: frozenset[Words]) -> None:
        self._polite = polite
        self._by_word: dict[str, list[tuple[Words, _Compiled]]] = {}
        self._by_prefix: dict[str, list[tuple[Words, _Compiled]]] = {}
        self._whole: dict[Words, _Compiled] = {}
        self._substrings: list[tuple[str, _Compiled]] = []
        for entry in entries:
            compiled = _Compiled(entry)
            for form in entry.forms:
                self._add(form, compiled)
        forms = [
            words_of(form)
            for entry in entries
            if entry.boundary is Boundary.WORD
            for form in entry.forms
        ]
        uses = Counter(word for words in forms for word in words)
        # The longest word of a form; of two the one that fewer forms use: "opt", not "not".
        keys = {max(words, key=lambda one: (len(one), -uses[one])) for words in forms if words}
        self._keys = frozenset(key for key in keys if not key.endswith("*"))
        self._key_prefixes = frozenset(key[:-1] for key in keys if key.endswith("*"))
        self._key_sizes = sorted({len(prefix) for prefix in self._key_prefixes})
        self._prefix_sizes = sorted({len(prefix) for prefix in self._by_prefix})
        self.words = tuple(words[0] for words in self._whole if len(words) == 1)

    def _add(self, form: str, compiled: _Compiled) -> None:
        entry, words = compiled.entry, words_of(form)
        if not entry.where.has_objects and "*" not in form:
            known = self._whole.get(words)
            if known is None or (entry.is_certain and not known.entry.is_certain):
                self._whole[words] = compiled
        if entry.where is Where.WHOLE_SUBJECT:
            return
        if entry.boundary is Boundary.SUBSTRING:
            self._substrings.append((plain(form), compiled))
        elif words[0].endswith("*"):
            self._by_prefix.setdefault(words[0][:-1], []).append((words, compiled))
        else:
            self._by_word.setdefault(words[0], []).append((words, compiled))

    def find(self, subject: str) -> Hit | None:
        doubtful: Hit | None = None
        for text in readings(subject):
            if not self._may_hold_one(text):
                continue
            for start in _beginnings(text):
                hit = self._find_in(_read(text, self._polite, start))
                if hit is not None and hit.is_certain:
                    return hit
                doubtful = doubtful or hit
        return doubtful

    def core_of(self, subject: str) -> Words:
        return tuple(one.word for one in _read(readings(subject)[0], self._polite).core)

    def _may_hold_one(self, text: str) -> bool:
        """Nearly no subject holds the longest word of any form; only such are looked at closely."""
        words = _distinct_words(text)
        if not self._keys.isdisjoint(words):
            return True
        sizes, prefixes = self._key_sizes, self._key_prefixes
        if any(word[:size] in prefixes for word in words for size in sizes):
            return True
        return not text.isascii() and any(part in text for part, _ in self._substrings)

    def _find_in(self, reading: _Reading) -> Hit | None:
        if not reading.words:
            return None
        best = self._whole_hit(reading)
        if best is not None and best.is_certain:
            return best
        for found, start, end in islice(self._candidates(reading), _MAX_CANDIDATES):
            if reading.counts(found, start, end):
                hit = reading.hit(found, start, end)
                if hit.is_certain:
                    return hit
                best = best or hit
        return best

    def _whole_hit(self, reading: _Reading) -> Hit | None:
        for words in (reading.words, reading.core, reading.opened):
            found = self._whole.get(tuple(one.word for one in words)) if words else None
            if found is not None:
                start, end = words[0].start, words[-1].end
                if reading.counts(found, start, end):
                    return reading.hit(found, start, end)
        return None

    def _candidates(self, reading: _Reading) -> Iterator[tuple[_Compiled, int, int]]:
        words = reading.words
        for number, first in enumerate(words):
            for form, found in self._starting_with(first.word):
                last = number + len(form) - 1
                if last < len(words) and all(
                    _is_word(words[number + n].word, form[n]) for n in range(len(form))
                ):
                    yield found, first.start, words[last].end
        for part, found in self._substrings if not reading.text.isascii() else ():
            at = reading.text.find(part, reading.start)
            if at >= 0:
                yield found, at, at + len(part)

    def _starting_with(self, word: str) -> Iterable[tuple[Words, _Compiled]]:
        yield from self._by_word.get(word, ())
        for size in self._prefix_sizes:
            if size > len(word):
                break
            yield from self._by_prefix.get(word[:size], ())


@lru_cache(maxsize=64)  # several rules look at one subject
def _read(text: str, polite: frozenset[Words], start: int = 0) -> _Reading:
    return _Reading(text, polite, start)


@lru_cache(maxsize=64)
def _distinct_words(text: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(_WORD.findall(text)))


def _placed_words(text: str, start: int) -> list[_Placed]:
    return [_Placed(match[0], match.start(), match.end()) for match in _WORD.finditer(text, start)]


def _proper_words(text: str, start: int) -> list[_Placed]:
    """The words behind "Re:" and [tags], without addresses and numbers: who asks, not what."""
    blanked = _ADDRESS.sub(lambda hit: " " * len(hit[0]), text)
    words = _placed_words(blanked, start or end_of_prefixes(text))
    return [one for one in words if not any(map(str.isdigit, one.word))]


def _beginnings(text: str) -> tuple[int, ...]:
    """Of the whole, and of what an answer adds behind the last dash: "Re: Spring - stop please".

    What was answered takes back nothing of what was added: "Re: Back to school - unsubscribe".
    """
    if not (is_reply(text) or is_forward(text)):
        return (0,)
    dashes = list(_DASH.finditer(text))
    return (0, dashes[-1].end()) if dashes and dashes[-1].end() < len(text) else (0,)


def _without_courtesies(words: list[_Placed], polite: frozenset[Words]) -> list[_Placed]:
    first, last = 0, len(words)
    while first < last:
        for size in range(min(_LONGEST_COURTESY, last - first), 0, -1):
            if tuple(one.word for one in words[first : first + size]) in polite:
                first += size
                break
            if tuple(one.word for one in words[last - size : last]) in polite:
                last -= size
                break
        else:
            break
    return words[first:last]


def _pattern(forms: Sequence[str], boundary: Boundary) -> re.Pattern[str] | None:
    """One alternation for all these forms; plain ones, so it is linear in the text."""
    if not forms:
        return None
    if boundary is Boundary.SUBSTRING:
        return re.compile("|".join(re.escape(plain(form)) for form in forms))
    bodies = (r"[\W_]+".join(map(_word_pattern, words_of(form))) for form in forms)
    return re.compile(rf"(?<![^\W_])(?:{'|'.join(bodies)})(?![^\W_])")


def _word_pattern(word: str) -> str:
    before = r"[^\W_]{0,40}" if word.startswith("*") else ""
    after = r"[^\W_]{0,40}" if word.endswith("*") else ""
    return before + re.escape(word.strip("*")) + after


def _is_word(word: str, wanted: str) -> bool:
    return word.startswith(wanted[:-1]) if wanted.endswith("*") else word == wanted


def words_of(form: str) -> Words:
    """`Opt-out` → ("opt", "out"); a star stays with its word."""
    return tuple(re.findall(r"\*?[^\W_]+\*?", plain(form)))
