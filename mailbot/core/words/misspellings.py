"""Is a word another one but for typing errors? By edits (insert, drop, change, swap)."""

from __future__ import annotations

from typing import Final

_WORD: Final = "unsubscribe"
_MOST_EDITS: Final = 2
# Two edits away, and words of their own.
_OTHER_WORDS: Final = frozenset({
    "subscribe", "subscribed", "subscriber", "subscribers", "subscribes", "resubscribe",
    "unsubscribed", "unsubscribes", "unsubscriber", "unsubscribers",
    "presubscribe", "oversubscribe", "undersubscribe",
})  # fmt: skip


def is_nearly_the_word(word: str) -> bool:
    """True for `unsuscribe`, `unsubcsribe`, `nsubscribe`; False for the word and its relatives."""
    if abs(len(word) - len(_WORD)) > _MOST_EDITS or word == _WORD or word in _OTHER_WORDS:
        return False
    return word.isalpha() and _edits(word, _WORD) <= _MOST_EDITS


def is_one_edit(word: str, form: str) -> bool:
    """Whether the two are equal but for one edit, or quite equal; a word of its own is neither."""
    return abs(len(word) - len(form)) <= 1 and word not in _OTHER_WORDS and _edits(word, form) <= 1


def _edits(word: str, form: str) -> int:
    """The optimal string alignment distance: a swap of neighbours is one edit."""
    before: list[int] = []
    above = list(range(len(form) + 1))
    for i, char in enumerate(word, start=1):
        row = [i]
        for j, wanted in enumerate(form, start=1):
            cost = min(above[j] + 1, row[j - 1] + 1, above[j - 1] + (char != wanted))
            if i > 1 and j > 1 and char == form[j - 2] and word[i - 2] == wanted:
                cost = min(cost, before[j - 2] + 1)
            row.append(cost)
        before, above = above, row
    return above[-1]
