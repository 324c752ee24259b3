"""What no planned resource may be: open to everybody, or unencrypted where the data needs encryption. Rules as data.

Attributes are those of the providers aws, google, azurerm. Google and Azure encrypt storage always, so only AWS has rules on that.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Literal, NamedTuple

UNKNOWN = object()  # a value that only the apply brings
Test = Callable[[Any], bool]


class Rule(NamedTuple):
    """`path` leads to the values that are judged, `*` through every member of a list; `when` are values that must hold besides, where
    the provider does not say otherwise by itself, `unless` is an attribute that must not be there. `each` leads to the blocks that all
    three are about, where that is not the resource. `open_by_itself`: what nobody set and only the apply brings is wrong, too."""

    code: Literal["public", "unencrypted"]
    types: tuple[str, ...]
    path: str
    wrong: Test
    message: str
    remedy: str
    when: Mapping[str, str] = {}
    unless: str = ""
    each: str = ""
    open_by_itself: bool = False


def _everyone(value: Any) -> bool:
    return value in ("0.0.0.0/0", "::/0", "*", "Internet", "Any")


def _on(value: Any) -> bool:
    return value is True


def _off(value: Any) -> bool:
    return value in (None, False, "")


def _off_or_empty(value: Any) -> bool:
    return not value


def _public_acl(value: Any) -> bool:
    return isinstance(value, str) and value.lower().startswith(("public-", "publicread", "authenticated-read", "authenticatedread"))


def _anybody(value: Any) -> bool:
    return value in ("allUsers", "allAuthenticatedUsers")


def _open_policy(value: Any) -> bool:
    """A policy that allows everybody something, without a condition."""
    try:
        statements = json.loads(value)["Statement"]
    except (TypeError, ValueError, KeyError):
        return False
    listed = statements if isinstance(statements, list) else [statements]
    return any(
        each.get("Effect") == "Allow" and not each.get("Condition") and _is_anybody(each.get("Principal"))
        for each in listed
        if isinstance(each, dict)
    )


def _is_anybody(principal: Any) -> bool:
    named = principal.values() if isinstance(principal, dict) else (principal,)
    return any(name == "*" or (isinstance(name, list) and "*" in name) for name in named)


def _some(value: Any) -> bool:
    return bool(value)


_NARROW = "Name the addresses that need it."
_PRIVATE = "Keep it private; reach it through the network."
_ENCRYPT = "Turn encryption on; the tags say that this data needs it."
_BLOCKS = ("block_public_acls", "block_public_policy", "ignore_public_acls", "restrict_public_buckets")

RULES: tuple[Rule, ...] = (
    Rule("public", ("aws_security_group",), "ingress.*.cidr_blocks.*", _everyone, "lets everybody in", _NARROW),
    Rule("public", ("aws_security_group",), "ingress.*.ipv6_cidr_blocks.*", _everyone, "lets everybody in", _NARROW),
    Rule("public", ("aws_security_group_rule",), "cidr_blocks.*", _everyone, "lets everybody in", _NARROW, {"type": "ingress"}),
    Rule("public", ("aws_security_group_rule",), "ipv6_cidr_blocks.*", _everyone, "lets everybody in", _NARROW, {"type": "ingress"}),
    Rule("public", ("aws_vpc_security_group_ingress_rule",), "cidr_ipv4", _everyone, "lets everybody in", _NARROW),
    Rule("public", ("aws_vpc_security_group_ingress_rule",), "cidr_ipv6", _everyone, "lets everybody in", _NARROW),
    Rule("public", ("aws_s3_bucket", "aws_s3_bucket_acl"), "acl", _public_acl, "can be read by everybody", "Use the acl private."),
    *(
        Rule("public", ("aws_s3_bucket_public_access_block",), name, _off, "does not block public access", f"Set {name} to true.")
        for name in _BLOCKS
    ),
    Rule(
        "public",
        ("aws_s3_bucket_policy", "aws_sqs_queue_policy", "aws_sns_topic_policy", "aws_ecr_repository_policy"),
        "policy",
        _open_policy,
        "allows everybody something",
        "Name the principals.",
    ),
    Rule("public", ("aws_db_instance", "aws_rds_cluster_instance"), "publicly_accessible", _on, "has a public address", _PRIVATE),
    Rule("public", ("aws_redshift_cluster",), "publicly_accessible", _on, "has a public address", _PRIVATE),
    Rule("public", ("aws_subnet",), "map_public_ip_on_launch", _on, "gives public addresses", "Set map_public_ip_on_launch to false."),
    Rule("public", ("aws_instance",), "associate_public_ip_address", _on, "has a public address", _PRIVATE),
    Rule(
        "public", ("google_compute_firewall",), "source_ranges.*", _everyone, "lets everybody in", _NARROW, {"direction": "INGRESS"}, "deny"
    ),
    Rule("public", ("google_compute_instance",), "network_interface.*.access_config", _some, "has a public address", _PRIVATE),
    Rule("public", ("google_container_cluster",), "private_cluster_config.*.enable_private_nodes", _off, "has public nodes", _PRIVATE),
    Rule(
        "public",
        ("google_container_cluster",),
        "private_cluster_config.*.enable_private_endpoint",
        _off,
        "has a public control plane",
        _PRIVATE,
    ),
    Rule(
        "public",
        ("google_container_cluster",),
        "private_cluster_config",
        _off_or_empty,
        "has public nodes and a public control plane",
        "Give private_cluster_config, with private nodes and a private endpoint.",
        unless="control_plane_endpoints_config",
        open_by_itself=True,
    ),
    Rule(
        "public",
        ("google_container_cluster",),
        "master_authorized_networks_config.*.cidr_blocks.*.cidr_block",
        _everyone,
        "lets everybody at its control plane",
        _NARROW,
    ),
    Rule(
        "public",
        ("google_storage_bucket_iam_member", "google_project_iam_member", "google_bigquery_dataset_iam_member"),
        "member",
        _anybody,
        "is given to everybody",
        "Name the members.",
    ),
    Rule(
        "public",
        ("google_storage_bucket_iam_binding", "google_project_iam_binding", "google_bigquery_dataset_iam_binding"),
        "members.*",
        _anybody,
        "is given to everybody",
        "Name the members.",
    ),
    Rule("public", ("google_storage_bucket_acl",), "predefined_acl", _public_acl, "can be read by everybody", "Use the acl private."),
    Rule(
        "public",
        ("google_sql_database_instance",),
        "settings.*.ip_configuration.*.authorized_networks.*.value",
        _everyone,
        "lets everybody in",
        _NARROW,
    ),
    Rule(
        "public",
        ("azurerm_storage_account",),
        "allow_nested_items_to_be_public",
        _on,
        "lets containers be public",
        "Set allow_nested_items_to_be_public to false.",
    ),
    *(
        Rule("public", (kind,), path, _everyone, "lets everybody in", _NARROW, {"direction": "Inbound", "access": "Allow"}, each=each)
        for kind, each in (("azurerm_network_security_rule", ""), ("azurerm_network_security_group", "security_rule.*"))
        for path in ("source_address_prefix", "source_address_prefixes.*")
    ),
    Rule("public", ("azurerm_kubernetes_cluster",), "private_cluster_enabled", _off, "has a public control plane", _PRIVATE),
    Rule(
        "public",
        ("azurerm_mssql_server", "azurerm_postgresql_flexible_server", "azurerm_mysql_flexible_server"),
        "public_network_access_enabled",
        _on,
        "can be reached from everywhere",
        _PRIVATE,
    ),
    Rule("unencrypted", ("aws_ebs_volume", "aws_efs_file_system"), "encrypted", _off, "is not encrypted", _ENCRYPT),
    Rule("unencrypted", ("aws_db_instance", "aws_rds_cluster"), "storage_encrypted", _off, "is not encrypted", _ENCRYPT),
    Rule("unencrypted", ("aws_redshift_cluster",), "encrypted", _off, "is not encrypted", _ENCRYPT),
    Rule("unencrypted", ("aws_elasticache_replication_group",), "at_rest_encryption_enabled", _off, "is not encrypted", _ENCRYPT),
    Rule("unencrypted", ("aws_instance",), "root_block_device.*.encrypted", _off, "has an unencrypted disk", _ENCRYPT),
    Rule("unencrypted", ("aws_instance",), "ebs_block_device.*.encrypted", _off, "has an unencrypted disk", _ENCRYPT),
    Rule(
        "unencrypted",
        ("aws_launch_template",),
        "block_device_mappings.*.ebs.*.encrypted",
        lambda value: value in (None, False, "", "false"),
        "makes unencrypted disks",
        _ENCRYPT,
    ),
    Rule("unencrypted", ("aws_emr_cluster",), "security_configuration", _off, "has no security configuration", _ENCRYPT),
    Rule("unencrypted", ("aws_kinesis_stream",), "encryption_type", lambda value: value != "KMS", "is not encrypted", _ENCRYPT),
)
_BY_TYPE: dict[str, list[Rule]] = {}
for _rule in RULES:
    for _type in _rule.types:
        _BY_TYPE.setdefault(_type, []).append(_rule)


def broken(kind: str, after: Mapping[str, Any], unknown: Mapping[str, Any], *, encrypt: bool) -> Iterator[tuple[Rule, bool]]:
    """The rules that a resource of this type breaks as planned. With True where a value is not known before the apply."""
    for rule in _BY_TYPE.get(kind, ()):
        if rule.code == "unencrypted" and not encrypt:
            continue
        found = [value for block in _blocks(rule, after, unknown) for value in values_at(*block, rule.path.split("."))]
        if any((value is not UNKNOWN and rule.wrong(value)) or (value is UNKNOWN and rule.open_by_itself) for value in found):
            yield rule, False
        elif UNKNOWN in found:
            yield rule, True


def _blocks(rule: Rule, after: Mapping[str, Any], unknown: Mapping[str, Any]) -> Iterator[tuple[Any, Any]]:
    """What the rule is about, beside what of it is unknown."""
    for value, not_known in _pairs_at(after, unknown, rule.each.split(".") if rule.each else []):
        if isinstance(value, Mapping):
            otherwise = any(value.get(name) not in (None, wanted) for name, wanted in rule.when.items())
            if otherwise or (rule.unless and value.get(rule.unless)):
                continue
        yield value, not_known


def values_at(value: Any, unknown: Any, path: list[str]) -> Iterator[Any]:
    """Every value at this path; None where an object lacks it, UNKNOWN where only the apply brings it."""
    return (UNKNOWN if not_known is True else found for found, not_known in _pairs_at(value, unknown, path))


def _pairs_at(value: Any, unknown: Any, path: list[str]) -> Iterator[tuple[Any, Any]]:
    """Every value at this path, beside what of it is unknown: True where all of it."""
    if unknown is True or not path:
        yield value, unknown
    elif path[0] == "*":
        for number, each in enumerate(value if isinstance(value, list) else ()):
            yield from _pairs_at(each, _part(unknown, number), path[1:])
    else:
        inner = value.get(path[0]) if isinstance(value, Mapping) else None
        yield from _pairs_at(inner, _part(unknown, path[0]), path[1:])


def _part(unknown: Any, key: str | int) -> Any:
    if isinstance(unknown, Mapping):
        return unknown.get(str(key))
    return unknown[key] if isinstance(unknown, list) and isinstance(key, int) and key < len(unknown) else None
