"""One entry of the vocabulary: forms, and where in a subject they have to stand to count."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from mailbot.core.errors import InputError
from mailbot.core.words.folding import plain

MAX_FORM_CHARS: Final = 80


class Where(StrEnum):
    """What part of the subject the form has to be."""

    ANYWHERE = "anywhere"
    BEGINNING = "beginning"  # after courtesies, and what answering puts before it
    WHOLE_SUBJECT = "whole_subject"  # but for the same
    WITH_OBJECT = "with_object"  # beside one of the entry's objects
    BEFORE_OBJECT = "before_object"  # a few words before one of them, in the same clause

    @property
    def has_objects(self) -> bool:
        return self in (Where.WITH_OBJECT, Where.BEFORE_OBJECT)


class Boundary(StrEnum):
    """What has to stand around the form; `substring` for scripts that write no spaces."""

    WORD = "word"
    SUBSTRING = "substring"


@dataclass(frozen=True, slots=True)
class Entry:
    """Forms of one language that count alike.

    A word that ends in `*` stands for every word that starts so, among `objects` and `unless` one
    between two stars for every word that it is part of. `objects` belong to
    WITH_OBJECT and BEFORE_OBJECT.
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
        for text in (*self.forms, *self.objects, *self.unless):
            if not any(map(str.isalnum, plain(text))):
                raise InputError(
                    f"{text[:20]!r} holds no letter and no digit.",
                    next_step="Write a word; punctuation is never looked at.",
                )
        if not self.forms:
            raise InputError("The entry has no form.", next_step='Write form = "…".')
        if bool(self.objects) != self.where.has_objects:
            raise InputError(
                "Objects go with where = with_object or before_object, and only with them.",
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
