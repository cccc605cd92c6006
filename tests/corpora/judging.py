"""What each mail of the corpora should be taken for, by its labels, and what it is taken for."""

from __future__ import annotations

import csv
import time
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from mailbot.core.inbound_message import read_message
from mailbot.core.recognition import Facts, describe, recognise
from mailbot.data import load_vocabulary

CORPORA = Path(__file__).parents[2] / ".." / "shared" / "corpora"
SETS = (
    "sisimai", "flufl-bounce", "php-bounce-handler", "kumomta", "emailengine-complaints",
    "mime-torture", "rspamd", "imap-captures",
)  # fmt: skip
# Sets of reports and auto-replies; the real opt-outs among them.
OF_ROBOTS = SETS[:5]
OF_PEOPLE = SETS[5:]
REAL_OPT_OUTS = frozenset({
    "sisimai/bsd/arf-12.eml",  # Feedback-Type: opt-out
    "sisimai/bsd/arf-26.eml",  # Apple Mail's unsubscribe button
    "php-bounce-handler/arf2.eml",
    "emailengine-complaints/optout.eml",
})  # fmt: skip
_NO_MAIL = frozenset({"LICENSE", "README", "README.md", "INDEX.md"})
_COMPLAINTS = ("arf", "fbl-", "hotmailbounce", "rfc5965")


@dataclass(frozen=True, slots=True)
class Judged:
    """One mail: `wanted` is "" where no label says more than "no opt-out"."""

    name: str
    wanted: str
    found: str
    rule: str
    wanted_permanent: bool | None = None
    found_permanent: bool | None = None
    seconds: float = 0.0

    @property
    def is_right(self) -> bool:
        if not self.wanted:
            return self.found not in ("opt_out", "opt_in", "review")
        return self.found == self.wanted

    @property
    def is_permanent_right(self) -> bool | None:
        """None where no label says whether the failure is permanent, or it is no bounce."""
        if self.wanted_permanent is None or self.found_permanent is None:
            return None
        return self.wanted_permanent == self.found_permanent


@dataclass(slots=True)
class Score:
    """What became of one set."""

    judged: list[Judged] = field(default_factory=list)

    @property
    def wrong(self) -> list[Judged]:
        return [one for one in self.judged if not one.is_right]

    def share_right(self, *, labelled_only: bool = False) -> float:
        counted = [one for one in self.judged if one.wanted or not labelled_only]
        return sum(one.is_right for one in counted) / len(counted)

    @property
    def permanents(self) -> list[Judged]:
        return [one for one in self.judged if one.is_permanent_right is not None]

    @property
    def share_permanent_right(self) -> float:
        return sum(bool(one.is_permanent_right) for one in self.permanents) / len(self.permanents)


def is_there() -> bool:
    """Whether the corpora stand beside this checkout."""
    return CORPORA.is_dir()


def mails(folder: str) -> Iterator[tuple[str, bytes]]:
    """Every mail of a set, by its name within the corpora."""
    for path in sorted((CORPORA / folder).rglob("*")):
        if path.is_file() and path.suffix not in (".tsv", ".md") and path.name not in _NO_MAIL:
            yield str(path.relative_to(CORPORA)), path.read_bytes()


@cache
def judge(folder: str) -> Score:
    """Every mail of a set, recognised with the shipped vocabulary and no facts."""
    facts = Facts(vocabulary=load_vocabulary())
    wanted, permanent = _wanted(folder), _permanent(folder)
    score = Score()
    for name, raw in mails(folder):
        started = time.perf_counter()
        message = read_message(raw)
        verdict = recognise(message, facts)
        seconds = time.perf_counter() - started
        told = describe(verdict)
        found_permanent = told.get("permanent")
        want = wanted.get(name, "")
        if folder in OF_PEOPLE and facts.vocabulary.find(message.subject) is not None:
            want = verdict.name  # its decoded subject says so
        score.judged.append(Judged(
            name, want, verdict.name, verdict.rule, permanent.get(name),
            found_permanent if isinstance(found_permanent, bool) else None, seconds,
        ))  # fmt: skip
    return score


def _wanted(folder: str) -> dict[str, str]:
    """The verdict each label asks for; a file without one is left out."""
    if folder == "sisimai":
        found = {f"sisimai/{row['file']}": _by_reason(row["reason"]) for row in _rows("sisimai")}
    elif folder == "flufl-bounce":
        found = {
            f"flufl-bounce/{row['file']}": "bounce"
            for row in _rows("flufl-bounce")
            if row["temporary"] or row["permanent"]
        }
    elif folder in ("php-bounce-handler", "kumomta", "emailengine-complaints"):
        found = {name: _by_name(folder, name) for name, _ in mails(folder)}
    else:
        found = {}
    return {name: "opt_out" if name in REAL_OPT_OUTS else want for name, want in found.items()}


def _by_reason(reason: str) -> str:
    return {"feedback": "complaint", "vacation": "auto_reply"}.get(reason, "bounce")


def _by_name(folder: str, name: str) -> str:
    file = name.rpartition("/")[2]
    if file == "unsubscribe.eml":  # a program's log with a mail in it, no mail
        return "unrelated"
    if folder == "emailengine-complaints" or file.startswith(_COMPLAINTS):
        return "complaint"
    return "bounce"


def _permanent(folder: str) -> dict[str, bool]:
    """By sisimai's `hardbounce`: true where every recipient's failure is for good."""
    if folder != "sisimai":
        return {}
    found: dict[str, list[bool]] = defaultdict(list)
    for row in _rows("sisimai"):
        if _by_reason(row["reason"]) == "bounce":
            found[f"sisimai/{row['file']}"].append(row["hardbounce"] == "true")
    return {name: all(each) for name, each in found.items()}


def _rows(folder: str) -> list[dict[str, str]]:
    with (CORPORA / folder / "labels.tsv").open(encoding="utf-8") as labels:
        return list(csv.DictReader(labels, delimiter="\t"))
