"""From letter and audience to a draft: every fault is told before anything is stored."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from mailbot.cli.opening import OpenedForPersons, opened_for_persons, writing
from mailbot.cli.showing import counted
from mailbot.cli.stop_marketing import who
from mailbot.config import Settings
from mailbot.core.address import parse_address
from mailbot.core.checklist import all_faults, law_checks, letter_checks
from mailbot.core.compose import PROVIDED_FIELDS
from mailbot.core.consent import Reason
from mailbot.core.errors import AudienceError, InputError, TemplateError
from mailbot.core.letter_headers import header_fault
from mailbot.core.mail_headers import has_control_character
from mailbot.core.preflight import Fault, Severity, subject_faults
from mailbot.core.templates import Template, parse_template, render
from mailbot.core.text_from_html import text_template_of
from mailbot.lists.bad_lines import BadLinesFile
from mailbot.outbound import campaigns
from mailbot.outbound.audience import Audience, read_audience
from mailbot.outbound.audience_rows import BadLine
from mailbot.outbound.queried_audience import queried_audience
from mailbot.store import campaign_figures
from mailbot.store.campaigns import Campaign, Origin

_MOST_SHOWN = 20  # bad lines in an error message


@dataclass(frozen=True, slots=True)
class People:
    """Where a campaign's people stand, and how that is to be read."""

    file: Path  # CSV, or the query where there is a `source`
    source: str | None = None  # an [[audience]] of the settings
    email_column: str | None = None
    encoding: str | None = None
    fields: Sequence[str] = ()  # NAME=COLUMN each
    skip_bad: bool = False
    bad_lines: Path | None = None  # where to write what cannot be used


@dataclass(frozen=True, slots=True)
class Draft:
    """A campaign that was just made, and what a person should know before sending it."""

    campaign: Campaign
    audience: Audience
    reachable: int
    excluded: Mapping[Reason, int]
    warnings: tuple[Fault, ...]
    is_text_made: bool = False  # from the HTML


def create_draft(
    config: Path,
    *,
    name: str,
    subject: str | None,
    text_file: Path | None,
    html_file: Path | None,
    people: People,
) -> Draft:
    """Without a text its words are taken from the HTML: one of the two is needed.

    Raises TemplateError, AudienceError, RefusedError (name taken), and what opening raises."""
    _check_name(name)
    with opened_for_persons(config) as installation:
        html = _read(html_file) if html_file else None
        text = _read(text_file) if text_file else _text_from(name, html, html_file, subject)
        template = parse_template(name, text, html, subject)
        with _audience(people, template, installation.settings) as (audience, origin):
            _write_bad_lines(audience, people.bad_lines)
            warnings = _refuse_faults(template, audience, installation.settings)
            _refuse_bad_lines(audience, skip_bad=people.skip_bad)
            draft = _store(installation, name, template, html, audience, warnings, origin)
            return replace(draft, is_text_made=text_file is None)


@contextmanager
def _audience(
    people: People, template: Template, settings: Settings
) -> Iterator[tuple[Audience, Origin | None]]:
    fields = read_field_names(people.fields)
    fault_of = partial(header_fault, template)
    if people.source is None:
        yield (
            read_audience(
                people.file,
                people.email_column,
                encoding=people.encoding,
                fields=fields,
                fault_of=fault_of,
            ),
            None,
        )
        return
    with queried_audience(
        settings, people.source, people.file, people.email_column, fields=fields, fault_of=fault_of
    ) as found:
        yield found


def read_field_names(pairs: Sequence[str]) -> dict[str, str]:
    """NAME=COLUMN each, as name to column. Raises InputError for what is no pair, or told twice."""
    fields: dict[str, str] = {}
    for pair in pairs:
        name, equals, column = (part.strip() for part in pair.partition("="))
        what = "" if name and equals and column else "this is not NAME=COLUMN."
        what = f"the field “{name}” is named twice." if name in fields else what
        if what:
            raise InputError(
                what, where=f"--field {pair}", next_step="Write: --field first_name=Vorname"
            )
        fields[name] = column
    return fields


def _write_bad_lines(audience: Audience, path: Path | None) -> None:
    """Every line that cannot be used, with the reason; no file where there is none."""
    if path is None or not audience.bad:
        return
    file = BadLinesFile(path)
    for read in audience.every_line():
        if isinstance(read, BadLine):
            written = io.StringIO()
            csv.writer(written, delimiter=audience.rows.delimiter).writerow(read.cells)
            file.add(read.line, read.why, written.getvalue().rstrip("\r\n"))
    file.close()


def _store(
    installation: OpenedForPersons,
    name: str,
    template: Template,
    html: str | None,
    audience: Audience,
    warnings: tuple[Fault, ...],
    origin: Origin | None,
) -> Draft:
    with writing(installation):
        pass  # from now on this key is the database's
    campaign = campaigns.create(
        installation.database,
        installation.person_key,
        name=name,
        subject=template.subject.source,
        text_source=template.text.source,
        html_source=html,
        audience=audience.lines(),
        origin=origin,
        by=who(),
    )
    with installation.database.read() as conn:
        reachable, excluded = campaign_figures.reach(conn, campaign.id)
    return Draft(campaign, audience, reachable, excluded, warnings)


def _check_name(name: str) -> None:
    if not name.strip() or len(name) > 100 or has_control_character(name):
        raise InputError(
            "a campaign's name has 1 to 100 characters, on one line.",
            where="NAME",
            next_step="Give it a short one, like spring-2026.",
        )


def _read(path: Path) -> str:
    """A template's text. Raises TemplateError naming file and line."""
    what, next_step, where = "", "", str(path)
    try:
        raw = path.read_bytes()
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(10, 0, error.start) + 1  # 10: LF
        where = f"{path}, line {line}"
        what, next_step = f"byte {raw[error.start]:#04x} is not UTF-8.", "Save it as UTF-8."
    except OSError as error:
        what = f"the file cannot be read ({(error.strerror or str(error)).lower()})."
        next_step = "Name the letter's file."
    raise TemplateError(what, where=where, next_step=next_step)


def _text_from(name: str, html: str | None, html_file: Path | None, subject: str | None) -> str:
    """Raises TemplateError where nothing can be made of it, or a subject is missing."""
    if html is None:
        what, next_step = "there is no letter.", "Name its text, its HTML or both: --text, --html."
        raise TemplateError(what, where=name, next_step=next_step)
    if subject is None:
        what, next_step = "an HTML file holds no subject.", 'Add one: --subject "New teas are in".'
        raise TemplateError(what, where=str(html_file), next_step=next_step)
    parse_template(name, "…", html, subject)  # what Jinja cannot read has its line in the HTML
    text = text_template_of(html)
    if not text:
        what = "it shows no words, so no text part can be made of it."
        next_step = "Write one (--text FILE): some people and many filters read nothing else."
        raise TemplateError(what, where=str(html_file), next_step=next_step)
    return text


def _refuse_faults(template: Template, audience: Audience, settings: Settings) -> tuple[Fault, ...]:
    """The warnings. Raises TemplateError with every error at once."""
    law = law_checks(
        parse_address(settings.campaigns.from_address),
        parse_address(settings.order_status.from_address),
        settings.shop.postal_address,
    )
    faults = all_faults([*letter_checks(template, audience.columns), *law])
    errors = [fault for fault in faults if fault.severity is Severity.ERROR]
    if not errors:
        errors = _first_letter_faults(template, audience)
    if len(errors) == 1:
        raise TemplateError(errors[0].what, where=errors[0].where, next_step=errors[0].next_step)
    if errors:
        lines = [f"\n  {fault.where}: {fault.what} {fault.next_step}" for fault in errors]
        raise TemplateError(f"{len(errors)} faults:{''.join(lines)}", where=template.name)
    return tuple(fault for fault in faults if fault.severity is Severity.WARNING)


def _first_letter_faults(template: Template, audience: Audience) -> list[Fault]:
    """What shows only once a real person's fields are filled in. Raises TemplateError."""
    first = next(audience.lines(), None)
    if first is None:
        return []
    written = render(template, {**first.fields, **dict.fromkeys(PROVIDED_FIELDS, "…")})
    return subject_faults(
        written.subject, f"{template.name}, as {audience.rows.unit} {first.line} would get it"
    )


def _refuse_bad_lines(audience: Audience, *, skip_bad: bool) -> None:
    if audience.good == 0:
        raise AudienceError(
            "nobody can be written to.",
            where=audience.where,
            next_step=_listed(audience) or "There is no line below the heading.",
        )
    if audience.bad and not skip_bad:
        raise AudienceError(
            f"{counted(audience.bad, audience.rows.unit)} cannot be used:{_listed(audience)}",
            where=audience.where,
            next_step=f"Mend {'it' if audience.bad == 1 else 'them'}, or add --skip-bad to write "
            f"to the other {audience.good:,}. Nothing was created.",
        )


def _listed(audience: Audience) -> str:
    lines = [
        f"\n  {audience.rows.unit} {bad.line}: {bad.why}"
        for bad in audience.bad_lines[:_MOST_SHOWN]
    ]
    more = audience.bad - len(lines)
    return "".join(lines) + (f"\n  and {more:,} more" if more else "")
