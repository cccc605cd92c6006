"""Classes of words: `{mail}` in a form stands for each of the words that a [[class]] lists."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from mailbot.core.errors import InputError

# What one text may stand for. A form with three large classes would slow every look down.
_MOST_FORMS: Final = 1000
_NAME: Final = re.compile(r"[a-z_]{2,20}")
_CLASS: Final = re.compile(r"\{([^{}]*)\}")


@dataclass(frozen=True, slots=True)
class WordClass:
    """Words of one language that an entry may name together, in the order of the file."""

    language: str
    name: str
    forms: tuple[str, ...]

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name):
            raise InputError(
                f"{self.name[:20]!r} cannot be the name of a class.",
                next_step="Write 2 to 20 letters from a to z.",
            )
        if not self.forms:
            raise InputError(f"The class {{{self.name}}} has no words.", next_step="Write forms.")


class Classes:
    """What `{name}` stands for, by language. A class that is given twice has the words of both.

    A class may name those that were given before it.
    """

    def __init__(self, given: Iterable[WordClass] = ()) -> None:
        self._words: dict[tuple[str, str], tuple[str, ...]] = {}
        for one in given:
            key = one.language, one.name
            added = self.expanded(one.forms, one.language)
            self._words[key] = tuple(dict.fromkeys((*self._words.get(key, ()), *added)))

    def expanded(self, texts: Iterable[str], language: str) -> tuple[str, ...]:
        """The texts, those that name classes replaced by what they stand for, each once."""
        return tuple(dict.fromkeys(form for text in texts for form in self._of(text, language)))

    def _of(self, text: str, language: str) -> list[str]:
        found = [text]
        while named := _CLASS.search(found[0]):
            words = self._words.get((language, named[1]))
            if words is None:
                raise InputError(
                    f"{text[:40]!r} names the class {{{named[1][:20]}}}, which is not there.",
                    next_step=f"Known for {language!r} are {self._known(language)}.",
                )
            if len(found) * len(words) > _MOST_FORMS:
                raise InputError(
                    f"{text[:40]!r} stands for more than {_MOST_FORMS} forms.",
                    next_step="Name fewer classes in one form, or give objects.",
                )
            found = [form.replace(named[0], word, 1) for form in found for word in words]
        return found

    def _known(self, language: str) -> str:
        names = [f"{{{name}}}" for known, name in self._words if known == language]
        return ", ".join(names) or "none"
