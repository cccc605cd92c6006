"""Which fields a template uses, in which part and line: what its recipients must have.

Read from the parsed template, so that a missing merge field is found before anything is sent.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from jinja2 import nodes
from jinja2.meta import find_referenced_templates, find_undeclared_variables

from mailbot.core.errors import TemplateError
from mailbot.core.template_sandbox import TemplateSandbox

PartName = Literal["subject", "text", "html"]


@dataclass(frozen=True, slots=True)
class FieldUse:
    """One place that uses a field; optional where `is defined` or `|default` guards the name."""

    name: str
    part: PartName
    where: str
    is_optional: bool


def place_of(name: str, part: PartName) -> str:
    """How messages call one part of a template: `shipped (text)`."""
    return f"{name} ({part})"


def names_of(fields: Iterable[str]) -> str:
    """Field names for a message: sorted, separated by commas, or "nothing"."""
    return ", ".join(sorted(fields)) or "nothing"


def referenced_files(
    sandbox: TemplateSandbox, place: str, source: str, shared: Mapping[str, str]
) -> list[str]:
    """The shared files this one extends or includes, and those they do, each once."""
    found: list[str] = []
    waiting = [(place, source)]
    while waiting:
        at, text = waiting.pop()
        for key in find_referenced_templates(sandbox.parse(text, at, at)):
            if key is None or key not in shared:
                what = f"includes {key!r}, which is not there." if key else "computes an include."
                raise TemplateError(
                    what, where=at, next_step=f"It can include: {names_of(shared)}."
                )
            if key not in found:
                found.append(key)
                waiting.append((key, shared[key]))
    return found


def field_uses(
    part: PartName, place: str, trees: Mapping[str, nodes.Template], skipped_lines: int
) -> tuple[FieldUse, ...]:
    """Each field once, at the first line that needs it; `trees` holds the part and its includes.

    `skipped_lines` stand above the part in its file and are added to its own line numbers.
    """
    names = [node for tree in trees.values() for node in tree.find_all(nodes.Name)]
    local = {node.name for node in names if node.ctx != "load"}
    guarded = {name for tree in trees.values() for name in _guarded(tree)}
    found: dict[str, FieldUse] = {}
    for key, tree in trees.items():
        unknown = find_undeclared_variables(tree)
        if key != place:  # an included file sees what its includer has set
            unknown -= local
        above = skipped_lines if key == place else 0
        for node in tree.find_all(nodes.Name):
            if node.name in unknown and node.name not in found:
                where = f"{key}, line {node.lineno + above}"
                found[node.name] = FieldUse(node.name, part, where, node.name in guarded)
    return tuple(found.values())


def _guarded(tree: nodes.Template) -> set[str]:
    """The names under `is defined`, `is not defined` or `|default`."""
    tests = (use.node for use in tree.find_all(nodes.Test) if use.name in ("defined", "undefined"))
    filters = (use.node for use in tree.find_all(nodes.Filter) if use.name in ("default", "d"))
    return {node.name for node in (*tests, *filters) if isinstance(node, nodes.Name)}
