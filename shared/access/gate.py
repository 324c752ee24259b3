"""May this actor do that? Cedar decides: what nothing permits is denied, forbidding wins, and an error in a policy denies.

Policies are the files in `policies/`, and those of the operator's folder besides. All are checked against the schema before anything is
served: a misspelt attribute or action is an error at the start, not a hole later.
"""

from __future__ import annotations

import json
from functools import lru_cache
from pathlib import Path

import cedarpy

from shared.access.actions import ACTIONS, ALL
from shared.access.actor import EVERYWHERE, ROLES, Actor
from shared.errors import Denied, UsageError

FOLDER = Path(__file__).parent / "policies"
NAME = "PurSight"


def schema() -> str:
    """The Cedar schema that every policy must fit."""
    groups = "\n".join(f'  action "{group}";' for group in dict.fromkeys(ACTIONS.values()))
    actions = "\n".join(
        f'  action "{name}" in [Action::"{group}"] appliesTo {{ principal: [Actor], resource: [Object], context: {{ via: String }} }};'
        for name, group in ACTIONS.items()
    )
    return f"""namespace {NAME} {{
  entity Role;
  entity Actor in [Role] {{ kind: String, tenant: String, everywhere: Bool }};
  entity Object {{ tenant: String, name: String, shared: Bool }};
{groups}
{actions}
}}"""


class Gate:
    """The policies in force. `allows` is quick (tens of microseconds) and safe to call anywhere."""

    def __init__(self, texts: dict[str, str]) -> None:
        """`texts`: policies by the name of their file. Raises UsageError (`invalid_policies`) where they do not fit the schema."""
        self._schema = cedarpy.Schema.from_str(schema())
        for name, text in texts.items():
            _check(name, text, self._schema)
        self._policies = cedarpy.PolicySet.from_str("\n".join(texts.values()))
        roles = [{"uid": {"type": f"{NAME}::Role", "id": role}, "attrs": {}, "parents": []} for role in ROLES]
        self._roles = cedarpy.Entities.from_json_str(json.dumps(roles), self._schema)

    @classmethod
    def load(cls, extra: Path | None = None) -> Gate:
        """The shipped policies and those of the folder `extra`. Raises UsageError (`invalid_policies`)."""
        files = [*sorted(FOLDER.glob("*.cedar")), *(sorted(extra.glob("*.cedar")) if extra else ())]
        if extra and not extra.is_dir():
            raise UsageError(f"there is no folder {extra}", remedy="Correct PURSIGHT_ACCESS_POLICIES.", code="invalid_policies")
        return cls({str(file): file.read_text("utf-8") for file in files})

    def allows(self, actor: Actor, action: str, tenant: str, name: str = "", *, shared: bool = False, via: str = "http") -> bool:
        """Whether `actor` may do `action` to the object `name` of `tenant`. An action that nobody knows is denied."""
        if action not in ACTIONS:
            return False
        principal, resource = _uid("Actor", actor.id), _uid("Object", name)
        entities = self._roles.with_added_json_str(json.dumps([_actor(actor), _object(tenant, name, shared)]))
        request = {"principal": principal, "action": _uid("Action", action), "resource": resource, "context": {"via": via}}
        answer = cedarpy.is_authorized(request, self._policies, entities, self._schema)
        return bool(answer.allowed) and not answer.diagnostics.errors

    def check(self, actor: Actor, action: str, tenant: str, name: str = "", *, via: str = "http") -> None:
        """Raises Denied where `actor` may not."""
        if not self.allows(actor, action, tenant, name, via=via):
            raise denied(actor, (action,), tenant, name)


def denied(actor: Actor, actions: tuple[str, ...], tenant: str, name: str = "") -> Denied:
    """The refusal, in the same words whether the object exists or not."""
    everywhere = tenant == EVERYWHERE
    where = "in all tenants" if everywhere else f"in the tenant {tenant[:64]!r}"
    return Denied(
        f"this needs the permission {' or '.join(actions)} {where}",
        why=f"{actor.id} does not have it",
        remedy="Ask an administrator for a role that has it.",
        code="not_allowed",
        actor=actor.id,
        action=actions[0],
        tenant=actor.tenant if not actor.everywhere else "" if everywhere else tenant,
        object=name,
    )


@lru_cache(maxsize=1)
def shipped() -> Gate:
    """The gate with the shipped policies alone."""
    return Gate.load()


def _uid(kind: str, id: str) -> dict[str, str]:
    return {"type": f"{NAME}::{kind}", "id": id}


def _actor(actor: Actor) -> dict[str, object]:
    attributes = {"kind": actor.kind, "tenant": "" if actor.everywhere else actor.tenant, "everywhere": actor.everywhere}
    known = [_uid("Role", role) for role in sorted(actor.roles & set(ROLES))]
    return {"uid": _uid("Actor", actor.id), "attrs": attributes, "parents": known}


def _object(tenant: str, name: str, shared: bool) -> dict[str, object]:
    return {"uid": _uid("Object", name), "attrs": {"tenant": tenant or ALL, "name": name, "shared": shared}, "parents": []}


def _check(name: str, text: str, known: cedarpy.Schema) -> None:
    try:
        found = cedarpy.validate_policies(text, known)
        faults = [] if found.validation_passed else [str(fault) for fault in found.errors]
    except ValueError as error:
        faults = [str(error)]
    if faults:
        raise UsageError(
            f"the access policies in {name} cannot be used",
            why="; ".join(faults)[:500],
            remedy="Correct the file.",
            code="invalid_policies",
        )
