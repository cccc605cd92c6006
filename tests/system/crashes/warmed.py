"""mailbot, loaded once: each crash's processes are forked from here, for a tenth of a start's cost.

What a start reads from mailbot's own files, the words and the templates, is read here as well.
"""

from __future__ import annotations

import gc
from contextlib import suppress
from functools import cache
from typing import Any

import mailbot.cli.command_line  # noqa: F401  # all that a command imports
from mailbot import daemon
from mailbot.inbound import shop
from tests.system.crashes import failpoints  # noqa: F401  # what each process runs

with suppress(ImportError):  # the daemon's loop, where there is one for this platform
    import uvloop  # noqa: F401


def _read_once(module: Any, name: str) -> None:
    remembered = cache(getattr(module, name))
    remembered(None)  # no file of the shop's own
    setattr(module, name, remembered)


_read_once(shop, "load_vocabulary")
_read_once(daemon, "OrderStatusTypes")
gc.freeze()  # what was read is shared by all, and never copied
