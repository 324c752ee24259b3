"""THE table of what a source's location, engine and identity lead to: endpoints, TLS, sign-in, what must be installed.

The connector's plan takes its decisions from here, and `pursight source explain` prints them with the reason.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, NamedTuple

from shared.contracts.engines import Kind, engine_of
from shared.contracts.source import DataSource

SignIn = Literal["none", "password", "aws_iam", "azure_token", "gcp_iam", "aws_keys", "gcp_token"]
TlsMode = Literal["disable", "prefer", "require", "verify-ca", "verify-full"]
TLS_MODES: tuple[TlsMode, ...] = ("disable", "prefer", "require", "verify-ca", "verify-full")


class Answer(NamedTuple):
    """One decision: about what, which, and why."""

    about: str
    choice: str
    why: str


class Connecting(NamedTuple):
    """How a source of this kind is reached at this location."""

    choice: str
    why: str


CONNECTING: dict[tuple[Kind, str], Connecting] = {
    ("server", "on_prem"): Connecting("one endpoint", "on_prem opens one line, in our own house"),
    ("server", "cloud"): Connecting("one endpoint", "cloud opens one line, by the cloud's rules"),
    ("server", "hybrid"): Connecting("primary and warm secondary", "hybrid watches both and fails over by itself"),
    ("store", "on_prem"): Connecting("one store", "an own server that speaks the cloud's protocol"),
    ("store", "cloud"): Connecting("one store", "the cloud's own service"),
    ("store", "hybrid"): Connecting("one store", "a store has no secondary"),
    ("folder", "on_prem"): Connecting("one folder", "on a disk of this machine"),
}


_SET = Connecting("replica set", "its members elect the primary and are found from any of them")


class Identity(NamedTuple):
    """One way to be somebody in a cloud. The first row that holds is taken."""

    provider: str
    word: str
    holds: Callable[[Any], bool]
    says: str


def _always(_: Any) -> bool:
    return True


IDENTITIES: tuple[Identity, ...] = (
    Identity("aws", "web identity", lambda c: bool(c.web_identity_token_file), "the token file is changed for role_arn's credentials"),
    Identity("aws", "role by keys", lambda c: bool(c.role_arn and c.access_key_id), "the keys assume role_arn"),
    Identity("aws", "role by profile", lambda c: bool(c.role_arn and c.profile), "the profile assumes role_arn"),
    Identity("aws", "role", lambda c: bool(c.role_arn), "whoever the process runs as assumes role_arn"),
    Identity("aws", "keys", lambda c: bool(c.access_key_id), "access_key_id with the secret by reference; a role would be safer"),
    Identity("aws", "profile", lambda c: bool(c.profile), "the profile of the services' own files"),
    Identity("aws", "surroundings", _always, "environment, container or instance, in the SDK's order"),
    Identity("azure", "workload identity", lambda c: c.use_workload_identity, "the federated token of the pod stands for client_id"),
    Identity("azure", "user assigned identity", lambda c: c.use_managed_identity and bool(c.client_id), "use_managed_identity, client_id"),
    Identity("azure", "system assigned identity", lambda c: c.use_managed_identity, "use_managed_identity without client_id"),
    Identity("azure", "service principal", lambda c: bool(c.client_secret_ref), "client_id with the secret by reference"),
    Identity("azure", "", _always, ""),
    Identity("gcp", "impersonation", lambda c: bool(c.impersonate_service_account), "impersonate_service_account is acted as"),
    Identity("gcp", "service account", lambda c: bool(c.service_account_ref), "the key file by reference"),
    Identity("gcp", "workload identity", lambda c: c.use_workload_identity, "the metadata server's account"),
    Identity("gcp", "surroundings", _always, "application default credentials of the services"),
)


class Entry(NamedTuple):
    """One way to sign in to the source itself. The first row that holds is taken."""

    sign_in: SignIn
    holds: Callable[[DataSource], bool]
    says: str


ENTRIES: tuple[Entry, ...] = (
    Entry("aws_keys", lambda s: s.engine == "s3" and s.cloud_provider == "aws", "requests are signed by the identity of cloud_config"),
    Entry("gcp_token", lambda s: s.engine == "gcs" and s.cloud_provider == "gcp", "the identity of cloud_config"),
    Entry("aws_iam", lambda s: bool(getattr(s.cloud_config, "use_iam_auth", False)) and s.cloud_provider == "aws", "use_iam_auth"),
    Entry("gcp_iam", lambda s: bool(getattr(s.cloud_config, "use_iam_auth", False)) and s.cloud_provider == "gcp", "use_iam_auth"),
    Entry("azure_token", lambda s: _flagged(s), "the identity of cloud_config"),
    Entry("password", lambda s: bool(s.password_secret), "password_secret"),
    Entry("azure_token", lambda s: s.cloud_provider == "azure" and bool(identity(s).word), "the identity of cloud_config"),
    Entry("none", lambda s: bool(s.ssl_config.cert), "the client certificate of ssl_config"),
    Entry("none", _always, "nothing is given: the server must trust us"),
)


def _flagged(spec: DataSource) -> bool:
    cloud = spec.cloud_config
    return cloud is not None and cloud.provider == "azure" and (cloud.use_managed_identity or cloud.use_workload_identity)


def entry(spec: DataSource) -> Entry:
    """How to sign in to the source, and why."""
    return next(row for row in ENTRIES if row.holds(spec))


def identity(spec: DataSource) -> Identity:
    """Who we are in the source's cloud. Raises ValueError where it has none."""
    if spec.cloud_config is None:
        raise ValueError("the source is in no cloud")
    return next(row for row in IDENTITIES if row.provider == spec.cloud_provider and row.holds(spec.cloud_config))


def tls(spec: DataSource) -> tuple[TlsMode, str]:
    """The mode and why: as asked for, else verified outside our own house and wherever a TLS file is named."""
    for mode in TLS_MODES:
        if spec.ssl_config.mode == mode:
            return mode, "ssl_config.mode says so"
    if engine_of(spec.engine).kind == "folder":
        return "disable", "nothing goes over a line"
    if spec.location != "on_prem":
        return "verify-full", f"location is {spec.location}: the server must prove who it is"
    if spec.ssl_config.ca or spec.ssl_config.cert:
        return "verify-full", "ssl_config names a file: the server must prove who it is"
    return "prefer", "location is on_prem: encrypted where the server can, not proven"


def elects(spec: DataSource) -> bool:
    """A MongoDB replica set elects its primary and finds its members by itself: nobody watches two ends of it from outside."""
    named = spec.srv or spec.replica_config.replica_set or spec.replica_config.replica_members
    return spec.engine == "mongodb" and bool(named)


def endpoints(spec: DataSource) -> tuple[tuple[str, str], ...]:
    """Role and address of every endpoint, the first dialled first."""
    kind = engine_of(spec.engine).kind
    if kind == "folder":
        return (("folder", spec.path),)
    if kind == "store":
        return (("store", f"{spec.host or store_host(spec)}:{spec.port}"),)
    if spec.srv:
        return (("members", f"DNS seed list {spec.host}"),)
    replicas, main = spec.replica_config, f"{spec.host}:{spec.port}"
    if elects(spec):
        return tuple(("member", each) for each in (main, *members(spec)))
    second = (("secondary", replicas.secondary),) if replicas.secondary else ()
    return (("primary" if second else "single", main), *second, *(("replica", member) for member in replicas.replica_members))


def members(spec: DataSource) -> tuple[str, ...]:
    """The addresses of a replica set that the source names beside its host; its secondary is one of them."""
    replicas = spec.replica_config
    second = (replicas.secondary,) if replicas.secondary and elects(spec) else ()
    return tuple(dict.fromkeys((*second, *replicas.replica_members)))


def address(text: str, usual_port: int) -> tuple[str, int]:
    """Host and port of `host`, `host:port`, or an IPv6 address in brackets.

    >>> address("db2.example:5433", 5432), address("[::1]", 5432)
    (('db2.example', 5433), ('::1', 5432))
    """
    if text.startswith("["):
        host, _, rest = text[1:].partition("]")
        port = rest.removeprefix(":")
    else:
        host, _, port = text.partition(":")
    return host, int(port) if port.isdigit() else usual_port


def store_host(spec: DataSource) -> str:
    """The public name of a cloud's store.

    >>> store_host(DataSource(name="lake", engine="gcs", database="lake"))
    'storage.googleapis.com'
    """
    if spec.engine == "azure_blob":
        return f"{getattr(spec.cloud_config, 'storage_account', '')}.blob.core.windows.net"
    if spec.engine == "gcs":
        return "storage.googleapis.com"
    region = getattr(spec.cloud_config, "region", "")
    return f"s3.{region}.amazonaws.com" if region else "s3.amazonaws.com"


def secret_references(spec: DataSource) -> tuple[str, ...]:
    """Every reference that must be resolved to dial: never a value."""
    cloud = spec.cloud_config.model_dump() if spec.cloud_config else {}
    inside = (value for name, value in cloud.items() if name.endswith("_ref") and value)
    files = (text for text in (spec.ssl_config.ca, spec.ssl_config.cert, spec.ssl_config.key) if text and not text.startswith("/"))
    return tuple(dict.fromkeys(reference for reference in (spec.password_secret, *inside, *files) if reference))


def extras(spec: DataSource) -> tuple[str, ...]:
    """What must be installed besides, by the names of the package's extras."""
    engine = engine_of(spec.engine)
    wanted = (engine.extra, spec.cloud_provider if engine.kind != "folder" else "")
    return tuple(extra for extra in wanted if extra)


def explain(spec: DataSource) -> tuple[Answer, ...]:
    """Every decision with its reason, in the order in which it is met."""
    engine, (mode, because) = engine_of(spec.engine), tls(spec)
    way = _SET if elects(spec) else CONNECTING.get((engine.kind, spec.location), CONNECTING[engine.kind, "on_prem"])
    answers = [Answer("connector", spec.engine, f"engine is {spec.engine}"), Answer("connection", way.choice, way.why)]
    answers += [Answer("endpoint", address, role) for role, address in endpoints(spec)]
    answers.append(Answer("TLS", mode, because))
    if engine.kind != "folder":
        found = entry(spec)
        answers.append(Answer("sign-in", found.sign_in, found.says))
    if spec.cloud_config and (who := identity(spec)).word:
        answers.append(Answer(f"identity in {spec.cloud_provider}", who.word, who.says))
    answers += [Answer("secret", reference, "resolved by who dials, at each new connection") for reference in secret_references(spec)]
    if engine.kind == "server":
        answers += _reading(spec)
    needed = extras(spec)
    return (*answers, Answer("to install", f"pursight[{','.join(needed)}]" if needed else "nothing besides", "drivers and sign-in"))


def _reading(spec: DataSource) -> list[Answer]:
    replicas = spec.replica_config
    most = spec.pool_size + spec.max_overflow
    answers = [
        Answer("pool", f"{spec.pool_size}, up to {most}", f"all processes together; who needs one waits up to {spec.pool_timeout:g} s")
    ]
    if replicas.replica_members or elects(spec):
        answers.append(Answer("reads", replicas.read_preference, f"from members at most {replicas.max_lag_seconds:g} s behind"))
    if replicas.secondary and not elects(spec):
        back = f"after {replicas.failback_after_seconds:g} s of health" if replicas.failback == "auto" else "when a person says so"
        answers.append(Answer("watch", "one line more at each endpoint", "beside the pool, so that it never waits"))
        answers.append(Answer("return to the primary", replicas.failback, back))
    return answers
