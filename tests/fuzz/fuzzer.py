"""The process that fuzzes, by atheris: `python -m tests.fuzz.fuzzer` with libFuzzer's options.

libFuzzer ends the process itself: with 0 when its time is over, otherwise after it kept a crash.
"""

from __future__ import annotations

import sys

import atheris

atheris.enabled_hooks.add("str")  # what startswith looks for is tried

with atheris.instrument_imports(include=["mailbot.core"]):
    from tests.fuzz.target import check


def main() -> None:
    """Fuzz until the time is over, or something breaks."""
    atheris.Setup(sys.argv, check)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
