"""How far this process has seen the ledger grow: one that is shorter now is another one.

So it is after a failover to a server that lagged behind, or with a backup put in place under a
running daemon; opt-outs may be missing.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class ListMemory:
    """The furthest sequence number that any look has seen."""

    furthest: int = 0

    def distrust(self, sequence: int, known_before: int) -> str:
        """Why a list that ends at `sequence` is not to be believed, "" while all is well.

        `known_before` is what `furthest` was when that look began.
        """
        if sequence < known_before:
            return (
                f"the ledger ends at event {sequence}, and this daemon has seen {known_before}: "
                "what was recorded since is missing"
            )
        self.furthest = max(self.furthest, sequence)
        return ""
