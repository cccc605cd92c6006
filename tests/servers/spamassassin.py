"""Debian's SpamAssassin over one message: the rules of its package, no network, no memory."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

_SECONDS = 120  # a limit for a busy machine; it takes some three


def is_installed() -> bool:
    return shutil.which("spamassassin") is not None


def rules_that_fire(message: bytes, home: Path) -> set[str]:
    """The names of all rules that hit `message`; its preferences go to `home`."""
    prefs = home / "user_prefs"
    prefs.write_text("use_bayes 0\nreport_safe 0\nadd_header all Hits _TESTS(,)_\n")
    done = subprocess.run(
        ["spamassassin", "--local", "--nocreate-prefs", f"--prefs-file={prefs}"],
        input=message, capture_output=True, timeout=_SECONDS, check=True,
        env={"HOME": str(home), "PATH": os.environ["PATH"], "LC_ALL": "C"},
    )  # fmt: skip
    head = done.stdout.replace(b"\r\n", b"\n").partition(b"\n\n")[0].decode()
    found = re.search(r"^X-Spam-Hits: (.*(?:\n[ \t].*)*)", head, re.MULTILINE)
    assert found is not None, f"no verdict in:\n{head}\n{done.stderr.decode()}"
    return set(re.findall(r"[A-Z][A-Z0-9_]+", found[1]))
