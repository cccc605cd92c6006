"""The mail behind a review item in a real Dovecot: found where it stands, and left as it was."""

from __future__ import annotations

import pytest

from mailbot.config import MailboxSettings
from mailbot.core.errors import MailboxUnavailable
from mailbot.inbound.imap import Mailbox
from mailbot.inbound.review_mail import FoundMail, MissingMail, find_mail
from mailbot.store.reviews import Place
from tests.inbound.letters import letter
from tests.servers.dovecot import PASSWORD, Dovecot

ID = "<the-one@example.net>"


class Help:
    """One mailbox, and a look for one mail in it over a new connection."""

    def __init__(self, server: Dovecot, user: str, settings: MailboxSettings) -> None:
        self.server, self.user, self.settings = server, user, settings

    def arrive(self, subject: str = "Do not unsubscribe me", message_id: str = ID,
               folder: str = "INBOX") -> Place:  # fmt: skip
        mail = letter(subject, message_id=message_id)
        uid = self.server.deliver(self.user, mail, folder=folder)
        with Mailbox(self.settings, PASSWORD) as mailbox:
            return Place("help", folder, mailbox.examine(folder).uidvalidity, uid)

    def find(self, place: Place, message_id: str = ID) -> FoundMail | MissingMail:
        with Mailbox(self.settings, PASSWORD) as mailbox:
            return find_mail(mailbox, place, message_id)

    def move(self, place: Place, folder: str) -> None:
        with self.server.client(self.user) as client:
            client.create(f'"{folder}"')
            client.select(f'"{place.folder}"')
            assert client.uid("MOVE", str(place.uid), f'"{folder}"')[0] == "OK"


@pytest.fixture
def help_(shared_server: Dovecot, user: str, settings: MailboxSettings) -> Help:
    return Help(shared_server, user, settings)


def test_a_mail_is_found_where_it_was_seen_and_stays_unread(help_: Help) -> None:
    place = help_.arrive()
    found = help_.find(place)
    assert isinstance(found, FoundMail)
    assert (found.message.subject, found.folder, found.was_moved) == (
        "Do not unsubscribe me", "INBOX", False,
    )  # fmt: skip
    assert found.message.parts[0].text.strip() == "Thank you."
    assert help_.server.flags(help_.user) == {place.uid: frozenset()}


@pytest.mark.parametrize("folder", ["Junk", "Archive.2026", "Erledigt &AOQ-"])
def test_a_mail_that_was_moved_is_found_by_its_message_id(help_: Help, folder: str) -> None:
    place = help_.arrive()
    help_.arrive("Another one", "<another@example.net>")
    help_.move(place, folder)
    found = help_.find(place)
    assert isinstance(found, FoundMail)
    assert found.message.subject == "Do not unsubscribe me"
    assert found.folder == folder.replace("&AOQ-", "ä")
    assert found.was_moved


def test_a_mail_is_found_again_after_its_folder_was_numbered_anew(help_: Help) -> None:
    """Its old UID may be another mail's now, and that one is not shown."""
    place = help_.arrive()
    help_.server.change_uidvalidity(help_.user)
    found = help_.find(place)
    assert isinstance(found, FoundMail)
    assert (found.message.message_id, found.was_moved) == (ID, False)
    missing = help_.find(place, "<gone@example.net>")
    assert isinstance(missing, MissingMail)
    assert "INBOX was numbered anew" in missing.because


def test_a_deleted_mail_is_missed_in_words(help_: Help) -> None:
    place = help_.arrive()
    help_.server.delete(help_.user, place.uid)
    missing = help_.find(place)
    assert isinstance(missing, MissingMail)
    assert "it was moved or deleted, and no folder has a mail of its Message-ID" in missing.because
    missing = help_.find(place, "")
    assert isinstance(missing, MissingMail)
    assert "no Message-ID is known" in missing.because


def test_a_mail_in_a_folder_that_was_deleted_is_missed_in_words(help_: Help) -> None:
    missing = help_.find(Place("help", "Gone", 1, 1))
    assert isinstance(missing, MissingMail)
    assert "the folder Gone is not there any more" in missing.because


def test_a_mail_that_only_mentions_the_message_id_is_another_one(help_: Help) -> None:
    """SEARCH finds it all the same."""
    place = help_.arrive(message_id=f"<other@example.net> {ID}")
    with Mailbox(help_.settings, PASSWORD) as mailbox:
        mailbox.examine("INBOX")
        assert mailbox.uids_naming(ID) == [place.uid]
    assert isinstance(help_.find(Place("help", "INBOX", place.uidvalidity, 99)), MissingMail)


@pytest.mark.parametrize(
    "message_id", ['<a"b\\c@example.net>', "<{5}(%*@example.net>", "<näh@example.net>"]
)
def test_a_hostile_message_id_is_looked_for_or_missed_and_breaks_nothing(
    help_: Help, message_id: str
) -> None:
    place = help_.arrive("This one", message_id)
    help_.move(place, "Junk")
    found = help_.find(place, message_id)
    if message_id.isascii():
        assert isinstance(found, FoundMail)
        assert found.message.subject == "This one"
    else:  # no charset in which every server would look for it
        assert isinstance(found, MissingMail)


def test_a_server_that_is_away_is_no_missing_mail(help_: Help) -> None:
    away = help_.settings.model_copy(update={"port": 1})
    with pytest.raises(MailboxUnavailable), Mailbox(away, PASSWORD) as mailbox:
        find_mail(mailbox, Place("help", "INBOX", 1, 1), ID)
