"""What `mailbot campaign test` prints: who got it, and why somebody did not."""

from __future__ import annotations

from mailbot.cli.showing import console, counted, printable, words
from mailbot.core.outbox_states import State
from mailbot.outbound.test_mail import Answer, Tested
from mailbot.store.campaigns import Campaign


def as_json(campaign: Campaign, tested: Tested) -> dict[str, object]:
    """Plain values."""
    return {
        "name": campaign.name,
        "line": tested.line,
        "sent": tested.sent,
        "recipients": [
            {
                "address": answer.address,
                "outcome": _outcome(answer),
                "withheld_reason": answer.reason,
                "why": answer.why or None,
            }
            for answer in tested.answers
        ],
    }


def show_tested(campaign: Campaign, tested: Tested) -> None:
    """A line each."""
    screen = console()
    screen.print(
        f"“{printable(campaign.name)}”, as line {tested.line} of the audience would get it: "
        f"{counted(tested.sent, 'test mail')} sent.\n"
    )
    for answer in tested.answers:
        screen.print(f"  {printable(answer.address)}: {printable(_told(answer))}")


def _outcome(answer: Answer) -> str:
    if answer.state in (State.SENT, State.WITHHELD, State.UNCERTAIN):
        return answer.state
    return "not_sent"


def _told(answer: Answer) -> str:
    if answer.state is State.SENT:
        return "sent"
    if answer.reason is not None:
        return (
            f"withheld, it is on the do-not-send list ({words(answer.reason)}). "
            f"mailbot why {answer.address} says since when."
        )
    if answer.state is State.UNCERTAIN:
        return f"may have arrived or not ({answer.why}). Look there before you send it again."
    return f"not sent: {answer.why}"
