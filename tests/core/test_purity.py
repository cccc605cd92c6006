"""core is pure where import-linter cannot look: no call reads the clock, a file or a terminal."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import mailbot.core

FILES = sorted(Path(*mailbot.core.__path__).glob("**/*.py"))
BUILT_IN = {"open", "print", "input", "exec", "eval", "__import__", "breakpoint"}
CLOCK = {"now", "utcnow", "today"}  # datetime.now(), date.today(): times are passed in
MODULES = {"urllib.request", "importlib", "importlib.resources"}


def impurities(source: str) -> list[str]:
    """What in it reaches outside, as `line: name`."""
    found = []
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Call(func=ast.Name(id=name)) if name in BUILT_IN:
                found.append(f"{node.lineno}: {name}")
            case ast.Call(func=ast.Attribute(attr=name)) if name in CLOCK:
                found.append(f"{node.lineno}: {name}")
            case ast.Import(names=names):
                found += [f"{node.lineno}: {each.name}" for each in names if each.name in MODULES]
            case ast.ImportFrom(module=str(module)) if module in MODULES:
                found.append(f"{node.lineno}: {module}")
    return found


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_a_file_of_core_reaches_nothing_outside(path: Path) -> None:
    assert impurities(path.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    "source",
    ["datetime.now(UTC)", "date.today()", "open('x')", "import urllib.request", "print('x')"],
)
def test_what_reaches_outside_is_seen(source: str) -> None:
    assert len(impurities(source)) == 1
