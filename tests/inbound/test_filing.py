"""What is done with a mail that opted somebody out: after the commit, and never more than asked."""

from __future__ import annotations

import pytest
import structlog.testing

from mailbot.config import MailboxSettings
from mailbot.core.consent import Reason
from mailbot.core.errors import MailboxRefused, MailboxUnavailable
from mailbot.inbound.filing import NO_FILING, Filing
from mailbot.inbound.imap import Mailbox
from mailbot.inbound.imap_filing import move_mails
from tests.inbound.desk import Desk
from tests.inbound.letters import letter

BY_KEYWORD = Filing("keyword", "mailbot-opt-out")
BY_MOVE = Filing("move", "Unsubscribed")


def test_filing_is_off_by_default(settings: MailboxSettings) -> None:
    assert Filing.of(settings) == NO_FILING


def test_an_opt_out_gets_the_keyword_and_stays_unread(desk: Desk) -> None:
    desk.change(filing=BY_KEYWORD)
    asked, other = desk.arrive(letter("unsubscribe")), desk.arrive(letter("Tea?"))
    desk.hear()
    flags = desk.server.flags(desk.user)
    assert flags[asked] == {"mailbot-opt-out"}
    assert flags[other] == frozenset()


def test_an_opt_out_is_moved_and_nothing_else(desk: Desk) -> None:
    desk.change(filing=BY_MOVE)
    desk.server.create(desk.user, "Unsubscribed")
    desk.arrive(letter("unsubscribe"))
    other = desk.arrive(letter("Tea?"))
    deleted = desk.arrive(letter("Old", "Ben <ben@example.net>"), flags="\\Deleted")
    desk.hear()
    assert set(desk.server.flags(desk.user)) == {other, deleted}  # no bare EXPUNGE
    assert list(desk.server.flags(desk.user, "Unsubscribed").values()) == [frozenset()]
    assert desk.reasons() == {Reason.OPT_OUT}


def test_nothing_is_moved_before_the_opt_out_is_committed(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[set[Reason]] = []
    move = Mailbox.move

    def watched(mailbox: Mailbox, uids: list[int], folder: str) -> None:
        seen.append(desk.reasons())
        move(mailbox, uids, folder)

    monkeypatch.setattr(Mailbox, "move", watched)
    desk.change(filing=BY_MOVE)
    desk.server.create(desk.user, "Unsubscribed")
    desk.arrive(letter("unsubscribe"))
    desk.hear()
    assert seen == [{Reason.OPT_OUT}]


def test_a_folder_that_is_missing_costs_the_filing_and_not_the_opt_out(desk: Desk) -> None:
    desk.change(filing=BY_MOVE)
    uid = desk.arrive(letter("unsubscribe"))
    with structlog.testing.capture_logs() as events:
        desk.hear()
    (told,) = [event for event in events if event["event"] == "filing_refused"]
    assert "Unsubscribed" in told["because"]
    assert desk.reasons() == {Reason.OPT_OUT}
    assert desk.last_uid() == uid


def test_a_filing_that_the_line_lost_is_done_when_the_mail_is_heard_again(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk.change(filing=BY_KEYWORD)
    uid = desk.arrive(letter("unsubscribe"))
    with monkeypatch.context() as broken:
        broken.setattr(Mailbox, "mark", _lost)
        with pytest.raises(MailboxUnavailable):
            desk.hear()
    assert desk.reasons() == {Reason.OPT_OUT}
    assert desk.last_uid() == 0
    desk.hear()
    assert desk.server.flags(desk.user)[uid] == {"mailbot-opt-out"}
    assert len(desk.events()) == 1


def test_later_mail_does_not_wait_for_a_filing_that_always_fails(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk.change(filing=BY_KEYWORD)
    uid = desk.arrive(letter("unsubscribe"))
    monkeypatch.setattr(Mailbox, "mark", _lost)
    with structlog.testing.capture_logs() as events:
        for _ in range(2):
            with pytest.raises(MailboxUnavailable):
                desk.hear()
        desk.hear()
    assert desk.last_uid() == uid
    assert "filing_given_up" in [event["event"] for event in events]


def _lost(*_: object) -> None:
    raise MailboxUnavailable("the connection was lost while marking mail.", where="here")


class _Server:
    """imapclient's commands as they are called, by a server of these capabilities."""

    def __init__(self, *capabilities: str) -> None:
        self.capabilities, self.called = capabilities, []  # type: ignore[var-annotated]

    def has_capability(self, name: str) -> bool:
        return name in self.capabilities

    def __getattr__(self, name: str) -> object:
        return lambda *_: self.called.append(name)


def test_without_move_the_mail_is_copied_and_expunged_by_its_uid() -> None:
    server = _Server("UIDPLUS")
    move_mails(server, "here", [7], "Unsubscribed")
    assert server.called == ["copy", "delete_messages", "uid_expunge"]


def test_a_server_that_could_only_expunge_everything_moves_nothing() -> None:
    server = _Server()
    with pytest.raises(MailboxRefused, match="neither MOVE nor UIDPLUS"):
        move_mails(server, "here", [7], "Unsubscribed")
    assert server.called == []
