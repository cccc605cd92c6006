"""Who walks each edge of the outbox, and how a scene is brought to the step before it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from mailbot.core.outbox_states import State
from tests.house import wait_until
from tests.inbound.letters import delivery_report
from tests.servers import relay as relays
from tests.servers.dovecot import free_port
from tests.system.crashes import furnished
from tests.system.crashes.failpoints import Act, When
from tests.system.crashes.scene import PATIENCE, Row, Scene

Deed = Callable[[Scene, Row], None]


def nothing(_scene: Scene, _row: Row) -> None:
    """All is ready."""


def an_offer(scene: Scene) -> Row:
    return scene.offers()[0]


def an_order(scene: Scene) -> Row:
    return scene.order()


def one_who_left(scene: Scene) -> Row:
    return scene.offer_to(furnished.LEFT_QUEUED)


@dataclass(frozen=True, slots=True)
class Walk:
    """One way along an edge: about `whom`, after `first`, by `command`; then `mend`, if anything.

    `who` says it in the words of docs/reliability.md; {who} in a command is the person.
    """

    who: str
    command: tuple[str, ...] = ("run",)
    whom: Callable[[Scene], Row] = an_offer
    first: Deed = nothing
    mend: Deed = nothing
    acts: tuple[Act, ...] = ()
    cancels: bool = False  # the campaign: its other rows may end as cancelled
    reads_mail: bool = False

    def kill(self, scene: Scene, row: Row, edge: tuple[State, State], when: When) -> None:
        """Walk there, and die before or after the COMMIT."""
        self.first(scene, row)
        words = tuple(word.format(who=row.who) for word in self.command)
        scene.dies(*words, rows=[row], when=when, edge=edge, acts=self.acts)


# What happens before


def _claimed(scene: Scene, row: Row) -> None:
    """A daemon died with the row claimed."""
    scene.dies("run", rows=[row], when="after", edge=(State.QUEUED, State.CLAIMED))


def _begun(scene: Scene, row: Row) -> None:
    """A daemon died with the attempt begun."""
    scene.dies("run", rows=[row], when="after", edge=(State.CLAIMED, State.SENDING))


def _taken_unheard(scene: Scene, row: Row) -> None:
    """A daemon died between the relay's 250 and its own COMMIT."""
    scene.dies("run", rows=[row], when="before", edge=(State.SENDING, State.SENT))


def _uncertain(scene: Scene, row: Row) -> None:
    """The relay took it, the daemon died, and the next daemon's sweep found the lease over."""
    _taken_unheard(scene, row)
    scene.dies("run", rows=[row], when="after", edge=(State.SENDING, State.UNCERTAIN))


def _deferred(scene: Scene, row: Row) -> None:
    """The relay said "later", and it was written down."""
    _says("451 4.3.0 later")(scene, row)
    scene.dies("run", rows=[row], when="after", edge=(State.SENDING, State.DEFERRED))
    scene.heal()
    scene.due_now()


def _sent(scene: Scene, row: Row) -> None:
    scene.go_on()
    assert scene.row(row.id).state is State.SENT


def _reported(before: Deed) -> Deed:
    """`before`, and then a report comes back: no such mailbox."""

    def comes(scene: Scene, row: Row) -> None:
        before(scene, row)
        assert scene.mail is not None
        report = delivery_report(scene.row(row.id).message_id, recipient=row.who)
        scene.mail.drop(scene.folder.name, report)

    return comes


def _says(reply: str) -> Deed:
    """What the relay answers to RCPT TO this person."""

    def scripted(scene: Scene, row: Row) -> None:
        scene.relay.script = relays.Script(rcpt={row.who: reply})

    return scripted


def _old_and_later(scene: Scene, row: Row) -> None:
    scene.grow_old(row)
    _says("451 4.3.0 later")(scene, row)


def _refuses_our_sender(scene: Scene, row: Row) -> None:
    """From the last order on, MAIL FROM is refused: about us, and not about the message."""

    def listen(step: str, recipient: str) -> None:
        if step == "." and recipient == furnished.LEFT_BEFORE:
            scene.relay.script.mail = "530 5.7.0 log in first"

    scene.relay.on_step = listen


def _loses_its_answer(scene: Scene, row: Row) -> None:
    def listen(step: str, recipient: str) -> None:
        scene.relay.script.hang_up_after_dot = recipient == row.who

    scene.relay.on_step = listen


def _answers_late(reply: str | None) -> Deed:
    """Only when the daemon's own sweep has found the lease over."""

    def scripted(scene: Scene, row: Row) -> None:
        def listen(step: str, recipient: str) -> None:
            is_it = step == "." and recipient == row.who
            if is_it:
                wait_until(
                    lambda: scene.row(row.id).state is State.UNCERTAIN, PATIENCE, "the sweep"
                )
            scene.relay.script.dot = reply if is_it else None

        scene.relay.on_step = listen

    return scripted


def _relay_away(scene: Scene, row: Row) -> None:
    scene.point_relay(old=scene.relay_port, new=free_port())


# What is put right afterwards


def _heal(scene: Scene, row: Row) -> None:
    scene.heal()


def _relay_back(scene: Scene, row: Row) -> None:
    [away] = [
        int(line.split(" = ")[1])
        for line in scene.config.read_text().partition("[relay]")[2].splitlines()
        if line.startswith("port = ")
    ]
    scene.point_relay(old=away, new=scene.relay_port)


def _resume(scene: Scene, row: Row) -> None:
    if scene.row(row.id).state is State.QUEUED:
        scene.run("campaign", "resume", "spring")


_CANCEL = ("campaign", "cancel", "spring", "--yes", "--because", "wrong price")
_PAUSE = ("campaign", "pause", "spring", "--because", "out of stock")
_ADD = ("suppress", "add", "{who}", "--note", "by phone")
_ERASE = ("erase", "{who}", "--yes", "--note", "ticket 4711")

CLAIM = Walk("the daemon's claim")
CLAIM_OF_DEFERRED = Walk("the daemon's claim", first=_deferred)
BEGIN = Walk("the daemon's round, an offer")
BEGIN_ORDER = Walk("the daemon's round, order status", whom=an_order)
OPT_OUT_OF_QUEUED = Walk("`suppress add`, in its second transaction", _ADD)
OPT_OUT_OF_CLAIMED = Walk("`suppress add`, in its second transaction", _ADD, first=_claimed)
OPT_OUT_OF_DEFERRED = Walk("`suppress add`, in its second transaction", _ADD, first=_deferred)
CANCEL_QUEUED = Walk("`campaign cancel`", _CANCEL, cancels=True)
CANCEL_CLAIMED = Walk("`campaign cancel`", _CANCEL, first=_claimed, cancels=True)
CANCEL_DEFERRED = Walk("`campaign cancel`", _CANCEL, first=_deferred, cancels=True)
ERASE_QUEUED = Walk("`erase`", _ERASE)
ERASE_UNCERTAIN = Walk("`erase`", _ERASE, first=_uncertain)
GIVE_BACK = Walk("the daemon, whose relay is away", first=_relay_away, mend=_relay_back)
SWEEP_CLAIMED = Walk("the sweep of leases", first=_claimed)
PAUSE = Walk("`campaign pause`", _PAUSE, first=_claimed, mend=_resume)
SETTLE = Walk("the daemon's round: 250, an offer")
SETTLE_ORDER = Walk("the daemon's round: 250, order status", whom=an_order)
DEFER = Walk("the daemon's round: 451", first=_says("451 4.3.0 later"), mend=_heal)
BOUNCE = Walk("the daemon's round: 550 5.1.1", first=_says("550 5.1.1 no such user"))
REJECT = Walk("the daemon's round: 554 5.6.0", first=_says("554 5.6.0 unwanted content"))
EXPIRE = Walk("the daemon's round: 451 to an old row", first=_old_and_later, mend=_heal)
LAST_LOOK = Walk("the daemon's round: the look found the person listed", whom=one_who_left)
OUR_TROUBLE = Walk("the daemon's round: 530 to MAIL FROM", first=_refuses_our_sender, mend=_heal)
CANCELLED_MEANWHILE = Walk(
    "the daemon's round: the look found the campaign cancelled",
    acts=("cancel_campaign_before_look",), cancels=True,
)  # fmt: skip
SWEEP_BEGUN = Walk("the sweep of leases", first=_begun)
ANSWER_LOST = Walk("the daemon's round: hung up after the dot", first=_loses_its_answer, mend=_heal)
LATE_SENT = Walk(
    "a 250 that came after the lease", first=_answers_late(None), mend=_heal,
    acts=("mute_heartbeat",),
)  # fmt: skip
LATE_BOUNCED = Walk(
    "a 550 5.1.1 that came after the lease", first=_answers_late("550 5.1.1 no such user"),
    mend=_heal, acts=("mute_heartbeat",),
)  # fmt: skip
REPORT_OF_UNCERTAIN = Walk(
    "intake: a delivery report", first=_reported(_uncertain), reads_mail=True
)
REPORT_OF_SENT = Walk("intake: a delivery report", first=_reported(_sent), reads_mail=True)
RESEND = Walk("the sweep of leases: order status again", whom=an_order, first=_uncertain)
