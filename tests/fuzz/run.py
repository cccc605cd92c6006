"""`make fuzz`: coverage-guided fuzzing of mailbot.core's mail reading, for some minutes.

Seeds are the mails of tests/messages and, where they are, the corpora; what is found new is kept
under .fuzz/, so that the next run goes on from there. ARGS="--minutes 10" says how long.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path
from typing import Final

from mailbot.data import load_vocabulary
from tests.fuzz import seeds

ROOT: Final = Path(__file__).parents[2]
KEPT: Final = ROOT / ".fuzz"
CRASHES: Final = KEPT / "crashes"
OWN_SEEDS: Final = KEPT / "seeds"
SEEDS: Final = (OWN_SEEDS, ROOT / "tests" / "messages", ROOT / ".." / "shared" / "corpora")
DICTIONARY: Final = Path(__file__).parent / "mail.dict"
LONGEST_INPUT: Final = 20_000  # bytes
SLOWEST_INPUT: Final = 10  # seconds
MOST_MEMORY: Final = 2048  # MB, the fuzzer's own included

TEST: Final = '''"""Found by make fuzz. Run it: .venv/bin/python -m pytest {path}

Mended, move it into the tests of what was mended, with a name that says what broke.
"""

from tests.fuzz.target import check

MAIL = {mail!r}


def test_a_mail_that_fuzzing_found() -> None:
    check(MAIL)
'''


def main() -> int:
    """Exit code 1 where something broke: a test of it then stands under .fuzz/crashes."""
    parser = argparse.ArgumentParser(prog="make fuzz", description=__doc__)
    parser.add_argument("--minutes", type=float, default=5.0)
    minutes: float = parser.parse_args().minutes
    for folder in (KEPT / "corpus", CRASHES, OWN_SEEDS):
        folder.mkdir(parents=True, exist_ok=True)
    for name, mail in seeds.MAILS.items():
        (OWN_SEEDS / f"{name}.eml").write_bytes(mail)
    known = set(CRASHES.iterdir())
    options = [
        str(KEPT / "corpus"), *(str(folder) for folder in SEEDS if folder.is_dir()),
        f"-dict={dictionary()}", f"-artifact_prefix={CRASHES}/",
        f"-max_total_time={int(minutes * 60)}", f"-max_len={LONGEST_INPUT}",
        f"-timeout={SLOWEST_INPUT}", f"-rss_limit_mb={MOST_MEMORY}", "-print_final_stats=1",
    ]  # fmt: skip
    sys.stderr.write(f"Fuzzing for {minutes:g} minutes\n")
    fuzzer = [sys.executable, "-m", "tests.fuzz.fuzzer", *options]
    code = subprocess.run(fuzzer, cwd=ROOT, check=False).returncode
    for crash in sorted(set(CRASHES.iterdir()) - known):
        test = CRASHES / f"test_{crash.name.replace('-', '_')}.py"
        test.write_text(
            TEST.format(path=test.relative_to(ROOT), mail=crash.read_bytes()), encoding="utf-8"
        )
        sys.stderr.write(f"{crash.name}: {test.relative_to(ROOT)} is a test of it.\n")
    return 1 if code else 0


def dictionary() -> Path:
    """What mail is made of, and the first form of each entry of the vocabulary."""
    forms = dict.fromkeys(entry.forms[0].strip("*") for entry in load_vocabulary().entries)
    written = KEPT / "mail.dict"
    lines = ['"' + "".join(f"\\x{byte:02x}" for byte in form.encode()) + '"' for form in forms]
    tokens = DICTIONARY.read_text(encoding="utf-8")
    written.write_text(tokens + "\n".join(lines) + "\n", encoding="utf-8")
    return written


if __name__ == "__main__":
    sys.exit(main())
