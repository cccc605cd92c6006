"""Real mail that nobody here wrote: no exception, no robot taken for a customer, the figures."""

from __future__ import annotations

import pytest

from mailbot.core.inbound_message import read_message
from mailbot.core.recognition import Facts, needs_body, recognise
from mailbot.data import load_vocabulary
from tests.corpora import table
from tests.corpora.judging import OF_PEOPLE, OF_ROBOTS, REAL_OPT_OUTS, SETS, is_there, judge, mails

pytestmark = pytest.mark.skipif(
    not is_there(), reason="the corpora of real mail are not beside this checkout"
)


def test_no_robot_of_the_corpora_is_taken_for_a_customer() -> None:
    found = {one.name: one.found for folder in OF_ROBOTS for one in judge(folder).judged}
    assert {name for name, verdict in found.items() if verdict == "opt_out"} == REAL_OPT_OUTS
    assert "review" not in found.values()


@pytest.mark.parametrize("folder", OF_PEOPLE)
def test_torture_mail_asks_for_nothing(folder: str) -> None:
    score = judge(folder)
    assert [one.name for one in score.wrong] == []
    assert max(one.seconds for one in score.judged) < 2


def test_the_verdicts_agree_with_the_labels() -> None:
    assert judge("sisimai").share_right(labelled_only=True) >= table.REQUIRED_VERDICTS
    assert judge("flufl-bounce").share_right(labelled_only=True) >= 0.94
    for folder in ("php-bounce-handler", "kumomta", "emailengine-complaints"):
        assert [one.name for one in judge(folder).wrong] == []


def test_permanent_failures_agree_with_the_labels() -> None:
    score = judge("sisimai")
    assert len(score.permanents) > 500
    assert score.share_permanent_right >= table.REQUIRED_PERMANENT


@pytest.mark.parametrize("folder", SETS)
def test_the_header_alone_misses_no_report(folder: str) -> None:
    """What intake decides without the body is what it would decide with it."""
    facts = Facts(vocabulary=load_vocabulary())
    for name, raw in mails(folder):
        header_only = read_message(raw, is_whole=False)
        if not needs_body(header_only, facts):
            whole = recognise(read_message(raw), facts)
            assert recognise(header_only, facts).name == whole.name, name


def test_the_table_prints_and_says_that_nothing_is_missed(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert table.main() == 0
    printed = capsys.readouterr().out
    assert "sisimai" in printed and "MISSED" not in printed
