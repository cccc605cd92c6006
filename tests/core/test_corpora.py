"""Real mail that nobody here wrote: no exception, and no robot taken for a customer."""

from __future__ import annotations

import csv
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from mailbot.core.inbound_message import read_message
from mailbot.core.recognition import describe, needs_body, recognise

CORPORA = Path(__file__).parents[2] / ".." / "shared" / "corpora"
pytestmark = pytest.mark.skipif(
    not CORPORA.is_dir(), reason="the corpora of real mail are not beside this checkout"
)

# Reports and auto-replies for the most part; the real opt-outs among them.
OF_ROBOTS = ("sisimai", "flufl-bounce", "php-bounce-handler", "kumomta", "emailengine-complaints")
REAL_OPT_OUTS = {
    "sisimai/bsd/arf-12.eml",  # Feedback-Type: opt-out
    "sisimai/bsd/arf-26.eml",  # Apple Mail's unsubscribe button
    "php-bounce-handler/arf2.eml",
    "emailengine-complaints/optout.eml",
}
OF_PEOPLE = ("mime-torture", "rspamd", "imap-captures")


def mails(folders: tuple[str, ...]) -> Iterator[tuple[str, bytes]]:
    for folder in folders:
        for path in sorted((CORPORA / folder).rglob("*")):
            if path.is_file() and path.suffix not in (".tsv", ".md") and path.name != "LICENSE":
                yield str(path.relative_to(CORPORA)), path.read_bytes()


def test_no_robot_of_the_corpora_is_taken_for_a_customer(
    capsys: pytest.CaptureFixture[str],
) -> None:
    found = {name: recognise(read_message(raw)).name for name, raw in mails(OF_ROBOTS)}
    with capsys.disabled():
        sys.stdout.write(f"\n{len(found)} mails of robots: {dict(Counter(found.values()))}\n")
    assert {name for name, verdict in found.items() if verdict == "opt_out"} == REAL_OPT_OUTS
    assert "review" not in found.values()
    assert Counter(found.values())["bounce"] > 0.9 * len(found)


def test_torture_mail_raises_nothing_and_asks_for_nothing(
    capsys: pytest.CaptureFixture[str],
) -> None:
    counts: Counter[str] = Counter()
    slowest = 0.0
    for name, raw in mails(OF_PEOPLE):
        started = time.perf_counter()
        verdict = recognise(read_message(raw))
        slowest = max(slowest, time.perf_counter() - started)
        counts[verdict.name] += 1
        describe(verdict)
        assert verdict.name not in ("opt_out", "opt_in", "review"), name
    with capsys.disabled():
        sys.stdout.write(f"\n{sum(counts.values())} torture mails: {dict(counts)}\n")
    assert slowest < 2


def test_the_header_alone_misses_no_report() -> None:
    """What intake decides without the body is what it would decide with it."""
    for name, raw in mails(OF_ROBOTS + OF_PEOPLE):
        header_only = read_message(raw, is_whole=False)
        if not needs_body(header_only):
            assert recognise(header_only).name == recognise(read_message(raw)).name, name


def test_permanent_failures_agree_with_the_labels_where_both_judge_by_the_code() -> None:
    """sisimai labels a mailbox that is full, blocked or slow: none may be called gone."""
    passing = {
        "mailboxfull",
        "expired",
        "policyviolation",
        "spamdetected",
        "toomanyconn",
        "blocked",
    }
    wrong: list[str] = []
    judged = 0
    with (CORPORA / "sisimai" / "labels.tsv").open(encoding="utf-8") as labels:
        rows = list(csv.DictReader(labels, delimiter="\t"))
    several = Counter(row["file"] for row in rows)
    for row in rows:
        path = CORPORA / "sisimai" / row["file"]
        if row["reason"] in passing and path.exists() and several[row["file"]] == 1:
            judged += 1
            verdict = describe(recognise(read_message(path.read_bytes())))
            if verdict.get("permanent"):
                wrong.append(row["file"])
    assert judged > 100
    assert len(wrong) <= 0.04 * judged, wrong
