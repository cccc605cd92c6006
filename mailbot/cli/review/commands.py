"""`mailbot review`: mail that may have been a request, decided by a person."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from mailbot.cli.options import DEFAULT_CONFIG, Config, Json

if TYPE_CHECKING:
    from collections.abc import Callable

    from mailbot.config import Settings
    from mailbot.inbound.review import Decided, Decider
    from mailbot.inbound.review_mail import FoundMail, MissingMail
    from mailbot.store.engine import Database
    from mailbot.store.reviews import ReviewItem

app = typer.Typer(no_args_is_help=True)

_LARGEST_ID = 2**63 - 1  # of a database
_LONGEST_REASON = 1_000  # characters

_Id = Annotated[
    int,
    typer.Argument(metavar="ID", min=1, max=_LARGEST_ID, help="As `mailbot review list` shows it."),
]
_Ids = Annotated[
    list[int],
    typer.Argument(
        metavar="ID…", min=1, max=_LARGEST_ID, help="As `mailbot review list` shows them."
    ),
]
_By = Annotated[
    str, typer.Option("--by", metavar="NAME", help="Who decides: else your login name.")
]
_Reason = Annotated[
    str, typer.Option("--reason", metavar="TEXT", help="Why: it is kept as evidence.")
]


@app.callback()
def review() -> None:
    """Mail that may have been a request: whoever may have asked gets no offers meanwhile.

    Where nobody decides within 24 hours, it is taken for a request.
    """


@app.command("list")
def list_(
    with_decided: Annotated[
        bool, typer.Option("--all", help="Those that are decided as well, below.")
    ] = False,
    limit: Annotated[
        int,
        typer.Option("--limit", metavar="N", min=1, max=10_000, help="At most so many decided."),
    ] = 50,
    config: Config = DEFAULT_CONFIG,
    as_json: Json = False,
) -> None:
    """What waits for a decision, due first on top.

    Mail that could not be read holds nobody, and waits for as long as it takes.

    [bold]Examples[/bold]
      mailbot review list
      mailbot review list --all --json
    """
    from mailbot.cli.opening import opened
    from mailbot.cli.review.as_json import item_as_json
    from mailbot.cli.review.screen import show_decided, show_waiting
    from mailbot.cli.showing import print_json
    from mailbot.config.business_days import business_days
    from mailbot.store import reviews
    from mailbot.store.engine import now

    with opened(config) as installation, installation.database.read() as conn:
        at = now(conn)
        waiting = reviews.waiting(conn)
        decided = reviews.decided(conn, limit) if with_decided else []
        count = reviews.count_decided(conn) if with_decided else 0
    is_business_day = business_days(installation.settings)
    if as_json:
        print_json([item_as_json(item, at, is_business_day) for item in (*waiting, *decided)])
        return
    show_waiting(waiting, at, is_business_day)
    if with_decided:
        show_decided(decided, count)


@app.command()
def show(item_id: _Id, config: Config = DEFAULT_CONFIG, as_json: Json = False) -> None:
    """One review, and its mail: main headers and first lines, fetched now and stored nowhere.

    The mail stays unread. Where it was moved, it is found by its Message-ID;
    where it is gone, what was kept of it is shown. It can be decided all the same.

    [bold]Example[/bold]
      mailbot review show 12
    """
    from mailbot.cli.opening import opened
    from mailbot.cli.review.as_json import item_as_json, mail_as_json
    from mailbot.cli.review.screen import show_item, show_kept, show_mail, show_next_step
    from mailbot.cli.showing import print_json
    from mailbot.config.business_days import business_days
    from mailbot.core.errors import MailbotError
    from mailbot.inbound.review import find_item
    from mailbot.inbound.review_mail import FoundMail, MissingMail
    from mailbot.store import reviews
    from mailbot.store.engine import now

    with opened(config) as installation, installation.database.read() as conn:
        at = now(conn)
        item = find_item(conn, item_id)
        asked = reviews.asked(conn, item)
    evidence = asked.evidence if asked else {}
    is_business_day = business_days(installation.settings)
    if not as_json:
        show_item(item, at, is_business_day)
    failure: MailbotError | None = None
    mail: FoundMail | MissingMail
    try:
        mail = _fetch(installation.settings, item, evidence.get("Message-ID", ""))
    except MailbotError as error:
        failure, mail = error, MissingMail("it cannot be fetched now")
    if as_json:
        print_json(
            item_as_json(item, at, is_business_day)
            | mail_as_json(mail, failure)
            | {"evidence": evidence}
        )
    else:
        if isinstance(mail, FoundMail):
            show_mail(mail)
        else:
            show_kept(mail, evidence)
        show_next_step(item)
    if failure is not None:
        raise failure


@app.command()
def accept(
    item_ids: _Ids,
    by: _By = "",
    reason: _Reason = "",
    config: Config = DEFAULT_CONFIG,
    as_json: Json = False,
) -> None:
    """It was a request: opt the person out. Their waiting offers are withheld.

    Exit code 1 where one of the numbers is unknown or decided already; the
    others are done.

    [bold]Examples[/bold]
      mailbot review accept 12
      mailbot review accept 12 13 --by Eve --reason "she means the newsletter"
    """
    from mailbot.cli.review.screen import tell_accepted
    from mailbot.inbound.review import accept

    _decide(config, item_ids, accept, by, reason, None if as_json else tell_accepted)


@app.command()
def dismiss(
    item_ids: _Ids,
    by: _By = "",
    reason: _Reason = "",
    config: Config = DEFAULT_CONFIG,
    as_json: Json = False,
) -> None:
    """It was no request: end the hold, unless another review holds the same person.

    It ends no opt-out. Offers that were withheld meanwhile are not sent later.
    Exit code 1 where one of the numbers is unknown or decided already; the
    others are done.

    [bold]Examples[/bold]
      mailbot review dismiss 12
      mailbot review dismiss 12 13 --reason "asks how to change the address"
    """
    from mailbot.cli.review.screen import tell_dismissed
    from mailbot.inbound.review import dismiss

    _decide(config, item_ids, dismiss, by, reason, None if as_json else tell_dismissed)


def _decide(
    config: Config,
    item_ids: list[int],
    act: Callable[[Database, int, Decider], Decided],
    by: str,
    reason: str,
    tell: Callable[[Decided, str], None] | None,
) -> None:
    """Each by itself, told at once; `tell` is None for JSON, one object a line."""
    from mailbot.cli.opening import opened
    from mailbot.cli.review.as_json import decided_as_json
    from mailbot.cli.showing import print_json_line, printable
    from mailbot.cli.stop_marketing import who
    from mailbot.core.consent import Source
    from mailbot.core.errors import NotFoundError, RefusedError
    from mailbot.inbound.review import Decider
    from mailbot.store.reviews import LONGEST_NAME

    with opened(config) as installation:
        decider = Decider(
            by=printable(by).strip()[:LONGEST_NAME] or who(),
            source=Source.COMMAND_LINE,
            policy_version=installation.settings.shop.policy_version,
            reason=printable(reason).strip()[:_LONGEST_REASON],
        )
        are_all_done = True
        for item_id in dict.fromkeys(item_ids):
            try:
                decided = act(installation.database, item_id, decider)
            except (NotFoundError, RefusedError) as error:
                are_all_done = False
                if tell is None:
                    print_json_line({"id": item_id, "is_done": False, "because": error.what})
                typer.echo(f"mailbot: {error.what}\n  {error.next_step}", err=True)
            else:
                if tell is None:
                    print_json_line(decided_as_json(decided, decider))
                else:
                    tell(decided, decider.reason)
    if not are_all_done:
        raise typer.Exit(1)


def _fetch(settings: Settings, item: ReviewItem, message_id: str) -> FoundMail | MissingMail:
    from mailbot.config import read_secret
    from mailbot.inbound.imap import Mailbox
    from mailbot.inbound.review_mail import MissingMail, find_mail, mailbox_of

    box = mailbox_of(settings, item.place.account)
    if box is None:
        return MissingMail(f"the settings have no mailbox “{item.place.account}” any more")
    with Mailbox(box, read_secret(settings, box.password_file)) as mailbox:
        return find_mail(mailbox, item.place, message_id)
