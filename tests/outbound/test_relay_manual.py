"""docs/relay.md tells the truth where a machine can tell."""

from __future__ import annotations

import re
from pathlib import Path

from mailbot.config import RelaySettings, SenderSettings
from mailbot.core.smtp_replies import ABOUT_THE_MESSAGE, NO_SUCH_RECIPIENT

HERE = Path(__file__).parent
MANUAL = (HERE.parents[1] / "docs" / "relay.md").read_text(encoding="utf-8")
ROWS = [line for line in MANUAL.splitlines() if line.startswith("|")]


def row_with(words: str) -> str:
    [row] = [row for row in ROWS if words in row]
    return row


def test_every_test_that_is_named_is_there() -> None:
    named = set(re.findall(r"`(test_\w+\.py)`", MANUAL))
    assert len(named) > 5
    assert {name for name in named if not (HERE / name).is_file()} == set()


def test_whoever_does_not_exist_is_told_by_the_codes_of_the_code() -> None:
    told = set(re.findall(r"5\.\d+\.\d+", row_with("the mailbox or domain does not exist")))
    assert told == NO_SUCH_RECIPIENT


def test_what_is_about_one_message_at_mail_is_told_by_the_codes_of_the_code() -> None:
    told = set(re.findall(r"5\.\d+\.\d+", row_with("too large")))
    assert told == ABOUT_THE_MESSAGE - {"5.6.7"}, "which mailbot says itself"
    assert "5.6.7" in row_with("offers no SMTPUTF8")


def test_every_setting_that_is_named_is_one() -> None:
    known = {*RelaySettings.model_fields, *SenderSettings.model_fields}
    named = set(re.findall(r"`([a-z]+(?:_[a-z]+)+)`", MANUAL))
    of_log = {"relay_unavailable", "needs_a_person", "domain_slowed", "relay_slowed"}
    assert named - known == of_log
