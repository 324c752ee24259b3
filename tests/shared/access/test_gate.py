"""Roles and policies: denied unless permitted, forbidding wins, no tenant reaches into another, whatever an operator adds."""

from __future__ import annotations

import ast
import re
import time
from pathlib import Path

import pytest

from shared.access.actions import ACTIONS
from shared.access.actor import LOCAL_TOKEN, ROLES, Actor
from shared.access.gate import Gate, shipped
from shared.errors import Denied, UsageError

READ = {name for name, group in ACTIONS.items() if group == "read"}
MANAGE = {name for name, group in ACTIONS.items() if group == "manage"}
DECIDE = {name for name, group in ACTIONS.items() if group == "decide"}
MAY = {"viewer": READ, "auditor": READ | {"audit.read"}, "service": READ | MANAGE, "steward": READ | MANAGE | DECIDE, "admin": set(ACTIONS)}


def actor(*roles: str, tenant: str = "acme") -> Actor:
    return Actor("person:1", tenant, frozenset(roles))


def operators(tmp_path: Path, text: str) -> Gate:
    (tmp_path / "own.cedar").write_text(text)
    return Gate.load(tmp_path)


@pytest.mark.parametrize("role", ROLES)
def test_what_each_role_may(role: str) -> None:
    """That, in its own tenant, and nothing else."""
    assert {name for name in ACTIONS if shipped().allows(actor(role), name, "acme", "acme/crm")} == MAY[role]
    assert not [name for name in ACTIONS if shipped().allows(actor(role), name, "other", "other/crm")]
    assert not [name for name in ACTIONS if shipped().allows(actor(role), name, "*")]


def test_without_a_role_or_a_tenant_nothing_may_be_done() -> None:
    """Nor with a role that nobody knows, nor an action that nobody knows."""
    for nobody in (actor(), actor("root"), actor("admin", tenant="")):
        assert not [name for name in ACTIONS for tenant in ("acme", "", "*") if shipped().allows(nobody, name, tenant)]
    assert not shipped().allows(LOCAL_TOKEN, "source.destroy", "acme")
    assert shipped().allows(LOCAL_TOKEN, "secret.write", "*")


def test_the_ledger_speaks_of_permissions() -> None:
    """Whatever a service writes into it names its action by a word of the table, in full; what has no route has no permission either."""
    found: list[str] = []
    for file in (Path(__file__).parents[3] / "services").rglob("*.py"):
        for call in (node for node in ast.walk(ast.parse(file.read_text())) if isinstance(node, ast.Call)):
            name = call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")
            if name.lstrip("_") in ("audit", "AuditRecorded"):
                given = [value for part in (*call.args, *(each.value for each in call.keywords)) for value in ast.walk(part)]
                texts = [value.value for value in given if isinstance(value, ast.Constant) and isinstance(value.value, str)]
                found += [text for text in texts if re.fullmatch(r"[a-z]+\.([a-z]+)?", text)]
    assert len(found) > 10
    assert set(found) - {"catalog.rebuild"} <= set(ACTIONS)


def test_an_operators_forbid_wins(tmp_path: Path) -> None:
    """Over the shipped permits, for the objects that it names."""
    gate = operators(
        tmp_path, 'forbid (principal, action == PurSight::Action::"source.delete", resource) when { resource.name like "acme/prod-*" };'
    )
    assert gate.allows(actor("admin"), "source.delete", "acme", "acme/test-1")
    assert not gate.allows(actor("admin"), "source.delete", "acme", "acme/prod-1")


def test_an_operators_permit_does_not_open_other_tenants(tmp_path: Path) -> None:
    """However wide it is."""
    gate = operators(tmp_path, "permit (principal, action, resource);")
    assert gate.allows(actor(), "source.delete", "acme", "acme/crm")
    assert not gate.allows(actor(), "source.read", "other", "other/crm")


@pytest.mark.parametrize(
    "text",
    [
        'permit (principal, action == PurSight::Action::"source.destroy", resource);',
        'forbid (principal, action, resource) when { resource.tenat == "x" };',
        "forbid (principal, action, resource) unless { context.mfa };",
        'permit (principal in PurSight::Group::"x", action, resource);',
        "permit (",
    ],
)
def test_a_policy_that_does_not_fit_the_schema_stops_the_start(tmp_path: Path, text: str) -> None:
    """A misspelt word in a forbid would be a hole, silently."""
    with pytest.raises(UsageError, match=r"own\.cedar"):
        operators(tmp_path, text)


def test_a_policy_that_fails_while_it_decides_denies(tmp_path: Path) -> None:
    """Cedar itself would leave the broken forbid out and allow."""
    gate = operators(tmp_path, 'forbid (principal, action, resource) when { 9223372036854775807 + 1 == 2 && resource.name == "x" };')
    assert not gate.allows(actor("admin"), "source.read", "acme", "acme/crm")


def test_a_refusal_names_the_permission_and_nothing_of_the_object() -> None:
    """The ledger's tenant is the actor's own."""
    with pytest.raises(Denied) as refused:
        shipped().check(actor("viewer"), "source.delete", "other", "other/crm")
    assert "source.delete" in str(refused.value)
    assert (refused.value.code, refused.value.tenant, refused.value.object) == ("not_allowed", "acme", "other/crm")


def test_names_may_hold_anything() -> None:
    """Quotes and line ends are no way into a policy."""
    for name in ('acme/"} ;permit(principal,action,resource);//', "acme/a\nb", "acme/🦊", "acme/\x00"):
        assert not shipped().allows(actor("viewer"), "source.delete", "acme", name)
        assert shipped().allows(actor("viewer"), "source.read", "acme", name)


def test_a_decision_takes_less_than_a_millisecond() -> None:
    """Of this process's time, on average."""
    gate, who = shipped(), actor("steward")
    began = time.process_time()
    for number in range(500):
        gate.allows(who, "source.update", "acme", f"acme/{number}")
    assert (time.process_time() - began) / 500 < 0.001
