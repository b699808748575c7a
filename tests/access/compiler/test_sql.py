"""
A rule as a condition of SQL passes exactly the rows that its predicate allows, on the real PostgreSQL.

Every construct is tried as what allows and as what forbids (where SQL's NULL would turn a NOT around), on rows in which
whatever may be nil is.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import msgspec
import pytest
from oso import Oso, Variable
from polar.expression import Expression, Pattern

from app.access.compiler.attributes import check_attributes
from app.access.compiler.conditions import (
    CIRCUMSTANCES,
    PRINCIPAL,
    RESOURCE,
    Attribute,
    CannotCompile,
    Comparison,
    Conjunction,
    Listed,
    Plain,
)
from app.access.compiler.factor import All, Tree, factor
from app.access.compiler.partial import Oracle
from app.access.compiler.predicate import predicate_of
from app.access.compiler.self_test import cases, constants_of
from app.access.compiler.sql import Asked, SqlCondition, check_sql, sql_condition
from app.domain.access import Circumstances, Principal
from app.kit.database import Connection
from tests.builders import NOW
from tests.policies.rows import rows_of

pytestmark = pytest.mark.anyio


class Thing(msgspec.Struct, frozen=True, kw_only=True):
    """A resource with an attribute of every kind."""

    level: str
    scope_id: str
    tenant: str | None
    owner: str | None
    rank: int
    size: int | None
    opened: bool
    locked: bool | None
    tags: tuple[str, ...]


COLUMNS = {name: f"t.{name}" for name in Thing.__struct_fields__}
CLASSES = (Principal, Thing, Circumstances)

CONSTRUCTS = {
    "a constant": 'r.level = "GLOBAL";',
    "another than a constant": 'r.level != "GLOBAL";',
    "a constant where nil may be": 'r.owner = "alice";',
    "another than a constant where nil may be": 'r.owner != "alice";',
    "nil": "r.tenant = nil;",
    "not nil": "r.tenant != nil;",
    "an attribute of the principal": "r.owner = p.id;",
    "another than an attribute of the principal": "r.owner != p.id;",
    "an attribute that both may lack": "r.tenant = p.tenant;",
    "another than an attribute that both may lack": "r.tenant != p.tenant;",
    "two columns": "r.level = r.scope_id;",
    "two columns that differ": "r.level != r.scope_id;",
    "a column and one with nil": "r.owner = r.scope_id;",
    "a column and one with nil that differ": "r.owner != r.scope_id;",
    "two columns with nil": "r.owner = r.tenant;",
    "two columns with nil that differ": "r.owner != r.tenant;",
    "less": "r.rank < p.clearance;",
    "at most": "r.rank <= p.clearance;",
    "more": "r.rank > 1;",
    "at least": "p.clearance >= r.rank;",
    "a number": "r.rank = 2;",
    "a number where nil may be": "r.size = 2;",
    "another than a number where nil may be": "r.size != 2;",
    "true": "r.opened = true;",
    "not true": "r.opened != true;",
    "true where nil may be": "r.locked = true;",
    "not true where nil may be": "r.locked != true;",
    "a list of the principal": "r.level in p.territories;",
    "not in a list of the principal": "not (r.level in p.territories);",
    "a list of the principal, where nil may be": "r.owner in p.territories;",
    "not in a list of the principal, where nil may be": "not (r.owner in p.territories);",
    "a list of constants": 'r.level in ["GLOBAL", "TENANT"];',
    "a list of constants, where nil may be": 'r.owner in ["alice", "other"];',
    "a list with nil": 'r.owner in ["alice", nil];',
    "a list of nil": "r.owner in [nil];",
    "an empty list": "r.owner in [];",
    "a column of lists": '"red" in r.tags;',
    "not in a column of lists": 'not ("red" in r.tags);',
    "one of several in a column of lists": 'tag in ["red", "blue"] and tag in r.tags;',
    "the principal in a column of lists": "p.id in r.tags;",
    "the principal's tenant in a column of lists": "p.tenant in r.tags;",
    "a column in a column of lists": "r.level in r.tags;",
    "an element": "x in p.territories and x = r.owner;",
    "an element that differs": "x in p.territories and x != r.owner;",
    "an element that differs from two": "x in p.territories and x != r.owner and x != p.tenant;",
    "an element of the principal alone": 'x in p.territories and x != "DE";',
    "an element of a column of lists": 'x in r.tags and x != "red";',
    "an element that is in a list": 'x in p.territories and x in ["DE", "CH"];',
    "a role": '"admin" in p.roles;',
    "the circumstances": "c.override_reason != nil and r.rank <= c.weekday;",
    "the hour": "c.hour >= 8 and c.hour < 18;",
    "and": 'r.level = "GLOBAL" and r.owner = p.id;',
    "or": '(r.level = "GLOBAL" or r.owner = p.id);',
    "not and": 'not (r.level = "GLOBAL" and r.owner = p.id);',
    "all of it": '"admin" in p.roles and r.rank <= p.clearance and (r.tenant = p.tenant or r.owner != p.id)'
    " and not (r.level in p.territories);",
    "always": "true;",
    "never": "false;",
}

# Oso takes a list in the policy apart, and would not negate it; here it stays whole.
LISTS: dict[str, tuple[Plain, ...]] = {
    "names": ("alice", "other"),
    "a name and nil": ("alice", None),
    "nil": (None,),
    "nothing": (),
}

REFUSED = {
    "a part of a text of the principal": "r.level in p.id;",
    "a part of a text of the resource": '"admin" in r.level;',
    "a list for a text": "r.level = p.roles;",
    "two lists": "r.tags = p.roles;",
    "a column with nil looked for in a column of lists": "r.owner in r.tags;",
    "an order of numbers and nil": "r.size < 2;",
}


def alternatives_of(body: str) -> list[Conjunction]:
    oso = Oso()
    for name, class_ in {"Principal": Principal, "Thing": Thing, "Circumstances": Circumstances}.items():
        oso.register_class(class_, name=name)
    p, r, c = (name if re.search(rf"\b{name}\b", body) else f"_{name}" for name in "prc")
    oso.load_str(
        f'type allow(_p, _a, _r, _c);\nallow({p}: Principal, "read", {r}: Thing, {c}: Circumstances) if {body}'
    )
    oracle = Oracle(oso, variable=Variable, expression=Expression, pattern=Pattern)
    types = {PRINCIPAL: "Principal", RESOURCE: "Thing", CIRCUMSTANCES: "Circumstances"}
    return list(oracle.alternatives("allow", "read", types))


def tree_of(body: str) -> Tree:
    alternatives = alternatives_of(body)
    check_attributes(alternatives, dict(zip((PRINCIPAL, RESOURCE, CIRCUMSTANCES), CLASSES, strict=True)))
    check_sql(alternatives, Thing)
    return factor(alternatives)


async def passing(db: Connection, condition: SqlCondition) -> set[int]:
    rows = await db.fetch(f"SELECT t.number FROM things t WHERE {condition.text}", *condition.arguments)
    return {row["number"] for row in rows}


def allowed(decide: Any, things: Sequence[Thing], somebody: Principal, circumstances: Circumstances) -> set[int]:
    return {number for number, thing in enumerate(things) if decide(somebody, thing, circumstances)}


@pytest.mark.parametrize("body", CONSTRUCTS.values(), ids=CONSTRUCTS.keys())
async def test_a_construct_passes_the_rows_that_the_predicate_allows(db: Connection, body: str) -> None:
    alternatives = alternatives_of(body)
    tree = tree_of(body)
    decide = predicate_of(tree, name="test").decide
    asked = cases(CLASSES, constants_of(alternatives), count=80)
    things = [thing for _, thing, _ in asked]
    await db.execute(rows_of("things", Thing, things))

    for somebody, _, circumstances in asked[:25]:
        question = Asked(principal=somebody, circumstances=circumstances, class_=Thing, columns=COLUMNS)
        expected = allowed(decide, things, somebody, circumstances)

        assert await passing(db, sql_condition(tree, None, question)) == expected, somebody
        forbidding = sql_condition(All(()), tree, question)
        assert await passing(db, forbidding) == set(range(len(things))) - expected, (somebody, forbidding)


@pytest.mark.parametrize("values", LISTS.values(), ids=LISTS.keys())
@pytest.mark.parametrize("name", ["level", "owner"])
async def test_a_list_passes_the_rows_that_the_predicate_allows(
    db: Connection, name: str, values: tuple[Plain, ...]
) -> None:
    tree = All((Comparison("in", Attribute(RESOURCE, name), Listed(values)),))
    somebody = Principal(id="alice")
    things = [thing for _, thing, _ in cases(CLASSES, {}, count=40)]
    expected = allowed(predicate_of(tree, name="test").decide, things, somebody, NOW)
    await db.execute(rows_of("things", Thing, things))

    assert await passing(db, sql_condition(tree, None, asked(somebody))) == expected
    assert await passing(db, sql_condition(All(()), tree, asked(somebody))) == set(range(40)) - expected


@pytest.mark.parametrize("body", REFUSED.values(), ids=REFUSED.keys())
def test_what_has_no_exact_translation_is_refused(body: str) -> None:
    with pytest.raises(CannotCompile):
        tree_of(body)


def asked(somebody: Principal, **more: Any) -> Asked:
    return Asked(principal=somebody, circumstances=NOW, class_=Thing, columns=COLUMNS, **more)


def test_the_text_depends_on_the_shape_of_the_principal_alone() -> None:
    tree = tree_of(CONSTRUCTS["all of it"])
    one = Principal(id="a", tenant="acme", roles=("admin",), territories=("DE",))
    other = Principal(id="b", tenant="globex", roles=("admin", "user"), territories=("CH", "FR"), clearance=3)

    conditions = [sql_condition(tree, None, asked(somebody)) for somebody in (one, other)]

    assert conditions[0].text == conditions[1].text
    assert conditions[0].arguments != conditions[1].arguments


def test_what_is_decided_by_the_principal_alone_is_said_so() -> None:
    tree = tree_of('"admin" in p.roles and r.owner = p.id;')

    assert sql_condition(tree, None, asked(Principal(id="a"))) == SqlCondition(text="FALSE")
    assert sql_condition(All(()), tree, asked(Principal(id="a"))) == SqlCondition(text="TRUE")


def test_parameters_are_counted_from_where_they_are_told_and_bound_once() -> None:
    tree = tree_of("r.rank <= p.clearance and (r.owner = p.id or r.scope_id = p.id);")

    condition = sql_condition(tree, None, asked(Principal(id="a", clearance=2)), start=5)

    assert condition.arguments == (2, "a")
    assert sorted(re.findall(r"\$\d+", condition.text)) == ["$5", "$6", "$6"]


def test_what_all_rows_have_in_common_is_decided_once() -> None:
    tree = tree_of('r.tenant = p.tenant and (r.level = "USER" or r.owner = p.id);')
    somebody = Principal(id="a", tenant="acme")

    same = sql_condition(tree, None, asked(somebody, known={"tenant": "acme", "level": "TENANT"}))

    assert same == SqlCondition(text="t.owner = $1::text", arguments=("a",))
    assert sql_condition(tree, None, asked(somebody, known={"tenant": "globex"})).text == "FALSE"
    assert sql_condition(tree, None, asked(somebody, known={"tenant": "acme", "level": "USER"})).text == "TRUE"


@pytest.mark.parametrize("text", ["a\0b", "\ud800"])
async def test_a_text_that_no_column_can_hold_equals_none(db: Connection, text: str) -> None:
    somebody = Principal(id=text, territories=(text, "DE"))
    same, other = (tree_of(f"r.owner {operator} p.id;") for operator in ("=", "!="))
    await db.execute(rows_of("things", Thing, [cases(CLASSES, {}, count=1)[0][1]]))

    assert sql_condition(same, None, asked(somebody)).text == "FALSE"
    assert sql_condition(other, None, asked(somebody)).text == "TRUE"
    assert sql_condition(tree_of("r.owner in p.territories;"), None, asked(somebody)).arguments == (["DE"],)
    assert await passing(db, sql_condition(same, other, asked(somebody))) == set()


def test_a_rank_that_no_column_can_hold_has_no_condition() -> None:
    with pytest.raises(CannotCompile):
        sql_condition(tree_of("r.rank <= p.clearance;"), None, asked(Principal(id="a", clearance=2**63)))
