"""The gate fails closed: whatever goes wrong while deciding, nothing has been granted."""

from __future__ import annotations

import contextlib
import re
from typing import Any

import msgspec
import pytest
from structlog.testing import capture_logs

from app.access.compiler.sql import SqlCondition
from app.access.gate import Gate
from app.access.polar import load_policy
from app.config import Config
from app.domain.access import Access, Action, Circumstances, Principal, SettingResource, circumstances_at
from app.domain.errors import Forbidden, NotFound
from app.domain.scope import Level
from tests.builders import AT, NOW, caller, principal, setting_resource


class StandIn:
    """A policy that answers as told, by action."""

    def __init__(self, **answers: Any) -> None:
        self.answers = answers
        self.asked: list[Action] = []

    def allows(self, _principal: object, action: Action, _resource: object, circumstances: Circumstances) -> Any:
        self.asked.append(action)
        name = action.value if circumstances.override_reason is None else f"{action.value}_with_reason"
        answer = self.answers.get(name, False)
        if isinstance(answer, BaseException):
            raise answer
        return answer


def gate(**answers: Any) -> Gate:
    return Gate(StandIn(**answers))  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def shipped() -> Gate:
    return Gate(load_policy(*Config().policies_paths))


@pytest.mark.parametrize("answer", [True, False])
def test_the_policy_decides(answer: bool) -> None:
    assert gate(read=answer).allows(caller(), Action.READ, setting_resource()) is answer


@pytest.mark.parametrize("answer", [None, 0, 1, "", "yes", [True], object], ids=repr)
def test_only_true_is_a_grant(answer: object) -> None:
    assert gate(read=answer).allows(caller(), Action.READ, setting_resource()) is False


@pytest.mark.parametrize(
    "error", [ValueError("x"), KeyError("x"), RecursionError("x"), MemoryError(), StopIteration()], ids=repr
)
def test_an_error_while_deciding_is_a_refusal_that_is_counted_and_logged(error: Exception) -> None:
    closed = gate(read=error)

    with capture_logs() as lines:
        assert closed.allows(caller(), Action.READ, setting_resource()) is False
        assert closed.allows(caller(), Action.READ, setting_resource()) is False

    assert closed.errors == 2
    assert [(line["event"], line["action"], line["resource"], line["log_level"]) for line in lines] == [
        ("gate-error", "read", "SettingResource", "error")
    ] * 2


def test_an_ordinary_refusal_is_no_error() -> None:
    closed = gate()

    with capture_logs() as lines:
        closed.allows(caller(), Action.READ, setting_resource())

    assert closed.errors == 0
    assert lines == []


def test_who_may_passes() -> None:
    gate(write=True).require(caller(), Action.WRITE, setting_resource())


@pytest.mark.parametrize(
    ("action", "answers", "raised"),
    [
        (Action.READ, {}, NotFound),
        (Action.WRITE, {}, NotFound),
        (Action.RESOLVE, {}, NotFound),
        (Action.WRITE, {"read": True}, Forbidden),
        (Action.RESOLVE, {"read": True}, Forbidden),
        (Action.WRITE, {"resolve": True}, NotFound),
        (Action.WRITE, {"write": ValueError(), "read": True}, Forbidden),
        (Action.WRITE, {"write": ValueError(), "read": ValueError()}, NotFound),
        (Action.READ, {"read": ValueError()}, NotFound),
    ],
    ids=str,
)
def test_what_may_not_even_be_read_is_not_found(action: Action, answers: dict[str, Any], raised: type) -> None:
    with capture_logs(), pytest.raises(raised) as caught:
        gate(**answers).require(caller(), action, setting_resource())

    assert type(caught.value) is raised


WRONG: tuple[Any, ...] = (None, 5, True, 3.0, float("nan"), "admin", b"admin", ["admin"], ("admin", None), {"admin"})


@pytest.mark.parametrize("field", Principal.__struct_fields__)
@pytest.mark.parametrize("wrong", WRONG, ids=repr)
def test_a23_there_is_no_principal_with_an_attribute_of_the_wrong_type(field: str, wrong: Any) -> None:
    """The text "admin" for a list of roles would otherwise hold the role "admin", and `True` a clearance."""
    known = principal(roles=("admin",), territories=("DE",))
    fits = {"id": str, "kind": str, "tenant": (str, type(None)), "scoped": bool}.get(field, ())
    if isinstance(wrong, fits):
        assert msgspec.structs.replace(known, **{field: wrong}) is not None
        return
    if field == "clearance" and type(wrong) is int:
        return

    with pytest.raises(TypeError):
        msgspec.structs.replace(known, **{field: wrong})


@pytest.mark.parametrize("field", Principal.__struct_fields__)
def test_a23_a_principal_without_an_attribute_may_do_less_and_never_more(shipped: Gate, field: str) -> None:
    known = principal(roles=("admin",), territories=("DE",), clearance=2)
    without = {"id": "", "kind": "user", "tenant": None, "clearance": 0, "scoped": False}.get(field, ())
    bare = msgspec.structs.replace(known, **{field: without})
    for action in (Action.RESOLVE, Action.READ, Action.WRITE):
        for scope_id in ("alice", ""):
            thing = setting_resource(Level.USER, scope_id or "bob")
            assert shipped.allows(caller(bare), action, thing) <= shipped.allows(caller(known), action, thing)


@pytest.mark.parametrize("thing", [None, "acme", object, principal()], ids=repr)
def test_what_is_no_resource_is_open_to_nobody(shipped: Gate, thing: Any) -> None:
    with capture_logs():
        assert shipped.allows(caller(principal(roles=("platform_admin",))), Action.READ, thing) is False


# ---- What the audit hears ----

OVERRIDING = circumstances_at(AT, override_reason="the office in CH burns")


def accesses(asked: Gate, *, circumstances: Circumstances = OVERRIDING, action: Action = Action.WRITE) -> list[Access]:
    somebody = caller(circumstances=circumstances)
    with contextlib.suppress(Forbidden, NotFound):
        asked.require(somebody, action, setting_resource())
    return somebody.accesses


def test_a_refusal_is_noted_with_what_it_was_about() -> None:
    [access] = accesses(gate(read=True), circumstances=circumstances_at(AT))

    assert (access.outcome, access.action, access.resource) == ("denied", "write", "setting/TENANT/acme")
    assert access.tenant == "acme"
    assert access.reason is None


def test_a_grant_is_not_noted() -> None:
    assert accesses(gate(write=True), circumstances=circumstances_at(AT)) == []


def test_a_grant_that_only_the_reason_made_is_noted_with_it() -> None:
    [access] = accesses(gate(write_with_reason=True))

    assert (access.outcome, access.reason) == ("overridden", "the office in CH burns")


def test_a_reason_that_was_not_needed_is_not_noted() -> None:
    assert accesses(gate(write=True, write_with_reason=True)) == []


def test_a_reason_that_does_not_help_is_a_refusal() -> None:
    assert [access.outcome for access in accesses(gate())] == ["denied"]


def test_what_may_not_be_known_is_refused_as_absent_whatever_else_is_allowed() -> None:
    somebody = caller()

    with pytest.raises(NotFound):
        gate(read=True).require_visible(somebody, Action.RESOLVE, setting_resource())

    assert [access.outcome for access in somebody.accesses] == ["denied"]


# ---- Lists ----

COLUMNS = {name: name for name in SettingResource.__struct_fields__}
MANAGER = principal(roles=("manager",), territories=("DE",))


def test_a_condition_says_what_a_decision_says_without_a_reason(shipped: Gate) -> None:
    somebody = caller(MANAGER)

    condition = shipped.condition(somebody, Action.WRITE, SettingResource, COLUMNS, start=3)

    direct = shipped.policy.condition(MANAGER, Action.WRITE, SettingResource, NOW, columns=COLUMNS, start=3)
    assert condition == direct
    assert "$3::" in condition.text
    assert somebody.accesses == []


def test_rows_that_only_a_reason_opened_are_noted_once_for_the_list(shipped: Gate) -> None:
    somebody = caller(MANAGER, circumstances=OVERRIDING)

    condition = shipped.condition(somebody, Action.READ, SettingResource, COLUMNS, known={"tenant": "acme"})

    plain = shipped.condition(caller(MANAGER), Action.READ, SettingResource, COLUMNS, known={"tenant": "acme"})
    assert condition.text.startswith(f"({plain.text} OR ")
    assert len(condition.arguments) == len(set(re.findall(r"\$\d+", condition.text)))
    [access] = somebody.accesses
    assert (access.outcome, access.resource, access.tenant) == ("overridden", "setting/*", "acme")
    assert access.reason == OVERRIDING.override_reason


@pytest.mark.parametrize(
    ("somebody", "known"),
    [
        (principal(roles=("admin",)), {}),
        (MANAGER, {"tenant": "globex"}),
        (MANAGER, {"level": "TENANT", "territory": None}),
        (principal(roles=("platform_admin",)), {"sensitivity": 0}),
    ],
    ids=["whom a reason gives nothing", "elsewhere", "of no territory", "who may do all"],
)
def test_a_reason_that_opens_no_row_is_not_noted(shipped: Gate, somebody: Principal, known: dict[str, Any]) -> None:
    asker = caller(somebody, circumstances=OVERRIDING)

    condition = shipped.condition(asker, Action.READ, SettingResource, COLUMNS, known=known)

    assert condition == shipped.condition(caller(somebody), Action.READ, SettingResource, COLUMNS, known=known)
    assert asker.accesses == []


@pytest.mark.parametrize(
    ("class_", "columns", "somebody"),
    [
        (SettingResource, {}, MANAGER),
        (str, COLUMNS, MANAGER),
        (SettingResource, COLUMNS, principal(roles=("manager",), clearance=2**70)),
    ],
    ids=["no column", "no resource", "no such rank"],
)
def test_an_error_while_a_condition_is_made_lets_no_row_pass_and_is_counted(
    shipped: Gate, class_: type, columns: dict[str, str], somebody: Principal
) -> None:
    closed = Gate(shipped.policy)

    with capture_logs() as lines:
        condition = closed.condition(caller(somebody), Action.READ, class_, columns)

    assert condition == SqlCondition(text="FALSE")
    assert closed.errors == 1
    assert [line["event"] for line in lines] == ["gate-error"]
