"""What a data source may not say: contradictions and gaps that types cannot see, one row each."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from functools import partial
from ipaddress import ip_address
from typing import Any, NamedTuple

from shared.contracts.choices import entry, tls
from shared.contracts.engines import ONLY_FOR, SERVERS, cloud_of, default_host, default_port, engine_of
from shared.contracts.judging import secrecy
from shared.contracts.source import AwsConfig, AzureConfig, DataSource, GcpConfig, Problem

_LABEL = r"(?!-)[\w-]{1,63}(?<!-)"
NAME = re.compile(rf"{_LABEL}(?:\.{_LABEL})*\.?", re.ASCII)  # a host's name, or its IPv4 address
ENDPOINT = re.compile(r"(\[[0-9A-Fa-f:.%\w]+\]|[^:\[\]]+)(?::([0-9]{1,5}))?")
ROLE = re.compile(r"arn:aws[a-z-]*:iam::(\d+):role/[\w+=,.@/-]+", re.ASCII)
MAIL = re.compile(r"[\w.-]{1,128}@[\w.-]{1,128}", re.ASCII)
RDS_REGION = re.compile(r"\.([a-z]{2}(?:-[a-z]+)+-\d)\.rds\.amazonaws\.com(?:\.cn)?\.?$", re.IGNORECASE)
REGION = re.compile(r"[a-z0-9]+(?:-[a-z0-9]+)*", re.ASCII)
AZURE_REGION = re.compile(r"[A-Za-z0-9]+(?: [A-Za-z0-9]+)*", re.ASCII)  # Azure shows "West Europe" for westeurope
STORAGE_ACCOUNT = re.compile(r"[a-z0-9]{1,24}", re.ASCII)
BUCKET = re.compile(r"[A-Za-z0-9](?:(?:[\w-]|\.(?!\.)){0,220}[A-Za-z0-9])?", re.ASCII)  # old ones have capitals and underscores
CONTAINER = re.compile(r"\$(?:root|web|logs)|[a-z0-9](?:-?[a-z0-9]){0,62}", re.ASCII)
MAX_KEY = 2048
MAX_MEMBERS = 50
DEFAULTS: dict[str, Callable[[dict[str, str]], object]] = {"host": default_host, "port": default_port}
TOKENS = ("aws_iam", "azure_token", "gcp_iam")


class Rule(NamedTuple):
    """`broken` says whether the source breaks it; `field` is what the problem is reported at."""

    field: str
    code: str
    broken: Callable[[DataSource], bool]
    message: str
    remedy: str


def _aws(spec: DataSource) -> AwsConfig:
    return spec.cloud_config if isinstance(spec.cloud_config, AwsConfig) else AwsConfig(provider="aws")


def _azure(spec: DataSource) -> AzureConfig:
    return spec.cloud_config if isinstance(spec.cloud_config, AzureConfig) else AzureConfig(provider="azure")


def _gcp(spec: DataSource) -> GcpConfig:
    return spec.cloud_config if isinstance(spec.cloud_config, GcpConfig) else GcpConfig(provider="gcp")


def _signs_by_token(spec: DataSource) -> bool:
    return spec.engine in SERVERS and entry(spec).sign_in in TOKENS


def _kind(spec: DataSource) -> str:
    return engine_of(spec.engine).kind


def _bad_host(text: str) -> bool:
    """Neither a name, nor an address, nor the folder of a socket."""
    if text.startswith("/"):
        return len(text) == 1
    if ":" not in text:
        return not NAME.fullmatch(text)
    try:
        ip_address(text)
    except ValueError:
        return True
    return False


def _bad_endpoint(text: str) -> bool:
    found = ENDPOINT.fullmatch(text)
    return found is None or _bad_host(found[1].strip("[]")) or (found[2] is not None and not 0 < int(found[2]) <= 65535)


def _unlike_its_host(spec: DataSource) -> bool:
    found = RDS_REGION.search(spec.host)
    return bool(_aws(spec).region and found) and found is not None and found[1].lower() != _aws(spec).region.lower()


def _another_account(spec: DataSource) -> bool:
    owner = (_aws(spec).resource_arn.split(":") + [""] * 5)[4]
    return bool(_aws(spec).account_id and owner) and owner != _aws(spec).account_id


def _another_project(spec: DataSource) -> bool:
    owner = _gcp(spec).instance.rpartition(":")[0].rpartition(":")[0]
    return bool(_gcp(spec).project_id and owner) and owner != _gcp(spec).project_id


def _relative(path: str) -> bool:
    return bool(path) and (not path.startswith("/") or ".." in path.split("/"))


def _names_an_identity(spec: DataSource) -> bool:
    """An id without what proves it."""
    cloud = _azure(spec)
    return bool(cloud.client_id) and not (cloud.client_secret_ref or cloud.use_managed_identity or cloud.use_workload_identity)


def _member_again(spec: DataSource) -> bool:
    """A replica set's members are named together, whoever of them is asked first."""
    replicas = spec.replica_config
    others = {_with_port(spec, each).lower() for each in (spec.host, replicas.secondary) if each}
    return spec.engine != "mongodb" and any(_with_port(spec, each).lower() in others for each in replicas.replica_members)


def _unlike(pattern: re.Pattern[str], text: str) -> bool:
    """Something is given, and it is none of those. What passes may become a part of an address."""
    return bool(text) and (len(text) > 222 or not pattern.fullmatch(text))


def _no_region(spec: DataSource) -> bool:
    return _unlike(REGION, _aws(spec).region or _gcp(spec).region) or _unlike(AZURE_REGION, _azure(spec).region)


def _no_bucket(spec: DataSource) -> bool:
    return _kind(spec) == "store" and _unlike(CONTAINER if spec.engine == "azure_blob" else BUCKET, spec.database)


def _with_port(spec: DataSource, endpoint: str) -> str:
    return endpoint if re.search(r"(?<!:):\d+$", endpoint) else f"{endpoint}:{spec.port}"


def _nowhere(spec: DataSource, *, part: str) -> bool:
    """Is a TLS file named so that only somebody who stands in the right folder could find it?"""
    named = str(getattr(spec.ssl_config, part))
    return bool(named) and not named.startswith("/") and not secrecy.is_reference(named)


def _has_two_ends(spec: DataSource) -> bool:
    """A DNS seed list names all its members by itself."""
    return spec.engine in SERVERS and spec.location == "hybrid" and not (spec.srv and spec.engine == "mongodb")


def _second_as_first(spec: DataSource) -> bool:
    second = spec.replica_config.secondary
    return bool(second) and _with_port(spec, second).lower() == f"{spec.host}:{spec.port}".lower()


ONE = "Give only one of them."
RULES: tuple[Rule, ...] = (
    # place
    Rule("host", "missing", lambda s: s.engine in SERVERS and not s.host, "is required", "Give the server's name or address."),
    Rule("host", "invalid", lambda s: bool(s.host) and _bad_host(s.host), "is not one host name or address",
         "Give a name or an address alone; port, user and database have fields of their own, further hosts go to replica_config."),
    Rule("port", "invalid", lambda s: s.engine in SERVERS and s.port < 1, "is not a port", "Give 1 to 65535, or leave it out."),
    Rule("path", "missing", lambda s: s.engine == "folder" and not s.path, "a folder has a path", "Give path, from the root on."),
    Rule("path", "invalid", lambda s: s.engine == "folder" and bool(s.path) and (not s.path.startswith("/") or ".." in s.path.split("/")),
         "is not an absolute path", "Write it from the root on, without '..'."),
    Rule("location", "contradiction", lambda s: _kind(s) == "folder" and s.location != "on_prem",
         "a folder is on this machine", "Use on_prem, or name the bucket."),
    Rule("location", "contradiction", lambda s: _kind(s) == "store" and s.location == "hybrid",
         "a store has no second endpoint", "Use cloud or on_prem."),
    Rule("location", "contradiction", lambda s: s.location == "on_prem" and bool(cloud_of(s.host)),
         "says on_prem, but the host is a cloud's managed database", "Use cloud or hybrid."),
    Rule("location", "contradiction", lambda s: s.location == "on_prem" and _signs_by_token(s),
         "says on_prem, but sign-in is by a cloud's identity", "Use cloud or hybrid, or a password."),
    Rule("database", "invalid", _no_bucket, "is not the name of a bucket or container", "Give the name alone, without address or prefix."),
    # cloud
    Rule("cloud_config.region", "invalid", _no_region, "is not the name of a region", "Write it as eu-central-1 or westeurope."),
    Rule("cloud_config.storage_account", "invalid", lambda s: _unlike(STORAGE_ACCOUNT, _azure(s).storage_account),
         "is not the name of a storage account", "Give at most 24 small letters and digits, without the address."),
    Rule("cloud_config.provider", "contradiction",
         lambda s: bool(s.cloud_provider and cloud_of(s.host)) and cloud_of(s.host) != s.cloud_provider,
         "is not the cloud whose managed database the host is", "Change the host or cloud_provider."),
    Rule("cloud_config.provider", "contradiction",
         lambda s: _kind(s) == "store" and bool(s.cloud_provider) and s.cloud_provider != engine_of(s.engine).provider,
         "is not the cloud of this kind of store", "s3 is aws's, gcs is gcp's, azure_blob is azure's."),
    Rule("cloud_config.storage_account", "missing", lambda s: s.engine == "azure_blob" and not (s.host or _azure(s).storage_account),
         "a blob container belongs to a storage account", "Give cloud_config.storage_account."),
    Rule("cloud_config.region", "contradiction", _unlike_its_host, "is not the region in the host's name", "Leave it out, or correct it."),
    Rule("cloud_config.account_id", "contradiction", _another_account, "is not the account of resource_arn", ONE),
    Rule("cloud_config.project_id", "contradiction", _another_project, "is not the project of instance", ONE),
    Rule("cloud_config.storage_account", "not_for_engine", lambda s: _kind(s) == "server" and bool(_azure(s).storage_account),
         "is for a blob container", "Remove it, or use engine azure_blob."),
    Rule("cloud_config.instance", "not_for_engine", lambda s: _kind(s) == "store" and bool(_gcp(s).instance),
         "is for a database of Cloud SQL", "Remove it."),
    Rule("cloud_config.use_iam_auth", "not_for_engine", lambda s: _kind(s) == "store" and (_aws(s).use_iam_auth or _gcp(s).use_iam_auth),
         "is for databases; a store takes the identity as it is", "Remove it."),
    # identity
    Rule("cloud_config", "not_for_engine", lambda s: s.engine == "mongodb" and _signs_by_token(s),
         "MongoDB is not signed in to by a cloud's token here", "Use password_secret, or a client certificate."),
    Rule("cloud_config", "not_for_engine", lambda s: s.engine == "mariadb" and entry(s).sign_in == "azure_token",
         "Azure has no MariaDB that takes its tokens", "Use password_secret, or engine mysql."),
    Rule("cloud_config.role_arn", "invalid", lambda s: _unlike(ROLE, _aws(s).role_arn), "is not the ARN of a role",
         "Write it as arn:aws:iam::123456789012:role/NAME."),
    Rule("cloud_config.impersonate_service_account", "invalid", lambda s: _unlike(MAIL, _gcp(s).impersonate_service_account),
         "is not the mail of a service account", "Write it as NAME@PROJECT.iam.gserviceaccount.com."),
    Rule("cloud_config.web_identity_token_file", "invalid", lambda s: _relative(_aws(s).web_identity_token_file),
         "is not an absolute path", "Write it from the root on, without '..'."),
    Rule("cloud_config.federated_token_file", "invalid", lambda s: _relative(_azure(s).federated_token_file),
         "is not an absolute path", "Write it from the root on, without '..'."),
    Rule("cloud_config.client_id", "contradiction", _names_an_identity, "names an identity, and nothing proves it",
         "Give client_secret_ref, use_managed_identity or use_workload_identity, or leave it out."),
    Rule("password_secret", "contradiction", lambda s: bool(s.password_secret) and _signs_by_token(s),
         "a password and a token of the cloud are both asked for", ONE),
    Rule("username", "missing", lambda s: _signs_by_token(s) and s.cloud_provider != "gcp" and not s.username,
         "a token belongs to a database user", "Give username as the server knows the identity."),
    Rule("cloud_config.secret_access_key_ref", "missing",
         lambda s: bool(_aws(s).access_key_id) and not _aws(s).secret_access_key_ref, "belongs to access_key_id", "Give both, or neither."),
    Rule("cloud_config.access_key_id", "missing",
         lambda s: bool(_aws(s).secret_access_key_ref) and not _aws(s).access_key_id,
         "belongs to secret_access_key_ref", "Give both, or neither."),
    Rule("cloud_config.session_token_ref", "contradiction", lambda s: bool(_aws(s).session_token_ref) and not _aws(s).access_key_id,
         "belongs to temporary keys", "Give access_key_id too, or leave it out."),
    Rule("cloud_config.profile", "contradiction", lambda s: bool(_aws(s).profile and _aws(s).access_key_id),
         "a profile and keys are both given", ONE),
    Rule("cloud_config.web_identity_token_file", "contradiction",
         lambda s: bool(_aws(s).web_identity_token_file and (_aws(s).access_key_id or _aws(s).profile)),
         "a web identity and another one are both given", ONE),
    Rule("cloud_config.role_arn", "missing",
         lambda s: bool(_aws(s).web_identity_token_file or _aws(s).external_id) and not _aws(s).role_arn,
         "a web identity or an external id is for a role", "Give role_arn."),
    Rule("cloud_config.region", "missing",
         lambda s: _aws(s).use_iam_auth and s.engine in SERVERS and not _aws(s).region and not RDS_REGION.search(s.host),
         "a token is signed for a region", "Give cloud_config.region."),
    Rule("cloud_config.use_managed_identity", "contradiction",
         lambda s: _azure(s).use_managed_identity and bool(_azure(s).client_secret_ref or _azure(s).use_workload_identity),
         "a managed identity and another one are both given", ONE),
    Rule("cloud_config.use_workload_identity", "contradiction",
         lambda s: _azure(s).use_workload_identity and bool(_azure(s).client_secret_ref),
         "a workload identity and a service principal's secret are both given", ONE),
    Rule("cloud_config.federated_token_file", "contradiction",
         lambda s: bool(_azure(s).federated_token_file) and not _azure(s).use_workload_identity,
         "is for a workload identity", "Set use_workload_identity."),
    Rule("cloud_config.client_id", "missing",
         lambda s: bool(_azure(s).client_secret_ref or _azure(s).use_workload_identity) and not _azure(s).client_id,
         "names the service principal", "Give cloud_config.client_id."),
    Rule("cloud_config.tenant_id", "missing",
         lambda s: bool(_azure(s).client_secret_ref or _azure(s).use_workload_identity) and not _azure(s).tenant_id,
         "names the directory of the service principal", "Give cloud_config.tenant_id."),
    Rule("cloud_config.use_workload_identity", "contradiction",
         lambda s: _gcp(s).use_workload_identity and bool(_gcp(s).service_account_ref),
         "workload identity and a service account's key are both given", ONE),
    Rule("cloud_config.instance", "invalid",
         lambda s: bool(_gcp(s).instance) and not re.fullmatch(r"(?:[\w.\-]+:)?[\w.\-]+:[\w\-]+:[\w\-]+", _gcp(s).instance),
         "is not project:region:instance", "Copy the connection name of the Cloud SQL instance."),
    # TLS
    Rule("ssl_config.mode", "contradiction", lambda s: _signs_by_token(s) and s.ssl_config.mode not in ("", "verify-full"),
         "a token never goes over a line that is not verified", "Use verify-full, or a password."),
    *(Rule(f"ssl_config.{part}", "invalid", partial(_nowhere, part=part), "is neither an absolute path nor a reference",
           "Write the path from the root on, or vault:…, and never the text itself.") for part in ("ca", "cert", "key")),
    Rule("ssl_config.key", "missing", lambda s: bool(s.ssl_config.cert) and not s.ssl_config.key,
         "belongs to ssl_config.cert", "Give the certificate's key."),
    Rule("ssl_config.cert", "missing", lambda s: bool(s.ssl_config.key) and not s.ssl_config.cert,
         "belongs to ssl_config.key", "Give the key's certificate."),
    Rule("ssl_config.mode", "contradiction",
         lambda s: s.ssl_config.mode == "disable" and bool(s.ssl_config.ca or s.ssl_config.cert or s.ssl_config.key),
         "is off, but TLS files are named", "Remove them, or use verify-full."),
    # replicas
    Rule("replica_config.secondary", "missing", lambda s: _has_two_ends(s) and not s.replica_config.secondary,
         "a hybrid source has a second endpoint", "Give replica_config.secondary as host:port."),
    Rule("replica_config.secondary", "contradiction", lambda s: s.location != "hybrid" and bool(s.replica_config.secondary),
         "only a hybrid source has a second endpoint", "Use location: hybrid, or replica_config.replica_members."),
    Rule("replica_config.secondary", "contradiction", _second_as_first, "is the primary itself", "Name another endpoint."),
    Rule("replica_config.secondary", "invalid", lambda s: bool(s.replica_config.secondary) and _bad_endpoint(s.replica_config.secondary),
         "is not host or host:port", "Write it as db2.example:5432."),
    Rule("replica_config.replica_members", "invalid", lambda s: any(map(_bad_endpoint, s.replica_config.replica_members)),
         "has a member that is not host or host:port", "Write each as db2.example:5432."),
    Rule("replica_config.replica_members", "invalid",
         lambda s: len({m.lower() for m in s.replica_config.replica_members}) < len(s.replica_config.replica_members),
         "names a member twice", "Name each once."),
    Rule("replica_config.replica_members", "contradiction", _member_again, "names the primary or the secondary again",
         "Name the replicas alone."),
    Rule("replica_config.replica_members", "too_long", lambda s: len(s.replica_config.replica_members) > MAX_MEMBERS,
         f"has more than {MAX_MEMBERS} members", "Name those that are to be read from."),
    Rule("srv", "contradiction", lambda s: s.srv and bool(s.replica_config.replica_members or s.replica_config.secondary),
         "the seed list names the members already", "Remove secondary and replica_members, or srv."),
    # the rest
    Rule("labels", "invalid", lambda s: any(not key or len(key) > 63 or len(value) > 255 for key, value in s.labels.items()),
         "has a name of more than 63 or a value of more than 255 characters", "Shorten it."),
    Rule("name", "invalid", lambda s: s.name != s.name.strip(), "begins or ends with white space", "Remove it."),
    Rule("tenant", "invalid", lambda s: s.tenant != s.tenant.strip(), "begins or ends with white space", "Remove it."),
    Rule("name", "too_long", lambda s: len(s.key) > MAX_KEY, f"makes a key of more than {MAX_KEY} bytes", "Shorten name or tenant."),
)  # fmt: skip


def broken(spec: DataSource) -> Iterator[Problem]:
    """A problem for each rule that `spec` breaks."""
    for rule in RULES:
        if rule.broken(spec):
            yield Problem(field=rule.field, code=rule.code, message=rule.message, remedy=rule.remedy)


def misplaced(document: dict[str, Any], engine: str) -> Iterator[Problem]:
    """Fields that this engine does not have. `document` is in our spelling."""
    for field, engines in ONLY_FOR.items():
        block, _, inner = field.partition(".")
        given = document.get(block)
        if inner:
            given = given.get(inner) if isinstance(given, dict) else None
        if engine not in engines and given not in (None, "", {}, [], False, _ours(field, engine)):
            yield Problem(
                field=field,
                code="not_for_engine",
                message=f"is a field of {', '.join(engines)}; the engine is {engine}",
                remedy="Remove it, or change engine.",
            )


def _ours(field: str, engine: str) -> object:
    """What we write ourselves where nothing is given."""
    return DEFAULTS[field]({"engine": engine}) if field in DEFAULTS else None


def advice(spec: DataSource) -> Iterator[str]:
    """What is allowed and should be known all the same."""
    if "host" not in spec.model_fields_set and engine_of(spec.engine).kind == "server":
        yield f"host is left out, so it is {spec.host}: the machine that PurSight runs on"
    if spec.location == "cloud" and not spec.cloud_config:
        yield "cloud_provider is not given: no cloud sign-in, posture or tags for this source; TLS is verified as for every cloud source"
    if spec.location == "on_prem" and spec.cloud_config and tls(spec)[0] == "prefer":
        yield "cloud_config is given, but location is on_prem: TLS is not verified unless ssl_config says so"
    if spec.location != "on_prem" and spec.ssl_config.mode in ("disable", "prefer", "require", "verify-ca"):
        yield f"WARNING: ssl_config.mode {spec.ssl_config.mode} turns off what proves the server's identity"
    if spec.ssl_config.ca and spec.ssl_config.mode in ("prefer", "require"):
        yield f"ssl_config.ca is not looked at with mode {spec.ssl_config.mode}: use verify-full"
    if spec.ssl_config.mode == "disable" and cloud_of(spec.host):
        yield "WARNING: with ssl_config.mode disable the password and all data cross the cloud's network in clear text: use verify-full"
    if isinstance(spec.cloud_config, AzureConfig) and entry(spec).sign_in == "none" and _kind(spec) != "folder":
        yield "cloud_config names no identity, so nobody signs in: give use_managed_identity, use_workload_identity or client_secret_ref"
    if (_aws(spec).account_id and not _aws(spec).resource_arn) or (_gcp(spec).project_id and not _gcp(spec).instance):
        yield "cloud_config.account_id and project_id are for people: nothing is decided by them"
    if _azure(spec).use_managed_identity and _azure(spec).tenant_id:
        yield "cloud_config.tenant_id is not looked at for a managed identity"
    if _aws(spec).access_key_id:
        yield "cloud_config.access_key_id is a lasting key: a role would be safer"
