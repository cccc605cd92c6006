"""The demo's closing tables: what customers wrote, who was sent what, what became of help@."""

from __future__ import annotations

from rich import box
from rich.console import Console, RenderableType
from rich.padding import Padding
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from mailbot.core.consent import Reason
from mailbot.core.eligibility import MessageKind
from mailbot.core.outbox_states import State
from mailbot.demo import cast
from mailbot.demo.findings import Account, Findings, Heard
from mailbot.demo.promises import Promise
from mailbot.store.deliveries import MessageStory

_UNDERSTOOD = {
    "opt_out": Text("no more offers", style="yellow"),
    "bounce": Text("mail came back", style="red"),
    "auto_reply": Text("automatic reply", style="dim"),
    "unrelated": Text("for the staff", style="cyan"),
    "review": Text("needs a person", style="magenta"),
}
_WHY = {
    Reason.OPT_OUT: "asked for no offers",
    Reason.UNDELIVERABLE: "mailbox is gone",
    Reason.HELD: "waits for a person",
    Reason.COMPLAINT: "complained of spam",
    Reason.IMPORTED: "on an imported list",
    Reason.ERASED: "data erased",
}
_STATES = {
    State.SENT: Text("sent", style="green"),
    State.BOUNCED: Text("came back", style="red"),
    State.WITHHELD: Text("withheld", style="bold yellow"),
}


def introduce(console: Console) -> None:
    """Say what is about to happen."""
    words = (
        f"A small shop, [bold]{cast.SHOP_NAME}[/], has customers, a mailbox {cast.HELP}, and "
        "mailbot. Mailbox, mail server and mailbot are real programs talking over real "
        "connections, all on this machine: no mail leaves it."
    )
    console.print(Panel(words, title="mailbot demo", border_style="cyan", padding=(0, 1)))


def tell(console: Console, sentence: str, seconds: float) -> None:
    """One act is over."""
    line = Table.grid(padding=(0, 1), expand=True)
    line.add_column()
    line.add_column(ratio=1)
    line.add_column(justify="right", style="dim", no_wrap=True)
    line.add_row(Text(" ✓", style="green"), sentence, f"{seconds:.1f} s")
    console.print(line)


def show(console: Console, findings: Findings, promises: tuple[Promise, ...]) -> None:
    """Print the tables and the promises."""
    for title, note, body in (
        (
            "Who asked what",
            "Listed: gets no offers any more, only order status.",
            letters_table(findings),
        ),
        ("Who was sent what", "", customers_table(findings)),
        ("What mailbot promises, checked just now", "", promises_table(promises)),
    ):
        console.print()
        console.print(Text.assemble((f" {title}", "bold"), (f"  {note}", "dim")))
        console.print(body)


def conclude(console: Console, promises: tuple[Promise, ...], seconds: float) -> bool:
    """The last line; True where every promise was kept. What is missing is named."""
    broken = [promise for promise in promises if not promise.is_kept]
    console.print()
    for promise in broken:
        console.print(Text(f" Not kept: {promise.words}", style="bold red"))
        for what in promise.missing:
            console.print(Text(f"   {what}", style="red"))
    if broken:
        return False
    console.print(
        Text.assemble(
            (" Every promise was kept.", "bold green"),
            (f" It took {seconds:.1f} seconds.", "dim"),
        )
    )
    return True


def _table(*headings: str, wide: str) -> Table:
    """Only the column `wide` gives way where the terminal is narrow."""
    table = Table(
        box=box.SIMPLE_HEAD,
        show_edge=False,
        padding=(0, 1, 0, 0),
        header_style="bold",
        border_style="dim",
    )
    for heading in headings:
        table.add_column(heading, no_wrap=heading != wide, overflow="fold")
    return table


def letters_table(findings: Findings) -> RenderableType:
    """One line a mail: who wrote what, how it was understood, what mailbot did."""
    table = _table("From", "Subject", "Understood as", "What mailbot did", wide="Subject")
    for heard in findings.heard:
        table.add_row(
            _who(heard),
            heard.subject or Text("(none; to the unsubscribe address)", style="dim italic"),
            _UNDERSTOOD.get(heard.verdict, Text(heard.verdict or "nothing yet", style="red")),
            _done(heard, findings.account(heard.letter.writer)),
        )
    return _indented(table)


def _who(heard: Heard) -> Text:
    name = heard.letter.writer.name
    if heard.verdict == "bounce":
        return Text.assemble(name, ("\n(the mail server)", "dim"))
    return Text(name)


def _done(heard: Heard, account: Account) -> Text:
    if Reason.OPT_OUT in account.reasons:
        told = account.taken(MessageKind.ACKNOWLEDGEMENT)
        return Text("listed, told so" if told else "listed")
    if Reason.UNDELIVERABLE in account.reasons:
        return Text("address stopped")
    if account.events:
        return Text(", ".join(str(event.kind) for event in account.events))
    return Text("left untouched" if heard.verdict == "unrelated" else "nothing", style="dim")


def customers_table(findings: Findings) -> RenderableType:
    """One line a customer: each campaign, order status, and why something was withheld."""
    offers = [offer.name for offer in cast.OFFERS_SENT]
    table = _table("Customer", *offers, "Order status", "Why withheld", wide="Why withheld")
    for account in findings.accounts:
        if not account.messages and not account.delivered:
            continue
        withheld = {row.withheld_reason for row in account.messages if row.withheld_reason}
        table.add_row(
            account.customer.name,
            *(_sent(account.offer(name)) for name in offers),
            _joined(account.of_kind(MessageKind.ORDER_STATUS)),
            ", ".join(_WHY[reason] for reason in sorted(withheld)),
        )
    return _indented(table)


def _sent(row: MessageStory | None) -> Text:
    if row is None:
        return Text("·", style="dim")
    return _STATES.get(row.state, Text(str(row.state), style="red"))


def _joined(rows: tuple[MessageStory, ...]) -> Text:
    return Text("\n").join(map(_sent, rows)) if rows else _sent(None)


def promises_table(promises: tuple[Promise, ...]) -> RenderableType:
    """One line a promise: kept or broken, and the figures behind it."""
    table = Table.grid(padding=(0, 1))
    for promise in promises:
        mark = Text("✓", style="bold green") if promise.is_kept else Text("✗", style="bold red")
        table.add_row(mark, Text.assemble(promise.words, (f"  {promise.figures}", "dim")))
    return _indented(table)


def _indented(body: RenderableType) -> Padding:
    return Padding(body, (0, 0, 0, 1), expand=False)
