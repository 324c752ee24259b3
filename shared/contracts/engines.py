"""THE table of kinds of data sources: what each is called, where it listens, which fields it has, what it needs installed.

The JSON Schema, the registry's rules, the connection plan and `pursight source explain` all read it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

Kind = Literal["server", "store", "folder"]


@dataclass(frozen=True, slots=True)
class Engine:
    """One kind of source. `provider`: the cloud that a store belongs to. `place`: what `database` names. `extra`: what to install.

    `password_variable`: where the engine's own shell looks for a password.
    """

    name: str
    kind: Kind
    port: int
    place: str = "database"
    provider: str = ""
    extra: str = ""
    password_variable: str = ""
    spellings: tuple[str, ...] = ()


ENGINES: dict[str, Engine] = {
    engine.name: engine
    for engine in (
        Engine("postgresql", "server", 5432, password_variable="PGPASSWORD", spellings=("postgres", "pg", "psql", "pgsql")),
        Engine("mysql", "server", 3306, extra="mysql", password_variable="MYSQL_PWD"),
        Engine("mariadb", "server", 3306, extra="mysql", password_variable="MYSQL_PWD", spellings=("maria",)),
        Engine("mongodb", "server", 27017, extra="mongodb", spellings=("mongo",)),
        Engine("s3", "store", 443, place="bucket", provider="aws", extra="stores", spellings=("aws_s3", "amazon_s3")),
        Engine("gcs", "store", 443, place="bucket", provider="gcp", extra="stores", spellings=("google_cloud_storage", "gs")),
        Engine(
            "azure_blob", "store", 443, place="container", provider="azure", extra="stores", spellings=("azureblob", "abs", "azure-blob")
        ),
        Engine("folder", "folder", 0, place="folder", extra="stores", spellings=("local", "directory", "local_folder")),
    )
}
USUAL = ENGINES["postgresql"]
SERVERS = tuple(engine.name for engine in ENGINES.values() if engine.kind == "server")
PASSWORD_VARIABLES = frozenset(engine.password_variable for engine in ENGINES.values()) - {""}
STORES = tuple(engine.name for engine in ENGINES.values() if engine.kind == "store")

# Fields that only some engines have; all others belong to every engine.
ONLY_FOR: dict[str, tuple[str, ...]] = {
    "host": (*SERVERS, *STORES),
    "port": (*SERVERS, *STORES),
    "username": SERVERS,
    "password_secret": (*SERVERS, "azure_blob"),
    "cloud_config": (*SERVERS, *STORES),
    "ssl_config": (*SERVERS, *STORES),
    "replica_config": SERVERS,
    "replica_config.replica_set": ("mongodb",),
    "auth_database": ("mongodb",),
    "srv": ("mongodb",),
    "path": (*STORES, "folder"),
}

# Endings of host names that a cloud gives to its own databases.
MANAGED: dict[str, str] = {
    ".rds.amazonaws.com": "aws",
    ".docdb.amazonaws.com": "aws",
    ".database.azure.com": "azure",
    ".cosmos.azure.com": "azure",
    ".sql.goog": "gcp",
}


def engine_of(name: object) -> Engine:
    """The engine's row; that of the usual engine for a name that is not known."""
    return ENGINES.get(name, USUAL) if isinstance(name, str) else USUAL


def default_host(given: Mapping[str, Any]) -> str:
    """This machine; a store has none, because its cloud's own address is meant."""
    return "" if engine_of(given.get("engine")).kind == "store" else "localhost"


def default_port(given: Mapping[str, Any]) -> int:
    """The engine's own port; 0 where there is none."""
    return engine_of(given.get("engine")).port


def cloud_of(host: str) -> str:
    """The provider whose managed database this host name is; empty where the name does not tell.

    >>> cloud_of("crm.abc.eu-central-1.rds.amazonaws.com"), cloud_of("db.example")
    ('aws', '')
    """
    return next((provider for ending, provider in MANAGED.items() if host.lower().rstrip(".").endswith(ending)), "")
