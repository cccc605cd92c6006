"""Break each invariant on purpose and see the tests notice.

Every `*.patch` beside this file breaks one promise of docs/architecture.md. Its first lines say
which, and which tests must notice:

    Invariant: 2 a suppressed customer gets no marketing
    Breaks: the look before sending is skipped
    Tests: tests/outbound/test_sender.py tests/test_story.py

Each is applied in a copy of the tree. The run passes only if the named tests pass without the
patch and fail with it, by failing assertions rather than by a patch that no longer applies or
breaks the imports.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
INVARIANTS = range(1, 9)
TIME_LIMIT = 300  # seconds for the tests of one patch
AT_ONCE = 2
NOT_COPIED = shutil.ignore_patterns(
    ".git", ".venv", "__pycache__", ".mypy_cache", ".ruff_cache", ".pytest_cache",
    ".hypothesis", ".import_linter_cache", ".fuzz", "*.egg-info",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Breaking:
    """One patch: which invariant it breaks, how, and which tests must notice."""

    path: Path
    number: int
    breaks: str
    tests: tuple[str, ...]

    @classmethod
    def read(cls, path: Path) -> Breaking:
        head = path.read_text(encoding="utf-8").split("\ndiff ", 1)[0]
        found = dict(re.findall(r"^(Invariant|Breaks|Tests): (.+)$", head, re.MULTILINE))
        missing = {"Invariant", "Breaks", "Tests"} - set(found)
        if missing:
            raise SystemExit(f"{path.name}: its head has no {', '.join(sorted(missing))}")
        number = int(found["Invariant"].split()[0])
        return cls(path, number, found["Breaks"], tuple(found["Tests"].split()))


@dataclass(frozen=True, slots=True)
class Seen:
    """How the tests of one patch ended."""

    breaking: Breaking
    is_caught: bool
    what: str


def main() -> int:
    breakings = [Breaking.read(path) for path in sorted(HERE.glob("*.patch"))]
    uncovered = sorted(set(INVARIANTS) - {breaking.number for breaking in breakings})
    if uncovered:
        print(f"no patch breaks invariant {', '.join(map(str, uncovered))}")
        return 1
    if not _are_sound(breakings):
        return 1
    with ThreadPoolExecutor(AT_ONCE) as pool:
        escaped = 0
        for seen in pool.map(_break, breakings):
            escaped += not seen.is_caught
            mark = "caught " if seen.is_caught else "ESCAPED"
            print(f"{mark} {seen.breaking.number} {seen.breaking.breaks}: {seen.what}", flush=True)
    print(f"invariants: {len(breakings) - escaped} passed, {escaped} failed")
    return 1 if escaped else 0


def _are_sound(breakings: Sequence[Breaking]) -> bool:
    """The named tests must pass as the tree stands, or their failing would prove nothing."""
    tests = sorted({test for breaking in breakings for test in breaking.tests})
    with tempfile.TemporaryDirectory(prefix="mailbot-invariants-") as folder:
        tree = _copy(Path(folder))
        result = _pytest(tree, tests, TIME_LIMIT * 2, "-n2")
    print(f"unbroken: {_closing_line(result.stdout)}", flush=True)
    if result.returncode != 0:
        print(result.stdout[-6000:], result.stderr[-2000:], sep="\n")
    return result.returncode == 0


def _break(breaking: Breaking) -> Seen:
    with tempfile.TemporaryDirectory(prefix="mailbot-invariants-") as folder:
        tree = _copy(Path(folder))
        applied = subprocess.run(
            ["git", "apply", "--whitespace=nowarn", str(breaking.path)],
            cwd=tree, capture_output=True, text=True, check=False,
        )  # fmt: skip
        if applied.returncode != 0:
            return Seen(breaking, False, f"the patch no longer applies: {applied.stderr}")
        try:
            result = _pytest(tree, breaking.tests, TIME_LIMIT, "-x")
        except subprocess.TimeoutExpired:
            return Seen(breaking, False, f"its tests took longer than {TIME_LIMIT} s")
    failed = re.findall(r"^FAILED (\S+)", result.stdout, re.MULTILINE)
    # Exit code 1: tests ran and some failed. 2 to 5 mean that pytest could not do its work.
    if result.returncode == 1 and failed:
        return Seen(breaking, True, failed[0].split("::", 1)[-1])
    return Seen(breaking, False, _closing_line(result.stdout) or result.stderr[-2000:])


def _copy(folder: Path) -> Path:
    tree = folder / "mailbot"
    shutil.copytree(ROOT, tree, ignore=NOT_COPIED, symlinks=True)
    # Servers that run as another user must be able to read what a test keeps in the tree.
    folder.chmod(0o755)
    return tree


def _pytest(
    tree: Path, tests: Sequence[str], seconds: float, *options: str
) -> subprocess.CompletedProcess[str]:
    # PYTHONPATH first: the copy, not the tree that is installed in the virtual environment.
    environment = {**os.environ, "PYTHONPATH": str(tree), "PYTHONDONTWRITEBYTECODE": "1"}
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-q", "-rf", *options]
    return subprocess.run(
        [*command, *tests], cwd=tree, env=environment, capture_output=True, text=True,
        timeout=seconds, check=False,
    )  # fmt: skip


def _closing_line(output: str) -> str:
    lines = [line for line in output.splitlines() if line.strip()]
    return lines[-1].strip("= ") if lines else ""


if __name__ == "__main__":
    sys.exit(main())
