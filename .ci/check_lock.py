"""Is requirements.lock the lock of this pyproject.toml? Needs no network.

Compares what pyproject.toml asks for with the lines that say "via mailbot", their versions with the
bounds; and sees to it that each version has hashes and no line names a place to download from.
"""

from __future__ import annotations

import re
import sys
import tomllib
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[1]
ENTRY = re.compile(r"(?P<name>[\w.-]+)==(?P<version>[^\s;]+)")


def asked_for(pyproject: str) -> list[Requirement]:
    """What pyproject.toml wants, its extras demo and dev included."""
    project = tomllib.loads(pyproject)["project"]
    extras = project["optional-dependencies"]
    return [Requirement(line) for line in project["dependencies"] + extras["demo"] + extras["dev"]]


def faults(pyproject: str, lock: str) -> list[str]:
    """What does not fit, a sentence each."""
    found: list[str] = []
    wanted = {canonicalize_name(item.name): item for item in asked_for(pyproject)}
    locked = set()
    for entry in re.split(r"(?m)^(?=\S)", lock):
        match = ENTRY.match(entry)
        if match is None:
            continue
        name, version = canonicalize_name(match["name"]), match["version"]
        locked.add(name)
        if "--hash=sha256:" not in entry:
            found.append(f"{name} is locked without a hash")
        if name not in wanted and "mailbot (pyproject.toml)" in entry:
            found.append(f"{name} is locked for mailbot, which no longer asks for it")
        if name in wanted and not wanted[name].specifier.contains(version, prereleases=True):
            found.append(f"{name} is locked at {version}, and {wanted[name]} is asked for")
    found += [f"{name} is asked for, and not locked" for name in sorted(wanted.keys() - locked)]
    if "://" in lock:
        found.append("a line names an address: an index or a host has no place in the lock")
    return found


def main() -> int:
    """Exit code 1 where the lock does not fit."""
    found = faults(
        (ROOT / "pyproject.toml").read_text(encoding="utf-8"),
        (ROOT / "requirements.lock").read_text(encoding="utf-8"),
    )
    for fault in found:
        print(f"requirements.lock: {fault}", file=sys.stderr)
    if found:
        print("Make it anew: make lock", file=sys.stderr)
        return 1
    print("requirements.lock fits pyproject.toml")
    return 0


if __name__ == "__main__":
    sys.exit(main())
