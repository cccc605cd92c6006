"""The sandbox templates run in: a letter's tags, filters and methods, and no more.

Jinja2's own sandbox keeps a template away from Python, not from `'a'*10**9` or a loop of loops:
here every loop, call, filter and operator is counted (`template_limits`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sized
from typing import Any, Final

from jinja2 import FunctionLoader, StrictUndefined, TemplateSyntaxError, nodes
from jinja2.exceptions import SecurityError
from jinja2.runtime import Context, Undefined
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.visitor import NodeTransformer

from mailbot.core.template_limits import (
    CONCAT,
    FILTER_NAMES,
    FILTERS_OFFERED,
    METERED,
    bounded_range,
    is_rendering,
    measure,
    spend,
)

_MAX_NUMBER_BITS: Final = 256
# A letter needs no macro, import or captured block; each can double a text unseen.
_REFUSED_TAGS: Final[dict[type[nodes.Node], str]] = {
    nodes.Macro: "macro",
    nodes.CallBlock: "call",
    nodes.FilterBlock: "filter",
    nodes.Import: "import",
    nodes.FromImport: "from",
    nodes.AssignBlock: "set … endset",
    nodes.EvalContextModifier: "autoescape",
}
# Methods of text that cannot make it longer than a few times itself.
_TEXT_METHODS: Final = frozenset(
    {
        "capitalize",
        "casefold",
        "count",
        "endswith",
        "find",
        "isalpha",
        "isdigit",
        "isnumeric",
        "lower",
        "lstrip",
        "partition",
        "removeprefix",
        "removesuffix",
        "rpartition",
        "rsplit",
        "rstrip",
        "split",
        "splitlines",
        "startswith",
        "strip",
        "swapcase",
        "title",
        "upper",
    }
)


class TemplateSandbox(ImmutableSandboxedEnvironment):
    """An environment over these sources alone; render inside `step_budget()`.

    A source's name is also the file name in tracebacks, so that an error names its line.
    """

    intercepted_binops = frozenset({"+", "*", "**", "%"})

    def __init__(self, sources: Mapping[str, str], *, is_html: bool) -> None:
        super().__init__(
            loader=FunctionLoader(lambda name: _source(sources, name)),
            autoescape=is_html,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
            keep_trailing_newline=True,
            auto_reload=False,
            optimized=False,
        )
        self.filters = dict(FILTERS_OFFERED)
        self.globals = {"range": bounded_range}

    def _generate(
        self,
        source: nodes.Template,
        name: str | None,
        filename: str | None,
        defer_init: bool = False,
    ) -> str:
        """Jinja's hook between parsing and code: refuses tags, and meters loops and `~`."""
        _refuse_tags(self, source)
        metered = _Meter(self).visit(source)
        return super()._generate(metered, name, filename, defer_init)

    def get_template(self, *args: Any, **kwargs: Any) -> Any:
        """Counted: every include and extends comes through here while rendering."""
        if is_rendering():
            spend(10)
        return super().get_template(*args, **kwargs)

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        spend()
        if isinstance(left, Undefined) or isinstance(right, Undefined):
            pass  # the operator itself says which name is missing
        elif operator == "%" and isinstance(left, str | bytes):
            raise SecurityError("text % values is not offered; write text|format(values)")
        elif operator == "**":
            if not (_bits(left) <= 64 and isinstance(right, int | float) and abs(right) <= 16):
                raise SecurityError("a power that large is not offered")
        elif operator == "*":
            _check_product(left, right)
        elif operator == "+" and isinstance(left, Sized) and isinstance(right, Sized):
            measure(len(left) + len(right))
        return super().call_binop(context, operator, left, right)

    def call(__self, __context: Context, __obj: Any, *args: Any, **kwargs: Any) -> Any:  # noqa: N805, PYI063
        """Jinja's own parameter names: a template's keyword can then never collide."""
        spend()
        return super().call(__context, __obj, *args, **kwargs)

    def wrap_str_format(self, value: Any) -> None:
        """`str.format` takes any width: the `format` filter is what templates get."""
        return

    def is_safe_attribute(self, obj: Any, attr: str, value: Any) -> bool:
        if isinstance(obj, str):
            return attr in _TEXT_METHODS
        if isinstance(obj, int | float | bytes | Undefined):
            return False
        return super().is_safe_attribute(obj, attr, value)


class _Meter(NodeTransformer):
    """Sends each `for` and each `~` through a counting filter."""

    def __init__(self, environment: TemplateSandbox) -> None:
        self._environment = environment

    def _filtered(self, node: nodes.Node, name: str) -> nodes.Filter:
        return nodes.Filter(
            node, name, [], [], None, None, lineno=node.lineno, environment=self._environment
        )

    def visit_For(self, node: nodes.For) -> nodes.For:  # noqa: N802  Jinja's visitor dispatches by name
        self.generic_visit(node)
        node.iter = self._filtered(node.iter, METERED)
        return node

    def visit_Concat(self, node: nodes.Concat) -> nodes.Filter:  # noqa: N802  as above
        self.generic_visit(node)
        values = nodes.List(node.nodes, lineno=node.lineno, environment=self._environment)
        return self._filtered(values, CONCAT)


def _source(sources: Mapping[str, str], name: str) -> tuple[str, str, None] | None:
    source = sources.get(name)
    return None if source is None else (source, name, None)


def _refuse_tags(environment: TemplateSandbox, tree: nodes.Template) -> None:
    for kind, tag in _REFUSED_TAGS.items():
        for node in tree.find_all(kind):
            _fail(f"the tag {{% {tag} %}} is not offered in templates", node)
    for loop in tree.find_all(nodes.For):
        if loop.recursive:
            _fail("recursive loops are not offered in templates", loop)
    for name in tree.find_all(nodes.Name):
        if name.name == "self":
            _fail("the name 'self' is not offered in templates", name)
    for use in tree.find_all(nodes.Filter):
        if use.name not in environment.filters:
            _fail(f"there is no filter {use.name!r}; there are: {', '.join(FILTER_NAMES)}", use)


def _fail(what: str, node: nodes.Node) -> None:
    raise TemplateSyntaxError(what, node.lineno)


def _bits(number: Any) -> float:
    return number.bit_length() if isinstance(number, int) else 64


def _check_product(left: Any, right: Any) -> None:
    for many, times in ((left, right), (right, left)):
        if isinstance(many, Sized) and isinstance(times, int):
            measure(len(many) * times)
    if isinstance(left, int) and isinstance(right, int):
        bits = left.bit_length() + right.bit_length()
        if bits > _MAX_NUMBER_BITS:
            raise SecurityError("a number that large is not offered")
