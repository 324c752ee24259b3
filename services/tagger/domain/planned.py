"""A Terraform plan, read from `show -json`: what it would do, and what of that needs a person's word. No value of it is repeated."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

from services.tagger.domain.exposure import UNKNOWN, broken, values_at
from shared.contracts.tags import Tag

CODES = ("delete", "replace", "tags_missing", "tags_differ", "public", "unencrypted")  # what an apply refuses until it is accepted
NOTES = ("unknown", "drift")
_ACTIONS = ("create", "update", "delete", "read", "no-op", "forget")
_TARGETS = {"aws": "aws", "google": "gcp", "azurerm": "azure", "kubernetes": "kubernetes"}
# Where each provider's resources have tags: the first group of which the resource has any counts, its members together.
_PLACES = {
    "aws": (("tags_all", "tags"),),
    "google": (
        ("effective_labels", "labels", "resource_labels", "user_labels"),
        ("settings.*.user_labels",),
        ("node_config.*.resource_labels",),
    ),
    "azurerm": (("tags",),),
    "kubernetes": (("metadata.*.labels",),),
}
# Kinds with room for fewer tags than their cloud gives otherwise: the most important ones must be there.
_ROOM = {"azurerm_key_vault_key": 15, "azurerm_key_vault_secret": 15, "azurerm_key_vault_certificate": 15}
_NEEDS_ENCRYPTION = ("confidential", "restricted")


@dataclass(frozen=True, slots=True)
class Change:
    """What happens to one resource; `attributes` are the names of what changes, never its values."""

    address: str
    kind: str
    action: str  # create, update, delete, replace, forget, read
    attributes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Finding:
    """What is to be decided about a planned resource. `refuses`: no apply before this code is accepted."""

    code: str
    address: str
    message: str
    remedy: str
    refuses: bool = True


@dataclass(frozen=True, slots=True)
class Judged:
    """The whole plan."""

    changes: tuple[Change, ...]
    findings: tuple[Finding, ...]
    outputs: tuple[str, ...] = ()  # names of those that change

    @property
    def counts(self) -> dict[str, int]:
        """How many resources meet which fate."""
        return dict(Counter(change.action for change in self.changes))

    @property
    def refused(self) -> tuple[str, ...]:
        """The codes that must be accepted before this plan is applied."""
        return tuple(dict.fromkeys(finding.code for finding in self.findings if finding.refuses))


def needs_encryption(tags: Sequence[Tag]) -> bool:
    """Do the tags say that this data may lie nowhere in clear text?"""
    values = {tag.key: tag.value for tag in tags}
    return (
        values.get("EncryptionRequired") == "true"
        or values.get("Sensitivity") in _NEEDS_ENCRYPTION
        or any(key.startswith("Contains") and value == "true" for key, value in values.items())
    )


def judge_plan(plan: Mapping[str, Any], tags: Mapping[str, Mapping[str, str]], *, encrypt: bool) -> Judged:
    """Judge the object that `show -json` prints.

    `tags`: by target (aws, gcp, azure, kubernetes) what each taggable resource must carry, most important first.
    """
    changes, findings = list[Change](), list[Finding]()
    for each in plan.get("resource_changes") or ():
        if each.get("mode") == "data" or (action := _action(each["change"]["actions"])) == "no-op":
            continue
        changes.append(Change(each["address"], each["type"], action, _attributes(each["change"])))
        findings += _findings(each, action, tags, encrypt=encrypt)
    for each in plan.get("resource_drift") or ():
        if _action(each["change"]["actions"]) != "no-op":
            message = "was changed by somebody else since the last apply"
            findings.append(Finding("drift", each["address"], message, "The apply brings it back to what the module says.", refuses=False))
    outputs = plan.get("output_changes") or {}
    changed = tuple(sorted(name for name, change in outputs.items() if _action(change["actions"]) != "no-op"))
    return Judged(tuple(changes), tuple(findings), changed)


def _action(actions: Sequence[str]) -> str:
    """One word for what Terraform says in one or two; an action that is new to us is treated as the worst.

    >>> _action(["create", "delete"]), _action(["update"]), _action(["no-op"])
    ('replace', 'update', 'no-op')
    """
    if len(actions) == 1 and actions[0] in _ACTIONS:
        return actions[0]
    return "replace" if {"create", "delete"} <= set(actions) else "delete"


def _attributes(change: Mapping[str, Any]) -> tuple[str, ...]:
    before, after, unknown = (change.get(part) or {} for part in ("before", "after", "after_unknown"))
    names = {*before, *after, *unknown} if before and (after or unknown) else ()
    return tuple(sorted(name for name in names if before.get(name) != after.get(name) or unknown.get(name)))


def _findings(each: Mapping[str, Any], action: str, tags: Mapping[str, Mapping[str, str]], *, encrypt: bool) -> Iterator[Finding]:
    address, change = each["address"], each["change"]
    if action == "delete":
        yield Finding("delete", address, "would be deleted, and its data with it", "Keep it in the module, or accept that.")
    elif action == "replace":
        why = ", ".join(sorted({".".join(map(str, path)) for path in change.get("replace_paths") or ()}))
        message = f"would be deleted and made anew{f' because of {why}' if why else ''}"
        yield Finding("replace", address, message, "Leave what forces that as it is, or accept that.")
    if action not in ("create", "update", "replace"):
        return
    after, unknown = change.get("after") or {}, change.get("after_unknown") or {}
    yield from _tag_findings(address, each["type"], after, unknown, tags)
    for rule, only_later in broken(each["type"], after, unknown, encrypt=encrypt):
        if only_later:
            yield _unknown(address, rule.path)
        else:
            yield Finding(rule.code, address, rule.message, rule.remedy)


def _tag_findings(
    address: str, kind: str, after: Mapping[str, Any], unknown: Mapping[str, Any], tags: Mapping[str, Mapping[str, str]]
) -> Iterator[Finding]:
    provider = kind.partition("_")[0]
    wanted = dict(islice(tags.get(_TARGETS.get(provider, ""), {}).items(), _ROOM.get(kind)))
    group = next((group for group in _PLACES.get(provider, ()) if any(_has(after, unknown, path) for path in group)), ())
    if not group or not wanted:
        return
    found = [next(values_at(after, unknown, path.split(".")), None) for path in group]
    carried = {key: value for each in found if isinstance(each, Mapping) for key, value in each.items()}
    missing = sorted(wanted.keys() - carried.keys())
    differing = sorted(key for key in wanted.keys() & carried.keys() if carried[key] != wanted[key])
    remedy = "Give its tags the whole variable that PurSight fills."
    if missing and UNKNOWN in found:
        yield _unknown(address, group[0])
    elif missing:
        yield Finding("tags_missing", address, f"would not carry {_listed(missing)}", remedy)
    if differing:
        yield Finding("tags_differ", address, f"would carry another value of {_listed(differing)}", remedy)


def _has(after: Mapping[str, Any], unknown: Mapping[str, Any], path: str) -> bool:
    """Does this resource's type have the attribute? Inside a block, where the block is there."""
    first, _, rest = path.partition(".*.")
    if not rest:
        return first in after or first in unknown
    blocks = after.get(first)
    return isinstance(blocks, list) and bool(blocks) and isinstance(blocks[0], Mapping)


def _unknown(address: str, path: str) -> Finding:
    message = f"does not tell {path.replace('.*', '')} before the apply"
    return Finding("unknown", address, message, "Look at it after the apply.", refuses=False)


def _listed(keys: Collection[str], most: int = 5) -> str:
    shown = [*keys][:most]
    return ", ".join(shown) + (f" and {len(keys) - most} more" if len(keys) > most else "")
