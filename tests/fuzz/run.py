"""`make fuzz`: coverage-guided fuzzing of mailbot.core's mail reading, for some minutes.

Seeds are the mails of tests/messages and, where they are, the corpora; what is found new is kept
under .fuzz/, so that the next run goes on from there. ARGS="--minutes 10" says how long.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Final

import atheris

ROOT: Final = Path(__file__).parents[2]
KEPT: Final = ROOT / ".fuzz"
SEEDS: Final = (ROOT / "tests" / "messages", ROOT / ".." / "shared" / "corpora")
DICTIONARY: Final = Path(__file__).parent / "mail.dict"
LONGEST_INPUT: Final = 20_000  # bytes
SLOWEST_INPUT: Final = 10  # seconds
MOST_MEMORY: Final = 2048  # MB, the fuzzer's own included

with atheris.instrument_imports(include=["mailbot.core"]):
    from tests.fuzz.target import check


def main() -> None:
    """Fuzz; libFuzzer ends the process itself, with a code other than 0 after a crash."""
    parser = argparse.ArgumentParser(prog="make fuzz")
    parser.add_argument("--minutes", type=float, default=5.0)
    minutes = parser.parse_args().minutes
    for folder in (KEPT / "corpus", KEPT / "crashes"):
        folder.mkdir(parents=True, exist_ok=True)
    sys.stderr.write(
        f"Fuzzing for {minutes:g} minutes. A crash is kept in {KEPT.name}/crashes/: make it a test"
        " in tests/core/ that calls tests.fuzz.target.check with its bytes, then mend it.\n"
    )
    options = [
        str(KEPT / "corpus"), *(str(folder) for folder in SEEDS if folder.is_dir()),
        f"-dict={DICTIONARY}", f"-artifact_prefix={KEPT / 'crashes'}/",
        f"-max_total_time={int(minutes * 60)}", f"-max_len={LONGEST_INPUT}",
        f"-timeout={SLOWEST_INPUT}", f"-rss_limit_mb={MOST_MEMORY}", "-print_final_stats=1",
    ]  # fmt: skip
    atheris.Setup([sys.argv[0], *options], check)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
