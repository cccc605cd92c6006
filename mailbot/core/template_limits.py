"""How much work and text one rendering may make, and the filters, which keep to it.

Each loop round, call, filter and operator is a step; a text that grows is measured beforehand.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sized
from contextlib import contextmanager
from contextvars import ContextVar
from itertools import chain
from typing import Any, Final

from jinja2 import nodes
from jinja2.exceptions import SecurityError
from jinja2.filters import FILTERS, do_format, do_join, do_replace, do_round
from jinja2.nodes import EvalContext
from jinja2.runtime import markup_join, str_join
from jinja2.utils import pass_eval_context

MAX_TEXT_CHARS: Final = 512 * 1024  # of one rendered part, and of any value on the way to it
MAX_STEPS: Final = 50_000  # loop rounds, calls, filters and operators of one rendering
_MAX_RANGE: Final = 1_000
_PLAIN_FILTERS: Final = frozenset(
    {
        "abs",
        "capitalize",
        "count",
        "d",
        "default",
        "dictsort",
        "e",
        "escape",
        "first",
        "float",
        "int",
        "items",
        "last",
        "length",
        "list",
        "lower",
        "map",
        "max",
        "min",
        "reject",
        "rejectattr",
        "select",
        "selectattr",
        "sort",
        "string",
        "striptags",
        "title",
        "trim",
        "truncate",
        "unique",
        "upper",
        "urlencode",
        "wordcount",
    }
)
CONCAT: Final = " concat"  # with a blank: names no template can write
METERED: Final = " metered"
_WIDE_FORMAT: Final = re.compile(r"\d{3}|\*")

_steps_left: ContextVar[list[int] | None] = ContextVar("steps_left", default=None)


@contextmanager
def step_budget(steps: int = MAX_STEPS) -> Iterator[None]:
    """Within the block templates may take that many steps; the next raises SecurityError."""
    token = _steps_left.set([steps])
    try:
        yield
    finally:
        _steps_left.reset(token)


def is_rendering() -> bool:
    """Whether this runs within a `step_budget()`, not while a template is read."""
    return _steps_left.get() is not None


def spend(steps: int = 1) -> None:
    """Counts; raises SecurityError where the budget is used up."""
    left = _steps_left.get()
    if left is None:  # constant folding while a template is compiled
        raise nodes.Impossible
    left[0] -= steps
    if left[0] < 0:
        raise SecurityError(f"more than {MAX_STEPS} steps: a loop is too long")


def measure(size: int) -> None:
    """Raises SecurityError where a text of that many characters is too long."""
    if size > MAX_TEXT_CHARS:
        raise SecurityError(f"makes a text of more than {MAX_TEXT_CHARS} characters")


def _metered(iterable: Iterable[Any]) -> Iterable[Any]:
    """What `for` runs over: the same items, each counted."""
    if isinstance(iterable, Sized):
        spend(len(iterable))
        return iterable
    return _counted(iterable)


def _counted(iterable: Iterable[Any]) -> Iterator[Any]:
    for item in iterable:
        spend()
        yield item


@pass_eval_context
def _concat(context: EvalContext, values: list[Any]) -> str:
    """The operator `~`."""
    measure(sum(len(str(value)) for value in values))
    joined: str = markup_join(values) if context.autoescape else str_join(values)
    return joined


@pass_eval_context
def _join(
    context: EvalContext, value: Iterable[Any], d: str = "", attribute: str | int | None = None
) -> str:
    items, size = [], 0
    for item in _counted(value):
        size += len(d) + len(str(item))
        measure(size)
        items.append(item)
    joined: str = do_join(context, items, d, attribute)
    return joined


@pass_eval_context
def _replace(context: EvalContext, s: Any, old: Any, new: Any, count: int | None = None) -> str:
    measure(len(str(s)) + str(s).count(str(old)) * len(str(new)))
    replaced: str = do_replace(context, s, old, new, count)
    return replaced


def _format(value: str, *args: Any, **kwargs: Any) -> str:
    if _WIDE_FORMAT.search(str(value)):
        raise SecurityError("the format filter takes widths up to 99")
    return do_format(value, *args, **kwargs)


def _round(value: float, precision: int = 0, method: Any = "common") -> float:
    return do_round(value, max(-15, min(15, precision)), method)


def _sum(iterable: Iterable[Any], attribute: str | None = None) -> Any:
    values = [item[attribute] if attribute else item for item in _counted(iterable)]
    return sum(values)


def bounded_range(*bounds: int) -> range:
    """The `range` of templates: at most 1,000 numbers."""
    numbers = range(*bounds)
    if len(numbers) > _MAX_RANGE:
        raise SecurityError(f"range of more than {_MAX_RANGE} numbers")
    spend(len(numbers))
    return numbers


def _counting(function: Callable[..., Any]) -> Callable[..., Any]:
    """The filter itself, counted and its result measured; `wraps` keeps Jinja's marks on it."""

    @functools.wraps(function)
    def counted(*args: Any, **kwargs: Any) -> Any:
        spend()
        result = function(*args, **kwargs)
        if isinstance(result, str | list):
            measure(len(result))
        return result

    return counted


_OWN_FILTERS: Final[Mapping[str, Callable[..., Any]]] = {
    CONCAT: _concat,
    METERED: _metered,
    "format": _format,
    "join": _join,
    "replace": _replace,
    "round": _round,
    "sum": _sum,
}
FILTERS_OFFERED: Final = {
    name: _counting(function)
    for name, function in chain(
        ((name, FILTERS[name]) for name in _PLAIN_FILTERS), _OWN_FILTERS.items()
    )
}
FILTER_NAMES: Final = tuple(sorted(name for name in FILTERS_OFFERED if not name.startswith(" ")))
