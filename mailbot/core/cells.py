"""Counts of persons, told so that no one person can be read off them.

What is told of persons (why the list leaves them out, what their relay said) is told in cells of at
least MINIMUM_CELL; what is below is told together. How many messages were sent, or need a decision,
is no fact about a person, and is told exactly.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, TypeVar

K = TypeVar("K", bound=str)

# An audience can be made of one address: by its reasons one by one, whoever writes campaigns could
# ask why somebody left. Five is what statistical offices commonly ask for.
MINIMUM_CELL: Final = 5
SMALL_CELLS: Final = f"fewer_than_{MINIMUM_CELL}_each"


def in_cells(counts: Mapping[K, int]) -> dict[str, int]:
    """The counts of MINIMUM_CELL and more, largest first, and all others as one: SMALL_CELLS."""
    ordered = sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))
    shown = {str(name): count for name, count in ordered if count >= MINIMUM_CELL}
    rest = sum(counts.values()) - sum(shown.values())
    return shown | {SMALL_CELLS: rest} if rest else shown
