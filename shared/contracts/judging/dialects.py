"""The spellings that people use for a data source, and ours: every change is noted, nothing is guessed.

Each field of the document becomes a claim on one of our fields. Two claims on one field with different values are a problem,
whichever spelling they use and wherever in the document they stand.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from shared.contracts.cloud import CLOUDS
from shared.contracts.engines import ENGINES, STORES, cloud_of, engine_of
from shared.contracts.source import DataSource, Problem, ReplicaConfig, ScanBudget, Scope, SslConfig

CONTAINERS = ("connection_properties", "additional_properties")  # their fields belong to the source itself
BLOCKS = ("cloud_config", "ssl_config", "replica_config", "scan_budget", "scope")
PROVIDERS = {"aws": "aws", "amazon": "aws", "azure": "azure", "microsoft": "azure", "gcp": "gcp", "google": "gcp", "google_cloud": "gcp"}
PREFIXES = {f"{word}_": provider for word, provider in PROVIDERS.items()}

# theirs -> ours; a dot leads into a block
FIELDS: dict[str, str] = {
    "source_type": "engine",
    "type": "engine",
    "database_type": "engine",
    "database_name": "database",
    "dbname": "database",
    "db": "database",
    "hostname": "host",
    "user": "username",
    "password_ref": "password_secret",
    "secret_ref": "password_secret",
    "tenant_id": "tenant",
    "auth_source": "auth_database",
    "authSource": "auth_database",
    "ssl": "ssl_config",
    "tls": "ssl_config",
    "cloud_provider": "cloud_config.provider",
    "provider": "cloud_config.provider",
    "replica_members": "replica_config.replica_members",
    "replica_set": "replica_config.replica_set",
    "read_preference": "replica_config.read_preference",
    "secondary_endpoint": "replica_config.secondary",
    "secondary_host": "replica_config.secondary",
    "secondary_port": "replica_config.secondary_port",
    "cron": "schedule",
    "scan_schedule": "schedule",
}
PLACES: dict[str, tuple[str, tuple[str, ...]]] = {  # only where the engine has such a thing
    "bucket": ("database", ("s3", "gcs")),
    "bucket_name": ("database", ("s3", "gcs")),
    "container": ("database", ("azure_blob",)),
    "container_name": ("database", ("azure_blob",)),
    "prefix": ("path", STORES),
    "folder": ("path", ("folder",)),
    "directory": ("path", ("folder",)),
}
SSL_FIELDS: dict[str, str] = {
    "ssl_ca": "ca",
    "ca_file": "ca",
    "ca_cert": "ca",
    "sslrootcert": "ca",
    "ssl_cert": "cert",
    "cert_file": "cert",
    "sslcert": "cert",
    "ssl_key": "key",
    "key_file": "key",
    "sslkey": "key",
    "ssl_mode": "mode",
    "sslmode": "mode",
    "ssl_check_hostname": "check_hostname",
    "verify_hostname": "check_hostname",
    "ssl_enabled": "enabled",
}
TLS_FILES = ("ssl_config.ca", "ssl_config.cert", "ssl_config.key")
BLOCK_FIELDS: dict[str, dict[str, str]] = {
    "ssl_config": SSL_FIELDS,
    "replica_config": {
        "members": "replica_members",
        "replicas": "replica_members",
        "read_replicas": "replica_members",
        "replica_endpoints": "replica_members",
        "replica_set_name": "replica_set",
        "readPreference": "read_preference",
        "secondary_endpoint": "secondary",
        "secondary_host": "secondary",
        "max_lag": "max_lag_seconds",
        "max_replica_lag_seconds": "max_lag_seconds",
    },
    "cloud_config": {
        "secret_access_key": "secret_access_key_ref",
        "session_token": "session_token_ref",
        "client_secret": "client_secret_ref",
        "service_account": "service_account_ref",
        "service_account_json": "service_account_ref",
        "project": "project_id",
        "arn": "resource_arn",
        "region_name": "region",
        "managed_identity": "use_managed_identity",
        "managed_identity_client_id": "client_id",
        "workload_identity": "use_workload_identity",
        "account_name": "storage_account",
        "instance_connection_name": "instance",
    },
    "scan_budget": {"max_statements": "statements", "max_bytes": "bytes", "max_seconds": "seconds"},
    "scope": {},
}
VALUES: dict[str, dict[str, str]] = {
    "engine": {spelling: engine.name for engine in ENGINES.values() for spelling in engine.spellings},
    "location": {"onprem": "on_prem", "on-prem": "on_prem", "on_premises": "on_prem", "on-premises": "on_prem"},
    "cloud_config.provider": {word: provider for word, provider in PROVIDERS.items() if word != provider},
    "ssl_config.mode": {
        "disabled": "disable",
        "preferred": "prefer",
        "required": "require",
        "verify_ca": "verify-ca",
        "verify_full": "verify-full",
        "verify_identity": "verify-full",
    },
    "replica_config.read_preference": {
        "primarypreferred": "primary_preferred",
        "secondarypreferred": "secondary_preferred",
    },
    "replica_config.failback": {},
}
BLOCK_MODELS: dict[str, frozenset[str]] = {
    "cloud_config": frozenset(field for model in CLOUDS.values() for field in model.model_fields),
    "ssl_config": frozenset({*SslConfig.model_fields, "enabled", "check_hostname"}),
    "replica_config": frozenset(ReplicaConfig.model_fields),
    "scan_budget": frozenset(ScanBudget.model_fields),
    "scope": frozenset(Scope.model_fields),
}
# A switch says a mode where nobody names one, and contradicts some that are named.
SWITCHES: dict[tuple[str, bool], tuple[str, tuple[str, ...]]] = {
    ("enabled", True): ("verify-full", ("disable",)),
    ("enabled", False): ("disable", ("prefer", "require", "verify-ca", "verify-full")),
    ("check_hostname", True): ("verify-full", ("disable", "prefer", "require", "verify-ca")),
    ("check_hostname", False): ("verify-ca", ("verify-full",)),
}
_SWITCHES = ("ssl_config.enabled", "ssl_config.check_hostname")
_CLOUD_FIELDS = {field for model in CLOUDS.values() for field in model.model_fields} | BLOCK_FIELDS["cloud_config"].keys()
_CLOUD_ONLY = _CLOUD_FIELDS - DataSource.model_fields.keys() - FIELDS.keys() - {"provider"}


class Claim(NamedTuple):
    """One value for our field `target`, as it stands at `origin`. `provider`: the cloud that its spelling names."""

    target: str
    origin: str
    value: Any
    provider: str = ""


class Normal(NamedTuple):
    """The document in our spelling; where each renamed field came from; notes; and what contradicts itself."""

    document: dict[str, Any]
    origins: dict[str, str]
    notes: tuple[str, ...]
    problems: tuple[Problem, ...]


def normalise(document: dict[str, Any]) -> Normal:
    """Our spelling of a document, whatever it holds. Values are left alone but for known synonyms.

    >>> normalise({"name": "crm", "source_type": "Postgres"}).document
    {'name': 'crm', 'engine': 'postgresql'}
    """
    claims = [claim for claim in _claims(document) if claim.value is not None]
    claims = _with_its_port(claims)
    silent = {"cloud_provider", *(claim.origin for claim in claims if claim.origin == claim.target or claim.target in _SWITCHES)}
    notes = [f"{claim.origin} is read as {claim.target}" for claim in claims if claim.origin not in silent and _is_ours(claim.target)]
    claims = [_known_word(claim, notes) for claim in claims]
    claims, problems = _one_provider(claims)
    claims += _switched(claims, notes, problems)
    kept: dict[str, Claim] = {}
    for claim in claims:
        first = kept.setdefault(claim.target, claim)
        if first is not claim and not _same(first.value, claim.value):
            problems.append(_contradiction(claim.origin, first.origin))
    result = _assemble(kept)
    _complete(result, notes)
    return Normal(result, {target: claim.origin for target, claim in kept.items()}, tuple(notes), tuple(problems))


def _claims(document: dict[str, Any]) -> Iterator[Claim]:
    for key, value in document.items():
        if key in CONTAINERS and isinstance(value, dict):
            for inner, each in value.items():
                target = "cloud_config.tenant_id" if inner == "tenant_id" else _target(inner, document)
                yield from _claim(target, f"{key}.{inner}", each)
        else:
            yield from _claim(_target(key, document), key, value)


def _target(key: str, document: dict[str, Any]) -> str:
    """Our field for a field at the top of the document; the same name where it is no spelling of ours."""
    if key in PLACES:
        ours, engines = PLACES[key]
        return ours if _engine(document) in engines else key
    if key in SSL_FIELDS:
        return f"ssl_config.{SSL_FIELDS[key]}"
    if key in _CLOUD_ONLY or any(key.startswith(prefix) and key.removeprefix(prefix) in _CLOUD_FIELDS for prefix in PREFIXES):
        return f"cloud_config.{key}"
    return FIELDS.get(key, key)


def _engine(document: dict[str, Any]) -> str:
    given = [document[key] for key in ("engine", *FIELDS) if FIELDS.get(key, key) == "engine" and isinstance(document.get(key), str)]
    word = given[0].strip().lower() if given else ""
    return VALUES["engine"].get(word, word)


def _claim(target: str, origin: str, value: Any) -> Iterator[Claim]:
    block, _, field = target.partition(".")
    if block == "cloud_config" and field:
        yield _in_cloud(field, origin, value)
    elif target not in BLOCKS or not isinstance(value, dict | bool) or (isinstance(value, bool) and target != "ssl_config"):
        yield Claim(target, origin, _addresses(target, value))
    elif isinstance(value, bool):
        yield Claim("ssl_config.enabled", origin, value)
    else:
        yield from _inside(target, origin, value)


def _inside(block: str, origin: str, content: dict[str, Any]) -> Iterator[Claim]:
    for key, value in content.items():
        place = f"{origin}.{key}"
        if block == "cloud_config" and key in PROVIDERS and isinstance(value, dict):
            yield Claim("cloud_config.provider", place, key)
            yield from (_in_cloud(inner, f"{place}.{inner}", each)._replace(provider=PROVIDERS[key]) for inner, each in value.items())
        elif block == "cloud_config":
            yield _in_cloud(key, place, value)
        else:
            target = f"{block}.{BLOCK_FIELDS[block].get(key, key)}"
            yield Claim(target, place, _addresses(target, value))


def _in_cloud(key: str, origin: str, value: Any) -> Claim:
    """A field of the cloud block, without the provider's prefix."""
    prefix = next((each for each in PREFIXES if key.startswith(each) and key.removeprefix(each) in _CLOUD_FIELDS), "")
    bare = key.removeprefix(prefix)
    return Claim(f"cloud_config.{BLOCK_FIELDS['cloud_config'].get(bare, bare)}", origin, value, PREFIXES.get(prefix, ""))


def _addresses(target: str, value: Any) -> Any:
    """`{host: h, port: p}` as `h:p`, where an endpoint belongs; a single member as a list of one."""
    if target == "host" and isinstance(value, str) and value.startswith("[") and value.endswith("]"):
        return value[1:-1]  # as an IPv6 address stands in a URL
    if target == "replica_config.secondary":
        return _address(value)
    if target == "replica_config.replica_members" and isinstance(value, list | str):
        return [_address(each) for each in ([value] if isinstance(value, str) else value)]
    return value


def _address(value: Any) -> Any:
    if isinstance(value, dict) and value.keys() <= {"host", "port"} and isinstance(value.get("host"), str):
        return f"{value['host']}:{value['port']}" if value.get("port") else value["host"]
    return value


def _with_its_port(claims: list[Claim]) -> list[Claim]:
    """The second endpoint's port, where it stands in a field of its own, behind its host."""
    port = next((claim for claim in claims if claim.target == "replica_config.secondary_port"), None)
    if port is None or isinstance(port.value, bool) or not str(port.value).isdigit():
        return claims
    joined = [
        claim._replace(value=f"{claim.value}:{port.value}")
        if claim.target == "replica_config.secondary" and isinstance(claim.value, str) and ":" not in claim.value
        else claim
        for claim in claims
    ]
    return [claim for claim in joined if claim is not port] if joined != claims else claims


def _is_ours(target: str) -> bool:
    """Nothing is read as a field that there is not."""
    block, _, field = target.partition(".")
    return block in DataSource.model_fields and (not field or block not in BLOCK_MODELS or field in BLOCK_MODELS[block])


def _known_word(claim: Claim, notes: list[str]) -> Claim:
    """Words of ours in whatever case; a synonym becomes ours, with a note. A `file:` reference to a TLS file is its path."""
    if claim.target in TLS_FILES and isinstance(claim.value, str) and claim.value.startswith("file:/"):
        return claim._replace(value=claim.value.removeprefix("file:"))
    if claim.target not in VALUES or not isinstance(claim.value, str):
        return claim
    word = claim.value.strip().lower()
    ours = VALUES[claim.target].get(word, word)
    if ours != word:
        notes.append(f"{claim.origin}: {word} is read as {ours}")
    return claim._replace(value=ours)


def _one_provider(claims: list[Claim]) -> tuple[list[Claim], list[Problem]]:
    """Fields whose spelling names another cloud than the source's are reported and left out."""
    said = [claim for claim in claims if claim.target == "cloud_config.provider" and isinstance(claim.value, str)]
    hinted = sorted({claim.provider for claim in claims if claim.provider})
    provider = said[0].value if said else hinted[0] if len(hinted) == 1 else ""
    if not said and provider:
        claims = [*claims, Claim("cloud_config.provider", "cloud_config.provider", provider)]
    if not said and len(hinted) > 1:
        provider = hinted[0]
    strange = [claim for claim in claims if claim.provider and claim.provider != provider]
    problems = [wrong_provider(claim.origin, claim.provider, provider) for claim in strange if provider in CLOUDS]
    return [claim for claim in claims if claim not in strange], problems


def wrong_provider(field: str, owner: str, given: str) -> Problem:
    """A field of one cloud in a source of another: both are named."""
    return Problem(
        field=field,
        code="wrong_provider",
        message=f"is a field of {owner}, but the source is {given}'s",
        remedy=f"Remove it, or change cloud_provider to {owner}.",
    )


def _switched(claims: list[Claim], notes: list[str], problems: list[Problem]) -> list[Claim]:
    """What `enabled` and `check_hostname` say about the mode. They are taken out of `claims`."""
    named = [claim for claim in claims if claim.target == "ssl_config.mode"]
    made: list[Claim] = []
    for claim in [each for each in claims if each.target in _SWITCHES]:
        row = SWITCHES.get((claim.target.partition(".")[2], claim.value)) if isinstance(claim.value, bool) else None
        if row is None:
            continue
        claims.remove(claim)
        if clash := next((each for each in (*named, *made) if each.value in row[1]), None):
            problems.append(_contradiction(claim.origin, clash.origin))
        elif not named:
            made.append(Claim("ssl_config.mode", claim.origin, row[0]))
            notes.append(f"{claim.origin}: {str(claim.value).lower()} is read as ssl_config.mode {row[0]}")
    return made[-1:]


def _contradiction(field: str, other: str) -> Problem:
    return Problem(field=field, code="contradiction", message=f"says something else than {other}", remedy="Give only one of them.")


def _same(one: Any, other: Any) -> bool:
    return bool(one == other) or (isinstance(one, str | int) and isinstance(other, str | int) and str(one) == str(other))


def _assemble(kept: dict[str, Claim]) -> dict[str, Any]:
    result: dict[str, Any] = {}
    for target, claim in kept.items():
        block, _, field = target.partition(".")
        if block not in BLOCKS or not field:
            result[target] = claim.value
        elif isinstance(inner := result.setdefault(block, {}), dict):
            inner[field] = claim.value
    return result


def _complete(result: dict[str, Any], notes: list[str]) -> None:
    """What follows from other fields without a doubt."""
    engine, host = engine_of(result.get("engine")), result.get("host")
    if engine.kind == "folder" and isinstance(result.get("name"), str):
        result.setdefault("database", result["name"])
    managed = engine.provider if engine.kind == "store" and not host else cloud_of(host) if isinstance(host, str) else ""
    if managed and "location" not in result:
        result["location"] = "cloud"
        notes.append(f"the {'store' if engine.kind == 'store' else 'host'} is {managed}'s, so location is cloud")
    cloud = result.setdefault("cloud_config", {}) if managed and result.get("location") == "cloud" else result.get("cloud_config")
    if managed and isinstance(cloud, dict) and "provider" not in cloud:
        cloud["provider"] = managed
        notes.append(f"the {'store' if engine.kind == 'store' else 'host'} is {managed}'s, so cloud_provider is {managed}")
