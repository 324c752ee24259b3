"""Where a cloud's token or signature may go, and where a store may be: that cloud's own hosts, and those that the operator lists.

Whoever registers a source chooses its host. A bearer token that reaches another host is that host's to use; and stores are asked by HTTP,
which many a server in the house would answer that is none.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from shared.contracts.choices import address, entry, store_host
from shared.contracts.engines import engine_of
from shared.contracts.source import DataSource

LOOPBACK = ("localhost", "127.0.0.1", "::1")  # for the emulators of one person
CLOUD_SIGN_INS = ("aws_iam", "aws_keys", "azure_token", "gcp_iam", "gcp_token")
_AWS_REGION = r"[a-z]{2}(?:-[a-z]+)+-\d"
_AZURE = r"\.(?:azure\.com|usgovcloudapi\.net|chinacloudapi\.cn)"

# Hosts that only the provider can give to somebody, by provider and kind of source; private link's names are among them.
OWN: dict[tuple[str, str], re.Pattern[str]] = {
    ("aws", "server"): re.compile(rf".+\.rds(?:\.{_AWS_REGION})?\.amazonaws\.com(?:\.cn)?"),
    ("aws", "store"): re.compile(
        rf"(?:.+\.)?s3(?:-fips|-accesspoint)?(?:\.dualstack)?(?:[.-]{_AWS_REGION})?\.amazonaws\.com(?:\.cn)?"
        rf"|(?:.+\.)?vpce-[a-z0-9-]+\.s3\.{_AWS_REGION}\.vpce\.amazonaws\.com"
    ),
    ("azure", "server"): re.compile(rf".+\.(?:postgres|mysql)\.(?:database{_AZURE}|cosmos\.azure\.com)"),
    ("azure", "store"): re.compile(r".+\.blob\.(?:core\.(?:windows\.net|usgovcloudapi\.net|chinacloudapi\.cn)|storage\.azure\.net)"),
    ("gcp", "server"): re.compile(r".+\.sql(?:-psa|-psc)?\.goog"),
    ("gcp", "store"): re.compile(r".+\.googleapis\.com"),
}


def may_be_told(spec: DataSource, host: str, listed: tuple[str, ...]) -> bool:
    """Whether the source's cloud sign-in, or what a store is asked, may go to `host`. `listed`: names, or endings that begin with a dot.

    >>> lake = DataSource(name="lake", engine="gcs", database="lake", cloud_config={"provider": "gcp"})
    >>> [may_be_told(lake, host, (".corp",)) for host in ("storage.googleapis.com", "gcs.example", "gcs.corp")]
    [True, False, True]
    """
    name = host.lower().strip("[]").rstrip(".")
    engine = engine_of(spec.engine)
    own = OWN[engine.provider or spec.cloud_provider, engine.kind]
    return own.fullmatch(name) is not None or any(
        name == each or (each.startswith(".") and name.endswith(each)) for each in map(str.lower, listed)
    )


def strange(spec: DataSource, listed: tuple[str, ...]) -> Iterator[str]:
    """The fields that name a host to which the source's cloud sign-in may not go, or where no store of its kind may be."""
    if entry(spec).sign_in not in CLOUD_SIGN_INS and engine_of(spec.engine).kind != "store":
        return
    replicas = spec.replica_config
    named = [("host", spec.host or store_host(spec))]
    named += [("replica_config.secondary", replicas.secondary)] if replicas.secondary else []
    named += [("replica_config.replica_members", member) for member in replicas.replica_members]
    for field, text in named:
        host = text if field == "host" else address(text, spec.port)[0]
        if not may_be_told(spec, host, listed):
            yield field
