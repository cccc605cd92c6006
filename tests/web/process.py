"""The public page as a process of its own, over a door that is a file: one JSON line a wish.

python -m tests.web.process --config mailbot.toml
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from pathlib import Path

from mailbot.config import PublicPageSettings, load_public_page
from mailbot.core.wishes import Wish
from mailbot.web import public_process


class FileDoor:
    """Durable when it returns, after `$DOOR_SECONDS`."""

    def __init__(self, settings: PublicPageSettings) -> None:
        self._file = (settings.path.parent / "wishes").open("a", encoding="utf-8")
        self._seconds = float(os.environ.get("DOOR_SECONDS", "0"))

    async def hand_in(self, wish: Wish) -> None:
        await asyncio.sleep(self._seconds)
        self._file.write(json.dumps([wish.kind, wish.source, wish.token]) + "\n")
        self._file.flush()
        os.fsync(self._file.fileno())

    async def close(self) -> None:
        self._file.close()


if __name__ == "__main__":
    sys.exit(public_process.run(load_public_page(Path(sys.argv[2])), FileDoor))
