"""The words that ask for an end of offers, and where in a subject each counts. Words are data.

A subject is folded to what a reader sees (width, case, accents, invisible characters) before it is
looked at; see forms.py for what an entry says and index.py for how forms are found.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from mailbot.core.words.forms import Boundary, Entry, Hit, Where
from mailbot.core.words.index import Index, words_of
from mailbot.core.words.misspellings import is_nearly_the_word, is_one_edit

__all__ = ["THE_WORD", "Boundary", "Entry", "Hit", "Vocabulary", "Where"]

_LONG: Final = 10  # letters of a form whose misspelling is still told from other words


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """Every entry, in an index by its first word. `courtesies` may stand around a whole subject.

    `misspellings` ask where nothing else stands there; `come_back` is the opposite wish;
    `refusals` hold a word and say that it is not meant, `interjections` may stand before them;
    `robots` is how machines speak of it.
    """

    entries: tuple[Entry, ...]
    courtesies: tuple[str, ...] = ()
    misspellings: tuple[str, ...] = ()
    come_back: tuple[Entry, ...] = ()
    refusals: tuple[Entry, ...] = ()
    interjections: tuple[str, ...] = ()
    robots: tuple[Entry, ...] = ()
    _index: Index = field(init=False, repr=False, compare=False)
    _come_back: Index = field(init=False, repr=False, compare=False)
    _refusals: Index = field(init=False, repr=False, compare=False)
    _robots: Index = field(init=False, repr=False, compare=False)
    _misspelt: frozenset[str] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        polite = frozenset(words_of(form) for form in self.courtesies)
        object.__setattr__(self, "_index", Index(self.entries, polite))
        object.__setattr__(self, "_come_back", Index(self.come_back, polite))
        sudden = polite | {words_of(form) for form in self.interjections}
        object.__setattr__(self, "_refusals", Index(self.refusals, sudden))
        object.__setattr__(self, "_robots", Index(self.robots, polite))
        misspelt = frozenset("".join(words_of(form)) for form in self.misspellings)
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


# What the policy promises; everything else is an addition of the data file.
THE_WORD: Final = Vocabulary((Entry("en", ("unsubscribe",)),))
