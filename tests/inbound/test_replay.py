"""Missed requests are found in a real Dovecot and in files, told right, and carried out once."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from mailbot.core.consent import ConsentEvent, Kind, Reason, Source
from mailbot.core.errors import MailboxRefused, RefusedError, StoreUnavailable
from mailbot.core.outbox_states import State
from mailbot.core.tokens import sign_undo, undo_address
from mailbot.inbound import replay as replay_module
from mailbot.inbound.folders import WatchedFolder
from mailbot.inbound.imap import Mailbox
from mailbot.inbound.missed import Findings, Missed
from mailbot.inbound.replay import FiledMail, Replay
from mailbot.inbound.shop import Shop
from mailbot.store import consent, deliveries, mailboxes
from mailbot.store.reviews import Place
from tests.inbound.desk import ACCOUNT, Desk
from tests.inbound.letters import HELP, SHOP, TOKEN_KEYS, delivery_report, letter, person
from tests.inbound.test_consequences import full_mailbox, sent_to
from tests.servers.dovecot import PASSWORD
from tests.servers.scripted_imap import ScriptedImap
from tests.store.filling import campaign_under_way

MARCH = datetime(2026, 3, 2, 12, tzinfo=UTC)
INBOX = WatchedFolder("INBOX")
MX = "mx.shop.example"
FAILED = f"Authentication-Results: {MX}; spf=fail; dkim=none; dmarc=fail"


def replay(
    desk: Desk,
    *folders: WatchedFolder,
    shop: Shop = SHOP,
    is_applied: bool = False,
    since: datetime | None = None,
    authserv_ids: tuple[str, ...] = (),
) -> Findings:
    found = Replay(shop, desk.database, is_applied=is_applied, since=since)
    with Mailbox(desk.settings, PASSWORD) as mailbox:
        for folder in folders or (INBOX,):
            found.folder(mailbox, ACCOUNT, folder, authserv_ids)
    return found.findings


def replay_files(desk: Desk, *mails: FiledMail, is_applied: bool = False) -> Findings:
    found = Replay(SHOP, desk.database, is_applied=is_applied)
    found.files(mails)
    return found.findings


def filed(raw: bytes, at: datetime | None = None, number: int = 1) -> FiledMail:
    return FiledMail(Place("file", "old.mbox", 0, number), raw, at)


def pass_over(desk: Desk, folder: str = "INBOX") -> None:
    """As if intake had read what stands there, and understood nothing of it."""
    with Mailbox(desk.settings, PASSWORD) as mailbox:
        state = mailbox.examine(folder)
        last = mailbox.uids_after(0)[-1]
    with desk.database.write() as conn:
        mailboxes.advance(conn, ACCOUNT, folder, state.uidvalidity, last)
        mailboxes.finish_first_scan(conn, ACCOUNT, folder, state.uidvalidity)


def dump(desk: Desk) -> list[str]:
    """Everything that the database holds."""
    with sqlite3.connect(desk.database.where.removeprefix("sqlite:///")) as conn:
        return list(conn.iterdump())


def counts(found: Findings) -> tuple[int, int, int, int]:
    return found.read, found.requests, found.recorded, len(found.missed)


def the_one(found: Findings) -> Missed:
    (missed,) = found.missed
    return missed


def come_back(desk: Desk, at: datetime) -> None:
    event = ConsentEvent(
        kind=Kind.OPT_IN, source=Source.CONSOLE, person=person(), key="console:1",
        received_at=at, rule="console", policy_version="7",
    )  # fmt: skip
    with desk.database.write() as conn:
        consent.record(conn, event)


# -- what is missed ------------------------------------------------------------------------------


def test_what_intake_heard_is_not_missed(desk: Desk) -> None:
    """In whatever folder it stands by now, and whatever the folder is called."""
    desk.arrive(letter("unsubscribe"))
    desk.arrive(letter("Tea?"))
    desk.arrive(letter("unsubscribe", "", message_id="<nobody@example.net>"))
    desk.arrive(letter("please do not unsubscribe me", "Ben <ben@example.net>"))
    desk.hear()
    assert counts(replay(desk)) == (4, 3, 3, 0)
    desk.server.create(desk.user, "Done")
    with desk.server.client(desk.user) as client:
        client.select("INBOX")
        client.uid("MOVE", "1:*", "Done")
    assert counts(replay(desk, WatchedFolder("Done"))) == (4, 3, 3, 0)


def test_a_request_below_the_watermark_that_was_never_recorded_is_missed(desk: Desk) -> None:
    desk.arrive(letter("unsubscribe", "Ben <ben@example.net>"))
    desk.hear()
    uid = desk.arrive(letter("unsubscribe"), received_at=MARCH)
    pass_over(desk)
    desk.hear()
    assert desk.reasons() == set()
    found = replay(desk)
    assert counts(found) == (2, 2, 1, 1)
    missed = the_one(found)
    assert (missed.place.folder, missed.place.uid, missed.received_at) == ("INBOX", uid, MARCH)
    assert (missed.verdict, missed.rule) == ("opt_out", "word-in-subject")
    assert missed.who == ("ann@example.net",)
    (effect,) = missed.effects
    assert (effect.kind, effect.person, effect.address) == (
        Kind.OPT_OUT, person(), "ann@example.net",
    )  # fmt: skip
    assert (set(effect.before), set(effect.after)) == (set(), {Reason.OPT_OUT})


def test_a_dry_run_changes_nothing(desk: Desk) -> None:
    desk.arrive(letter("unsubscribe"))
    desk.arrive(letter("please do not unsubscribe me", "Ben <ben@example.net>"))
    message_id = sent_to(desk.database, "gone@example.net")[1]
    desk.arrive(delivery_report(message_id, recipient="gone@example.net"))
    before, flags = dump(desk), desk.server.flags(desk.user)
    assert counts(replay(desk)) == (3, 3, 0, 3)
    assert dump(desk) == before
    assert desk.server.flags(desk.user) == flags


def test_bounces_and_auto_replies_are_no_requests(desk: Desk) -> None:
    """Nor is a report about mail that is not ours."""
    for name in ("Auto-Submitted: auto-replied", "X-Autoreply: yes"):
        desk.arrive(letter("Out of office: unsubscribe", "Ann <ann@example.net>", name))
    desk.arrive(delivery_report("<x@shop.example>", recipient="carl@example.net"))
    assert counts(replay(desk)) == (3, 0, 0, 0)


def test_a_report_about_our_mail_that_was_missed_is_told(desk: Desk) -> None:
    message_id = sent_to(desk.database, "gone@example.net")[1]
    desk.arrive(delivery_report(message_id, recipient="gone@example.net"))
    (effect,) = the_one(replay(desk)).effects
    assert (effect.kind, effect.address) == (Kind.UNDELIVERABLE, "gone@example.net")


def test_a_doubtful_mail_that_was_missed_would_be_held_and_reviewed(desk: Desk) -> None:
    desk.arrive(letter("please do not unsubscribe me"))
    missed = the_one(replay(desk))
    assert (missed.verdict, missed.opens_review) == ("review", True)
    assert [effect.after for effect in missed.effects] == [{Reason.HELD}]


def test_a_request_that_names_nobody_is_missed_until_a_person_is_asked(desk: Desk) -> None:
    desk.arrive(letter("Unsubscribe", "", message_id="<nobody@example.net>"))
    missed = the_one(replay(desk))
    assert (missed.who, missed.effects, missed.opens_review) == ((), (), True)
    assert len(replay(desk, is_applied=True).missed) == 1
    assert counts(replay(desk)) == (1, 1, 1, 0)
    assert [item.person for item in desk.waiting_reviews()] == [None]


def test_a_copy_in_another_folder_is_missed_once(desk: Desk) -> None:
    mail = letter("unsubscribe")
    desk.server.create(desk.user, "Done")
    desk.arrive(mail)
    desk.arrive(mail, folder="Done")
    for is_applied in (False, True):
        found = replay(desk, INBOX, WatchedFolder("Done"), is_applied=is_applied)
        assert (counts(found), found.copies) == ((2, 2, 0, 1), 1)


def test_only_what_came_since_then_is_read(desk: Desk) -> None:
    desk.arrive(letter("unsubscribe"), received_at=MARCH - timedelta(seconds=1))
    desk.arrive(letter("unsubscribe", "Ben <ben@example.net>"), received_at=MARCH)
    found = replay(desk, since=MARCH)
    assert (found.read, the_one(found).who) == (1, ("ben@example.net",))


def test_every_batch_is_read(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mailbot.inbound.intake.FETCH_BATCH", 2)
    desk.server.drop(desk.user, *[letter("unsubscribe", f"c{one}@example.net") for one in range(5)])
    seen: list[tuple[str, int, int | None]] = []
    found = Replay(SHOP, desk.database, on_progress=lambda *told: seen.append(told))
    with Mailbox(desk.settings, PASSWORD) as mailbox:
        found.folder(mailbox, ACCOUNT, INBOX)
    assert len(found.findings.missed) == 5
    assert [(done, total) for _, done, total in seen] == [(0, 5), (2, 5), (4, 5), (5, 5)]


# -- told right: what follows from earlier mail ---------------------------------------------------


def test_an_old_opt_out_of_who_came_back_is_missed_and_leaves_the_list_as_it_is(
    desk: Desk,
) -> None:
    come_back(desk, MARCH + timedelta(days=30))
    desk.arrive(letter("unsubscribe"), received_at=MARCH)
    (effect,) = the_one(replay(desk)).effects
    assert (effect.kind, effect.before, effect.after) == (Kind.OPT_OUT, frozenset(), frozenset())
    replay(desk, is_applied=True)
    assert desk.reasons() == set()
    assert [event.kind for event in desk.events()] == [Kind.OPT_IN, Kind.OPT_OUT]


def wants_back(who: str = "ann@example.net") -> bytes:
    token = sign_undo(TOKEN_KEYS, person(who).person_hash)
    return letter("resubscribe", f"Ann <{who}>", to=undo_address(HELP, token))


def test_a_way_back_after_a_missed_opt_out_is_told_as_it_would_follow_from_it(desk: Desk) -> None:
    """A dry run and an applied one say the same of each mail."""
    desk.arrive(letter("unsubscribe"), received_at=MARCH)
    desk.arrive(wants_back(), received_at=MARCH + timedelta(days=1))
    desk.arrive(wants_back(), received_at=MARCH - timedelta(days=1))
    dry, done = replay(desk), replay(desk, is_applied=True)
    for found in (dry, done):
        steps = [(one.kind, one.before, one.after) for each in found.missed for one in each.effects]
        assert steps == [
            (Kind.OPT_OUT, frozenset(), {Reason.OPT_OUT}),
            (Kind.OPT_IN, {Reason.OPT_OUT}, frozenset()),
            (Kind.OPT_IN, frozenset(), frozenset()),
        ]
    assert desk.reasons() == set()


def test_passing_bounces_add_up_in_a_dry_run(desk: Desk) -> None:
    """One of them changes nothing; the fifth day does."""
    message_id = sent_to(desk.database, "full@example.net")[1]
    for day in range(5):
        desk.arrive(
            full_mailbox(message_id, "full@example.net"), received_at=MARCH + timedelta(days=day)
        )
    for is_applied in (False, True):
        found = replay(desk, is_applied=is_applied)
        assert the_one(found).place.uid == 5
    assert desk.reasons("full@example.net") == {Reason.UNDELIVERABLE}


# -- the brake -----------------------------------------------------------------------------------


def burst(desk: Desk, count: int) -> None:
    for number in range(count):
        desk.arrive(letter("unsubscribe", f"c{number}@example.net", FAILED), received_at=MARCH)


def test_a_burst_that_intake_braked_is_not_missed(desk: Desk) -> None:
    shop = replace(SHOP, brake_requests=3)
    desk.change(shop, authserv_ids=(MX,))
    burst(desk, 5)
    desk.hear()
    found = replay(desk, shop=shop, authserv_ids=(MX,))
    assert counts(found) == (5, 5, 5, 0)


def test_a_missed_burst_is_braked(desk: Desk) -> None:
    shop = replace(SHOP, brake_requests=3)
    burst(desk, 5)
    for is_applied in (False, True):
        found = replay(desk, shop=shop, authserv_ids=(MX,), is_applied=is_applied)
        assert [each.verdict for each in found.missed] == ["opt_out"] * 3 + ["review"] * 2
    assert counts(replay(desk, shop=shop, authserv_ids=(MX,))) == (5, 5, 5, 0)


# -- applied -------------------------------------------------------------------------------------


def test_applied_it_is_as_if_intake_had_heard_it(desk: Desk) -> None:
    """The ledger's key and receipt are intake's: when intake reads the mail, it changes nothing."""
    desk.arrive(letter("unsubscribe"), received_at=MARCH)
    assert len(replay(desk, is_applied=True).missed) == 1
    (event,) = desk.events()
    assert (event.kind, event.source, event.received_at) == (Kind.OPT_OUT, Source.MAIL, MARCH)
    assert event.evidence["Subject"] == "unsubscribe"
    assert desk.reasons() == {Reason.OPT_OUT}
    assert desk.last_uid() == 0, "the watermark is intake's alone"
    desk.hear()
    assert len(desk.events()) == 1


def test_applied_twice_it_changes_nothing_the_second_time(desk: Desk) -> None:
    desk.arrive(letter("unsubscribe"))
    desk.arrive(letter("please do not unsubscribe me", "Ben <ben@example.net>"))
    message_id = sent_to(desk.database, "full@example.net")[1]
    desk.arrive(full_mailbox(message_id, "full@example.net"))
    assert counts(replay(desk, is_applied=True)) == (3, 2, 0, 2)
    before = dump(desk)
    assert counts(replay(desk, is_applied=True)) == (3, 2, 2, 0)
    assert dump(desk) == before


def test_history_is_not_acknowledged(desk: Desk) -> None:
    """Even where intake would have answered it: who asked long ago would only be surprised."""
    desk.start()
    desk.arrive(letter("unsubscribe"))
    pass_over(desk)
    replay(desk, is_applied=True)
    assert (desk.reasons(), desk.answers()) == ({Reason.OPT_OUT}, 0)


def test_waiting_offers_are_withheld(desk: Desk) -> None:
    campaign_under_way(desk.database, "ann@example.net")
    desk.arrive(letter("unsubscribe"))
    replay(desk, is_applied=True)
    with desk.database.read() as conn:
        (offer,) = deliveries.messages_to(conn, person())
    assert (offer.state, offer.withheld_reason) == (State.WITHHELD, Reason.OPT_OUT)


def test_in_shadow_mode_it_is_not_applied_and_shows_what_would_be(desk: Desk) -> None:
    shadow = replace(SHOP, is_shadow=True)
    desk.change(shadow)
    desk.arrive(letter("unsubscribe"))
    desk.hear()
    with pytest.raises(RefusedError, match="in shadow mode nothing is changed"):
        Replay(shadow, desk.database, is_applied=True)
    assert the_one(replay(desk, shop=shadow)).verdict == "opt_out"


def test_what_was_done_before_an_interruption_stays_and_the_rest_follows(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ctrl-C in the middle of a transaction: that mail is not half done."""
    for number in range(3):
        desk.arrive(letter("unsubscribe", f"c{number}@example.net"))
    record, calls = consent.record, []

    def interrupted(conn: object, event: ConsentEvent) -> consent.Recorded:
        calls.append(event)
        recorded = record(conn, event)  # type: ignore[arg-type]
        if len(calls) == 4:  # the second mail's second time: tried, then done
            raise KeyboardInterrupt
        return recorded

    with monkeypatch.context() as patch:
        patch.setattr(consent, "record", interrupted)
        with pytest.raises(KeyboardInterrupt):
            replay(desk, is_applied=True)
    on_list = [bool(desk.reasons(f"c{number}@example.net")) for number in range(3)]
    assert on_list == [True, False, False]
    assert counts(replay(desk, is_applied=True)) == (3, 3, 1, 2)


def test_a_daemon_that_reads_at_the_same_time_and_a_replay_do_each_request_once(
    desk: Desk,
) -> None:
    """No lease is asked for: whoever comes second finds the event's key."""
    with desk.database.write() as conn:
        assert mailboxes.acquire_lease(conn, ACCOUNT, claimed_by="a daemon", lease_seconds=60)
    for number in range(40):
        desk.arrive(letter("unsubscribe", f"c{number}@example.net"))
    daemon = threading.Thread(target=desk.hear)
    daemon.start()
    replay(desk, is_applied=True)
    daemon.join(30)
    assert desk.ledger_length() == 40
    assert desk.last_uid() == 40
    assert counts(replay(desk)) == (40, 40, 40, 0)


# -- bad mail, and outages -----------------------------------------------------------------------


def failing(error: BaseException) -> Callable[..., None]:
    def fail(*_: object, **__: object) -> None:
        raise error

    return fail


def test_a_mail_that_stops_the_rules_is_left_to_a_person_once(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As intake leaves it: where the subject has the word, who may have asked is held."""
    monkeypatch.setattr(replay_module, "recognise", failing(ValueError()))
    desk.arrive(letter("Tea?"))
    desk.arrive(letter("unsubscribe"))
    found = replay(desk)
    assert (counts(found), found.unreadable) == ((2, 2, 0, 2), 2)
    assert [each.rule for each in found.missed] == ["quarantine"] * 2
    assert [each.who for each in found.missed] == [("ann@example.net",)] * 2
    assert [len(each.effects) for each in found.missed] == [0, 1]
    replay(desk, is_applied=True)
    assert desk.reasons() == {Reason.HELD}
    found = replay(desk)
    assert (counts(found), found.unreadable) == ((2, 2, 2, 0), 2)


def test_a_mail_that_the_server_cannot_read_is_told(desk: Desk) -> None:
    refusal = {"FETCH": b"%s NO [SERVERBUG] corrupt mail\r\n"}
    found = Replay(SHOP, desk.database)
    with ScriptedImap(refusal) as server:
        broken = desk.settings.model_copy(update={"port": server.port})
        with Mailbox(broken, PASSWORD) as mailbox:
            found.folder(mailbox, ACCOUNT, INBOX)
    missed = the_one(found.findings)
    assert (missed.received_at, missed.who, missed.opens_review) == (None, (), True)


def test_an_outage_of_the_database_ends_it(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    desk.arrive(letter("unsubscribe"))
    monkeypatch.setattr(consent, "record", failing(StoreUnavailable("the disk is full")))
    with pytest.raises(StoreUnavailable):
        replay(desk)


# -- a whole mailbox -----------------------------------------------------------------------------


def test_the_watched_folders_are_read_or_the_one_that_is_named(desk: Desk) -> None:
    for number, folder in enumerate(("Junk", "Trash", "2019")):
        if folder != "Junk":
            desk.server.create(desk.user, folder)
        desk.arrive(letter("unsubscribe", f"c{number}@example.net"), folder=folder)
    settings = desk.settings.model_copy(update={"folders": ()})

    def folders(named: str) -> set[str]:
        found = Replay(SHOP, desk.database)
        with Mailbox(settings, PASSWORD) as mailbox:
            found.account(mailbox, settings, named)
        return {each.place.folder for each in found.findings.missed}

    assert folders("") == {"Junk", "Trash"}
    assert folders("2019") == {"2019"}


def test_a_folder_that_is_refused_does_not_hide_the_others(desk: Desk) -> None:
    desk.arrive(letter("unsubscribe"))
    settings = desk.settings.model_copy(update={"folders": ("Gone", "INBOX")})
    found = Replay(SHOP, desk.database)
    with Mailbox(settings, PASSWORD) as mailbox, pytest.raises(MailboxRefused, match="Gone"):
        found.account(mailbox, settings)
    assert len(found.findings.missed) == 1


def test_what_stands_in_staffs_folder_is_an_opt_out(desk: Desk) -> None:
    desk.server.create(desk.user, "OptOut")
    desk.arrive(letter("no more of this"), folder="OptOut", received_at=MARCH)
    settings = desk.settings.model_copy(update={"opt_out_folder": "OptOut"})
    found = Replay(SHOP, desk.database)
    with Mailbox(settings, PASSWORD) as mailbox:
        found.account(mailbox, settings)
    missed = the_one(found.findings)
    assert missed.verdict == "opt_out"
    assert missed.received_at is not None
    assert missed.received_at > MARCH, "a colleague decides when the mail is put there"


# -- files ---------------------------------------------------------------------------------------


def test_what_intake_heard_is_recorded_in_a_file_as_well(desk: Desk) -> None:
    """Whatever the line ends, a folded header, and, without a Message-ID, by its delivery."""
    folded = letter("unsubscribe", message_id="<a@x>").replace(
        b"Subject: ", b"Subject: =?utf-8?q?please?=\n "
    )
    plain = letter("unsubscribe", "Ben <ben@example.net>", message_id="")
    desk.arrive(folded)
    desk.arrive(plain, received_at=MARCH)
    desk.hear()
    found = replay_files(
        desk, filed(folded), filed(folded.replace(b"\n", b"\r\n")), filed(plain, MARCH)
    )
    assert counts(found) == (3, 3, 3, 0)


def test_a_file_counts_as_received_when_it_was_delivered_else_now(desk: Desk) -> None:
    """Never by its Date header, and never in time to come."""
    tomorrow = datetime.now(UTC) + timedelta(days=1)
    before = datetime.now(UTC) - timedelta(seconds=2)
    found = replay_files(
        desk, *[
            filed(letter("unsubscribe", f"c{number}@example.net"), at)
            for number, at in enumerate((MARCH, None, tomorrow))
        ], is_applied=True,
    )  # fmt: skip
    first, *others = [each.received_at for each in found.missed]
    assert first == MARCH
    assert all(at is not None and before < at < tomorrow for at in others)
    assert [desk.events(f"c{number}@example.net")[0].received_at for number in range(3)] == [
        first, *others,
    ]  # fmt: skip


def test_files_applied_twice_change_nothing_the_second_time(desk: Desk) -> None:
    mails = [filed(letter("unsubscribe", message_id="")), filed(letter("Tea?"), MARCH, 2)]
    assert counts(replay_files(desk, *mails, is_applied=True)) == (2, 1, 0, 1)
    assert counts(replay_files(desk, *mails, is_applied=True)) == (2, 1, 1, 0)


def test_the_body_of_a_file_is_read_where_a_rule_needs_it(desk: Desk) -> None:
    message_id = sent_to(desk.database, "gone@example.net")[1]
    found = replay_files(desk, filed(delivery_report(message_id, recipient="gone@example.net")))
    assert the_one(found).who == ("gone@example.net",)
