"""
From a rule to its conditions, by Oso's own partial evaluator.

Oso gives each way a rule can hold several times: as seen from the principal, the resource, and the circumstances. All
are needed: what mentions only the principal stands only in the principal's view, and to look at one view alone would
turn `allow if "admin" in p.roles` into a grant for everybody.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from app.access.compiler.conditions import (
    ASKED,
    NEGATED,
    Attribute,
    CannotCompile,
    Comparison,
    Conjunction,
    Constant,
    Element,
    Exists,
    Listed,
    Operator,
    Term,
    roots,
)

MAX_ALTERNATIVES = 4_096  # more would be a function nobody could read, and slow to make

_COMPARISONS: dict[str, Operator] = {
    "Unify": "==",
    "Eq": "==",
    "Neq": "!=",
    "Lt": "<",
    "Leq": "<=",
    "Gt": ">",
    "Geq": ">=",
    "In": "in",
}
_THIS = "_this"  # what Oso calls the one whose view it gives

Comparisons = frozenset[Comparison]


class Oracle:
    """Asks a loaded Oso for the ways in which a rule can hold. Knows the shapes of its expressions, and no others."""

    def __init__(self, oso: Any, *, variable: Any, expression: Any, pattern: Any) -> None:
        self._oso = oso
        self._variable = variable
        self._expression = expression
        self._pattern = pattern

    def alternatives(self, rule: str, action: str, types: Mapping[str, str]) -> set[Conjunction]:
        """
        Every way in which `rule(p, action, r)`, or with circumstances `rule(p, action, r, c)`, can hold.

        `types` are the Polar names of the classes of what is asked about; with `c` among them, the rules of four
        parameters are meant. Raises CannotCompile for what has no exact translation.
        """
        found: set[Conjunction] = set()
        for seen_from in self._results(rule, action, types):
            views = [self._alternatives(seen_from[name], name, types) for name in types]
            found |= {_with_elements(together) for together in _product(views)}
            _require_few(len(found))
        return found

    def _results(self, rule: str, action: str, types: Mapping[str, str]) -> Iterator[dict[str, Any]]:
        names = {name: self._variable(name) for name in types}
        bound = {name: self._of_class(variable, types[name]) for name, variable in names.items()}
        principal, *others = names.values()
        for result in self._oso.query_rule(rule, principal, action, *others, bindings=bound, accept_expression=True):
            yield result["bindings"]

    def _of_class(self, variable: Any, name: str) -> Any:
        return self._expression("And", [self._expression("Isa", [variable, self._pattern(name, {})])])

    def _alternatives(self, node: Any, this: str, types: Mapping[str, str], negated: bool = False) -> list[Comparisons]:
        """An expression in disjunctive normal form."""
        if not isinstance(node, self._expression):
            raise CannotCompile(f"{node!r} is no condition")
        operator, arguments = node.operator, node.args
        if operator == "Not":
            return self._alternatives(arguments[0], this, types, not negated)
        if operator in ("And", "Or"):
            parts = [self._alternatives(part, this, types, negated) for part in arguments]
            both = (operator == "And") is not negated
            return _product(parts) if both else [one for part in parts for one in part]
        if operator == "Isa" and not negated:
            return [self._class_check(arguments, this, types)]
        return [frozenset([self._comparison(operator, arguments, this, negated)])]

    def _class_check(self, arguments: Any, this: str, types: Mapping[str, str]) -> Comparisons:
        """Nothing to ask: the classes of principal and resource are looked at before any predicate is called."""
        subject, pattern = self._term(arguments[0], this), arguments[1]
        known = isinstance(subject, Element) and types.get(subject.name) == pattern.tag
        if not known or pattern.fields:
            raise CannotCompile(f"a pattern of class {pattern.tag} inside a rule")
        return frozenset()

    def _comparison(self, operator: str, arguments: Any, this: str, negated: bool) -> Comparison:
        ours = _COMPARISONS.get(operator)
        if ours is None:
            raise CannotCompile(f"{'not ' if negated else ''}{operator}")
        left, right = (self._term(argument, this) for argument in arguments)
        if ours == "==" and repr(left) > repr(right):  # one spelling for `a = b` and `b = a`
            left, right = right, left
        return Comparison(NEGATED[ours] if negated else ours, left, right)

    def _term(self, node: Any, this: str) -> Term:
        if isinstance(node, self._variable):
            name = str.__getitem__(node, slice(None))  # a str whose own `str()` says more than the name
            return Element(this if name == _THIS else name)
        if isinstance(node, self._expression):
            return self._attribute(node, this)
        if isinstance(node, list):
            return Listed(tuple(node))
        if node is None or isinstance(node, str | int | float):
            return Constant(node)
        raise CannotCompile(f"the value {node!r}")

    def _attribute(self, node: Any, this: str) -> Attribute:
        if node.operator != "Dot" or not isinstance(node.args[1], str):
            raise CannotCompile(f"a call or a calculation: {node!r}")
        base = self._term(node.args[0], this)
        if not isinstance(base, Element):
            raise CannotCompile(f"an attribute of an attribute: {node!r}")
        return Attribute(base.name, node.args[1])


def _product(parts: list[list[Comparisons]]) -> list[Comparisons]:
    together: list[Comparisons] = [frozenset()]
    for part in parts:
        together = [left | right for left in together for right in part]
        _require_few(len(together))
    return together


def _require_few(count: int) -> None:
    if count > MAX_ALTERNATIVES:
        raise CannotCompile(f"more than {MAX_ALTERNATIVES} alternatives")


def _with_elements(comparisons: Comparisons) -> Conjunction:
    """Fold the conditions on each element variable into one: `x in p.list and x.a = …` is one question."""
    conditions: set[Any] = set(comparisons)
    variables = {name for one in comparisons for name in _roots(one)} - ASKED
    for variable in sorted(variables):
        using = {one for one in conditions if isinstance(one, Comparison) and variable in _roots(one)}
        sources = [one for one in using if one.operator == "in" and one.left == Element(variable)]
        if len(sources) != 1 or not isinstance(sources[0].right, Attribute):
            raise CannotCompile(f"a variable that is not an element of one collection: {variable}")
        rest = frozenset(using - set(sources))
        if any(_roots(one) - ASKED - {variable} for one in rest):
            raise CannotCompile(f"elements of two collections compared: {variable}")
        conditions -= using
        conditions.add(Exists("x", sources[0].right, frozenset(_renamed(one, variable) for one in rest)))
    return frozenset(conditions)


def _renamed(comparison: Comparison, variable: str) -> Comparison:
    """Oso numbers its variables anew each time; here they are all `x`, so that equal policies compile to equal text."""
    left, right = (Element("x") if term == Element(variable) else term for term in (comparison.left, comparison.right))
    return Comparison(comparison.operator, left, right)


def _roots(comparison: Comparison) -> set[str]:
    return roots(comparison.left) | roots(comparison.right)
