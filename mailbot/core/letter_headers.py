"""Whether one person's fields can stand in a letter's headers: To and Subject take one line."""

from __future__ import annotations

from collections.abc import Mapping

from mailbot.core.compose import PROVIDED_FIELDS
from mailbot.core.errors import TemplateError
from mailbot.core.mail_headers import has_control_character
from mailbot.core.templates import Template, render_subject


def header_fault(template: Template, fields: Mapping[str, str]) -> str:
    """What is wrong, "" where nothing is; the fields are those of one line of an audience.

    The subject is written only where one of its fields looks suspicious: a template may take a
    line break out, or leave the field out.
    """
    if has_control_character(fields.get("name", "")):
        return "“name”, which stands in To, holds a line break or another control character"
    used = dict.fromkeys(use.name for use in template.subject.uses)
    suspicious = [name for name in used if has_control_character(fields.get(name, ""))]
    if not suspicious:
        return ""
    try:
        render_subject(template, {**fields, **dict.fromkeys(PROVIDED_FIELDS, "…")})
    except TemplateError as error:
        named = ", ".join(f"“{name}”" for name in suspicious)
        return f"{error.what.rstrip('.')} ({named})"
    return ""
