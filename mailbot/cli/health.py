"""`check` before the start, `status` while it runs."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import typer

from mailbot.cli.opening import ConfigOption, JsonOption, config_path, opened


def check(config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """Try everything that mailbot needs, and say in plain words what is wrong. Sends nothing.

    Exit code 1 where something does not work; a warning leaves it at 0.

    Example: mailbot check --config /etc/mailbot/mailbot.toml
    """
    from mailbot import doctor
    from mailbot.cli.showing import print_json
    from mailbot.config import load

    findings = doctor.examine(load(config_path(config)))
    if as_json:
        print_json([asdict(finding) for finding in findings])
    else:
        for finding in findings:
            typer.echo(f"{finding.grade.upper():4}  {finding.subject}: {finding.what}")
            if finding.next_step:
                typer.echo(f"      {finding.next_step}")
    has_failed = any(finding.grade is doctor.Grade.FAIL for finding in findings)
    raise typer.Exit(1 if has_failed else 0)


def status(config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """Say what runs, what waits, and what needs a person. Exit code 1 where something does.

    Example: mailbot status
    """
    from mailbot.cli.showing import print_json
    from mailbot.store import consent, mailboxes, outbox, reviews, suppressions, switches

    with opened(config) as mailbot, mailbot.database.read() as conn:
        seen = {
            "mailboxes": [asdict(one) for one in mailboxes.statuses(conn)],
            "marketing": asdict(switches.get(conn, switches.MARKETING_STOPPED)),
            "list": suppressions.count_by_reason(conn),
            "ledger": consent.head_sequence(conn),
            "outbox": [
                {"kind": kind, "state": state, "count": count}
                for (kind, state), count in sorted(outbox.count_by_state(conn).items())
            ],
            "oldest_waiting_at": outbox.oldest_waiting_at(conn),
            "reviews": [
                {"id": item.id, "rule": item.rule, "because": item.because, "due_at": item.due_at}
                for item in reviews.waiting(conn)
            ],
        }
    needs = _what_needs_a_person(seen)
    if as_json:
        print_json({**seen, "needs_a_person": needs})
    else:
        _print(seen, needs)
    raise typer.Exit(1 if needs else 0)


def _what_needs_a_person(seen: dict[str, Any]) -> list[str]:
    from mailbot.cli.showing import shown

    if not any(one["heard_at"] or one["blind_since"] for one in seen["mailboxes"]):
        return ["no daemon has read a mailbox yet: mailbot run"]
    needs = [
        f"the mailbox {one['account']} cannot be read since {shown(one['blind_since'])}: "
        f"{one['blind_because']}"
        for one in seen["mailboxes"]
        if one["blind_since"]
    ]
    if seen["marketing"]["is_on"]:
        because = seen["marketing"]["because"]
        needs.append("marketing is stopped" + (f": {because}" if because else ""))
    if seen["reviews"]:
        first = seen["reviews"][0]
        needs.append(
            f"{len(seen['reviews'])} mails wait in review, the first until {shown(first['due_at'])}"
        )
    uncertain = sum(row["count"] for row in seen["outbox"] if row["state"] == "uncertain")
    if uncertain:
        needs.append(f"{uncertain} messages are uncertain: the relay may have taken them")
    return needs


def _print(seen: dict[str, Any], needs: list[str]) -> None:
    from mailbot.cli.showing import console, table

    screen = console()
    for need in needs:
        screen.print(f"! {need}", style="bold", markup=False)
    if not needs:
        screen.print("All is well.", style="bold")
    parts = (
        ("Mailboxes", ["mailbox", "last heard", "read by"],
         [(one["account"], one["heard_at"], one["claimed_by"]) for one in seen["mailboxes"]]),
        (f"The list ({seen['ledger']} events in the ledger)", ["reason", "people"],
         sorted(seen["list"].items())),
        ("The outbox", ["kind", "state", "messages"],
         [(row["kind"], row["state"], row["count"]) for row in seen["outbox"]]),
        ("In review", ["no.", "rule", "because", "due"],
         [(one["id"], one["rule"], one["because"], one["due_at"]) for one in seen["reviews"]]),
    )  # fmt: skip
    for title, columns, rows in parts:
        if rows:
            screen.print()
            screen.print(table(title, columns, rows))
