"""Templates: read their sources, say which fields they use and where, render one recipient.

Sources come in as text. A text source begins `Subject: …` and a blank line unless the subject is
given apart; the HTML source is optional; `shared` holds what they extend or include, by file name.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, NoReturn

import jinja2
from jinja2.exceptions import SecurityError

from mailbot.core.errors import TemplateError
from mailbot.core.inlining import inline_css
from mailbot.core.mail_headers import has_control_character
from mailbot.core.template_fields import (
    FieldUse,
    PartName,
    field_uses,
    names_of,
    place_of,
    referenced_files,
)
from mailbot.core.template_limits import MAX_TEXT_CHARS, step_budget
from mailbot.core.template_sandbox import TemplateSandbox

MAX_SOURCE_CHARS: Final = 256 * 1024
MAX_SUBJECT_CHARS: Final = 500

_SUBJECT_LINE: Final = re.compile(r"subject:[ \t]*(.*)", re.IGNORECASE)
_TAG: Final = re.compile(r"{%[^{}]*%}")
_PICTURE_INSIDE: Final = re.compile(r"data:image/[\w.+-]+;base64,[A-Za-z0-9+/]{1000}")
_MISSING: Final = re.compile(r"'(.+)' is undefined")


@dataclass(frozen=True, slots=True)
class Part:
    """The subject, text or HTML of a template, compiled; `skipped_lines` stand above it."""

    source: str
    skipped_lines: int
    uses: tuple[FieldUse, ...]
    compiled: jinja2.Template = field(repr=False, compare=False)


@dataclass(frozen=True, slots=True)
class Template:
    """A template that could be read; only `parse_template` makes one."""

    name: str
    subject: Part
    text: Part
    html: Part | None
    uses: tuple[FieldUse, ...]


@dataclass(frozen=True, slots=True)
class Rendered:
    """One recipient's letter: subject in one line without control characters; lines end in LF."""

    subject: str
    text: str
    html: str | None


def parse_template(
    name: str,
    text_source: str,
    html_source: str | None = None,
    subject: str | None = None,
    *,
    shared: Mapping[str, str] | None = None,
) -> Template:
    """Raises TemplateError naming template, part and line for whatever cannot be read."""
    text_source, skipped = _tidied(name, text_source), 0
    if subject is None:
        subject, text_source, skipped = _split_subject(name, text_source)
    common = {key: _tidied(key, source) for key, source in (shared or {}).items()}
    subject_part = _compile(name, "subject", _one_line(name, subject), 0, {})
    text_part = _compile(name, "text", text_source, skipped, common)
    html_part = None
    if html_source is not None:
        html_source = inline_css(place_of(name, "html"), _tidied(name, html_source))
        html_part = _compile(name, "html", html_source, 0, common)
    uses = [*subject_part.uses, *text_part.uses, *(html_part.uses if html_part else ())]
    return Template(name, subject_part, text_part, html_part, tuple(uses))


def fields_of(template: Template) -> frozenset[str]:
    """Every field that the template looks up, in any part and in whatever it includes."""
    return frozenset(use.name for use in template.uses)


def required_fields_of(template: Template) -> frozenset[str]:
    """The fields without which rendering may fail: those that no use guards."""
    guarded = {use.name for use in template.uses if use.is_optional}
    return fields_of(template) - guarded


def render(template: Template, fields: Mapping[str, object]) -> Rendered:
    """Raises TemplateError naming the line: a field is missing, or work or size pass the caps."""
    with step_budget():
        subject = _render(template, "subject", template.subject, fields, MAX_SUBJECT_CHARS)
        text = _render(template, "text", template.text, fields)
        html = None if template.html is None else _render(template, "html", template.html, fields)
    return Rendered(_checked_subject(template.name, subject), text, html)


def render_subject(template: Template, fields: Mapping[str, object]) -> str:
    """The subject alone. Raises TemplateError as `render` does."""
    with step_budget():
        subject = _render(template, "subject", template.subject, fields, MAX_SUBJECT_CHARS)
    return _checked_subject(template.name, subject)


def _tidied(name: str, source: str) -> str:
    if len(source) > MAX_SOURCE_CHARS:
        picture = _PICTURE_INSIDE.search(source)
        line = f", line {source.count(chr(10), 0, picture.start()) + 1}" if picture else ""
        inside = " A picture is written into it." if picture else ""
        instead = " Put the picture on your website, and name its address." if picture else ""
        raise TemplateError(
            f"has {len(source):,} characters.{inside}",
            where=f"{name}{line}",
            next_step=f"A template may have {MAX_SOURCE_CHARS:,}.{instead}",
        )
    lines = source.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n").split("\n")
    return "\n".join(map(_keep_line_end, lines))


def _keep_line_end(line: str) -> str:
    """A line of tags alone vanishes with its end (`trim_blocks`); one with text keeps it."""
    ends_in_tag = line.endswith("%}") and not line.endswith(("-%}", "+%}"))
    if ends_in_tag and _TAG.sub("", line).strip() and line.rfind("{%") != -1:
        return line[:-2] + "+%}"
    return line


def _split_subject(name: str, source: str) -> tuple[str, str, int]:
    """Subject, body, and how many lines stood above the body."""
    first, _, rest = source.partition("\n")
    match = _SUBJECT_LINE.fullmatch(first.strip())
    if match is None:
        raise TemplateError(
            "does not begin with its subject.",
            where=f"{name}, line 1",
            next_step="Write `Subject: …` in the first line, then a blank line, then the text.",
        )
    second, _, body = rest.partition("\n")
    if second.strip():
        raise TemplateError(
            "the line after the subject is not blank.",
            where=f"{name}, line 2",
            next_step="The subject takes one line; leave the next one blank.",
        )
    return match[1], body, 2


def _one_line(name: str, subject: str) -> str:
    subject = subject.strip()
    if not subject:
        raise TemplateError("the subject is empty.", where=name, next_step="Write one.")
    if has_control_character(subject):
        raise TemplateError(
            "the subject has a line break or control character.",
            where=f"{name} (subject)",
            next_step="Write it in one line.",
        )
    return subject


def _compile(
    name: str, part: PartName, source: str, skipped: int, shared: Mapping[str, str]
) -> Part:
    place = place_of(name, part)
    sandbox = TemplateSandbox({**shared, place: source}, is_html=part == "html")
    try:
        compiled = sandbox.get_template(place)
        keys = referenced_files(sandbox, place, source, shared)
        for key in keys:
            sandbox.get_template(key)
        trees = {key: sandbox.parse(shared.get(key, source), key, key) for key in (place, *keys)}
    except TemplateError:  # a ValueError too, and it knows better than the last clause
        raise
    except jinja2.TemplateSyntaxError as error:
        above = skipped if error.name == place else 0
        where = f"{error.name or place}, line {error.lineno + above}"
        raise TemplateError(f"{error.message}.", where=where) from error
    except (ValueError, SyntaxError, RecursionError, MemoryError, OverflowError) as error:
        # A number of 5,000 digits, brackets nested 1,000 deep: Python's own compiler gives up.
        raise TemplateError("is too complicated to read.", where=place) from error
    # A plain dictionary: Jinja's chain of them is walked in Python for each letter.
    compiled.globals = dict(compiled.globals)
    return Part(source, skipped, field_uses(part, place, trees, skipped), compiled)


def _render(
    template: Template,
    part_name: PartName,
    part: Part,
    fields: Mapping[str, object],
    limit: int = MAX_TEXT_CHARS,
) -> str:
    pieces: list[str] = []
    size = 0
    try:
        for piece in part.compiled.generate(fields):
            size += len(piece)
            if size > limit:
                raise SecurityError(f"makes more than {limit} characters")
            pieces.append(piece)
        rendered = "".join(pieces)
        rendered.encode()  # half a surrogate pair, from JSON's \ud83d, cannot be mailed
    except Exception as error:  # a template can raise whatever Python can: none passes this door
        _fail(template, part_name, part, fields, error)
    return rendered.replace("\r\n", "\n").replace("\r", "\n") if "\r" in rendered else rendered


def _fail(
    template: Template,
    part_name: PartName,
    part: Part,
    fields: Mapping[str, object],
    error: Exception,
) -> NoReturn:
    place = place_of(template.name, part_name)
    where, next_step = _line_of(error, place, part), ""
    missing = _MISSING.fullmatch(str(error)) if isinstance(error, jinja2.UndefinedError) else None
    if missing:
        what = f"there is no field {missing[1]!r}; there are: {names_of(fields)}."
        next_step = f"Hand it over, or write {{{{ {missing[1]}|default('…') }}}}."
    elif isinstance(error, UnicodeEncodeError):
        what = "holds half of a character (a lone surrogate), which no mail can carry."
        next_step = "Look for a text cut in the middle of an emoji."
    elif isinstance(error, RecursionError | MemoryError):
        what = "includes itself, or is too complicated to render."
    else:
        what = f"cannot be rendered: {str(error).rstrip('.')}."
    raise TemplateError(what, where=where, next_step=next_step) from error


def _line_of(error: Exception, place: str, part: Part) -> str:
    """`name (part), line n` of the innermost template frame, where there is one."""
    found, traceback = place, error.__traceback__
    while traceback is not None:
        file_name = traceback.tb_frame.f_code.co_filename
        if file_name == place:
            found = f"{place}, line {traceback.tb_lineno + part.skipped_lines}"
        elif file_name in _file_names(part):
            found = f"{file_name}, line {traceback.tb_lineno}"
        traceback = traceback.tb_next
    return found


def _file_names(part: Part) -> set[str]:
    cache = part.compiled.environment.cache
    return {key[1] for key in cache} if cache is not None else set()


def _checked_subject(name: str, rendered: str) -> str:
    subject = rendered.strip(" ")
    if not subject:
        raise TemplateError(
            "the subject came out empty.", where=name, next_step="Check its fields."
        )
    if has_control_character(subject):
        raise TemplateError(
            f"the subject came out with a line break or control character: {subject[:60]!r}.",
            where=f"{name} (subject)",
            next_step="Remove it from the field it came in with.",
        )
    return subject
