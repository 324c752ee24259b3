"""The spellings that people use for a data source, and ours: every change is noted, nothing is guessed."""

from __future__ import annotations

from typing import Any

# theirs -> ours, top level
FIELDS: dict[str, str] = {
    "source_type": "engine",
    "type": "engine",
    "database_name": "database",
    "dbname": "database",
    "db": "database",
    "hostname": "host",
    "user": "username",
    "ssl": "ssl_config",
    "tls": "ssl_config",
    "tenant_id": "tenant",
    "password_ref": "password_secret",
}
CLOUD_PREFIXES = {"aws": "aws_", "azure": "azure_", "gcp": "gcp_"}
CLOUD_FIELDS: dict[str, str] = {
    "secret_access_key": "secret_access_key_ref",
    "client_secret": "client_secret_ref",
    "service_account": "service_account_ref",
    "project": "project_id",
    "arn": "resource_arn",
    "region_name": "region",
}
SSL_FIELDS: dict[str, str] = {"ssl_ca": "ca", "ssl_cert": "cert", "ssl_key": "key", "sslmode": "mode", "ssl_mode": "mode", "ca_file": "ca"}
VALUES: dict[str, dict[str, str]] = {
    "engine": {"postgres": "postgresql", "pg": "postgresql", "postgresql": "postgresql"},
    "location": {"onprem": "on_prem", "on-prem": "on_prem", "on_premises": "on_prem"},
}


def normalise(document: dict[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """The document in our spelling, and a note for each thing that was renamed. Values are left alone but for known synonyms.

    >>> normalise({"name": "crm", "source_type": "Postgres"})
    ({'name': 'crm', 'engine': 'postgresql'}, ['source_type is read as engine'])
    """
    notes: list[str] = []
    properties = document.get("connection_properties")
    flat = {key: value for key, value in document.items() if key != "connection_properties"}
    if isinstance(properties, dict):
        flat = {**properties, **flat}
        notes.append("connection_properties is read as top-level fields")
    result = _rename(flat, FIELDS, "", notes)
    provider = result.pop("cloud_provider", None)
    result = {key: _value(key, value) for key, value in result.items()}
    _gather_ssl(result, notes)
    if isinstance(block := result.get("cloud_config"), dict):
        result["cloud_config"] = _cloud(block, provider, notes)
    elif provider:
        result["cloud_config"] = {"provider": str(provider).lower()}
    return result, notes


def _rename(block: dict[str, Any], names: dict[str, str], prefix: str, notes: list[str]) -> dict[str, Any]:
    result: dict[str, Any] = {}
    for key, value in block.items():
        ours = names.get(key, key)
        if ours != key and ours in block:
            ours = key  # both spellings given: leave the odd one to be reported as unknown
        if ours != key:
            notes.append(f"{prefix}{key} is read as {prefix}{ours}")
        result[ours] = value
    return result


def _value(key: str, value: Any) -> Any:
    if key in VALUES and isinstance(value, str):
        return VALUES[key].get(value.lower(), value.lower())
    return value


def _gather_ssl(result: dict[str, Any], notes: list[str]) -> None:
    """Top-level ssl_* fields belong into ssl_config."""
    loose = {key: result.pop(key) for key in list(result) if key in SSL_FIELDS}
    block = result.get("ssl_config")
    if isinstance(block, bool):
        notes.append("ssl_config: true is read as mode verify-full" if block else "ssl_config: false is read as mode disable")
        result["ssl_config"] = {"mode": "verify-full" if block else "disable"}
    elif loose or isinstance(block, dict):
        result["ssl_config"] = _rename({**(block if isinstance(block, dict) else {}), **loose}, SSL_FIELDS, "ssl_config.", notes)


def _cloud(block: dict[str, Any], provider: Any, notes: list[str]) -> dict[str, Any]:
    """The cloud block without the provider's prefix on its fields, and with the provider inside."""
    named = str(block.get("provider") or provider or _guess(block)).lower()
    prefix = CLOUD_PREFIXES.get(named, "")
    bare = {key: key.removeprefix(prefix) for key in block if prefix and key.startswith(prefix)}
    result = _rename(_rename(block, bare, "cloud_config.", notes), CLOUD_FIELDS, "cloud_config.", notes)
    return {**result, "provider": named} if named else result


def _guess(block: dict[str, Any]) -> str:
    """The provider whose prefix some field carries; empty where none or several do."""
    found = {name for name, prefix in CLOUD_PREFIXES.items() if any(key.startswith(prefix) for key in block)}
    return found.pop() if len(found) == 1 else ""
