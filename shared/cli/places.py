"""URLs of sources that are no one database server: replica sets of MongoDB, buckets, containers, folders."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import SplitResult, parse_qsl, quote, unquote, urlsplit

from shared.errors import UsageError

Document = dict[str, Any]

# What every MongoDB URL may carry and what says nothing about a source that is only read.
_OF_DRIVERS = frozenset({"w", "journal", "retryWrites", "retryReads", "appName", "directConnection", "compressors", "maxPoolSize"})
_MONGO = {
    "authSource": ("auth_database", ""),
    "replicaSet": ("replica_config", "replica_set"),
    "readPreference": ("replica_config", "read_preference"),
    "tlsCAFile": ("ssl_config", "ca"),
}
_PREFERENCES = {"primaryPreferred": "primary_preferred", "secondaryPreferred": "secondary_preferred"}


def mongo(url: str) -> tuple[Document, str | None]:
    """A source and its password, from `mongodb://` with one or more hosts or `mongodb+srv://`. Raises UsageError; the password stays out of
    it."""
    parts = urlsplit(url)
    user, at, hosts = parts.netloc.rpartition("@")
    name, _, password = user.partition(":")
    seeds = [each for each in hosts.split(",") if each]
    database = unquote(parts.path.lstrip("/"))
    if not seeds or not database:
        raise bad_url(
            "the database is missing after the host" if seeds else "the host is missing", "Write mongodb://USER@HOST:PORT/DATABASE."
        )
    first, srv = urlsplit(f"//{seeds[0]}"), parts.scheme == "mongodb+srv"
    document: Document = {
        "engine": "mongodb",
        "host": unquote(first.hostname or ""),
        "port": first.port or 27017,
        "database": database,
        "username": unquote(name),
        **({"srv": True} if srv else {}),
    }
    if seeds[1:]:
        document["replica_config"] = {"replica_members": seeds[1:]}
    _options(document, dict(parse_qsl(parts.query, keep_blank_values=True)), encrypted=srv)
    return document, unquote(password, errors="surrogateescape") if at and ":" in user else None


def _options(document: Document, query: dict[str, str], *, encrypted: bool) -> None:
    """MongoDB's own names. Raises UsageError on one that is not known: silently ignoring it could weaken TLS."""
    tls = query.pop("tls", query.pop("ssl", "true" if encrypted else "")).lower()
    any_name = query.pop("tlsAllowInvalidHostnames", "").lower() == "true"
    anybody = "true" in (query.pop("tlsAllowInvalidCertificates", "").lower(), query.pop("tlsInsecure", "").lower())
    if tls:
        mode = "disable" if tls == "false" else "require" if anybody else "verify-ca" if any_name else "verify-full"
        document.setdefault("ssl_config", {})["mode"] = mode
    for key, value in query.items():
        if key in _OF_DRIVERS:
            continue
        if key not in _MONGO:
            raise UsageError(f"the URL parameter {key} is not understood", remedy=f"Known are tls, {', '.join(_MONGO)}.", code="bad_url")
        block, field = _MONGO[key]
        if field:
            document.setdefault(block, {})[field] = _PREFERENCES.get(value, value)
        else:
            document[block] = value


def store(url: str) -> Document:
    """A source from `s3://BUCKET/PREFIX`, `gs://BUCKET/PREFIX`, `az://ACCOUNT/CONTAINER/PREFIX` or `file:///FOLDER`. Raises UsageError."""
    parts = urlsplit(url)
    query = dict(parse_qsl(parts.query, keep_blank_values=True))
    document = _STORES[parts.scheme](parts)
    for name, place in (("region", "region"), ("profile", "profile"), ("project", "project_id")):
        if name in query and "cloud_config" in document:
            document["cloud_config"][place] = query.pop(name)
    if "sslrootcert" in query:
        document["ssl_config"] = {"ca": query.pop("sslrootcert")}
    if endpoint := query.pop("endpoint", ""):
        document = _elsewhere(document, endpoint)
    if query:
        raise UsageError(
            f"the URL parameter {next(iter(query))} is not understood",
            remedy="Known are region, profile, project, endpoint, sslrootcert.",
            code="bad_url",
        )
    return document


def _bucket(engine: str, provider: str) -> Callable[[SplitResult], Document]:
    def read(parts: SplitResult) -> Document:
        if not parts.netloc:
            raise bad_url("the bucket is missing", f"Write {parts.scheme}://BUCKET/PREFIX.")
        document = {"engine": engine, "database": unquote(parts.netloc), "cloud_config": {"provider": provider}, "location": "cloud"}
        return document | _prefix(parts.path)

    return read


def _container(parts: SplitResult) -> Document:
    container, _, prefix = parts.path.lstrip("/").partition("/")
    if not parts.netloc or not container:
        raise bad_url("write az://ACCOUNT/CONTAINER/PREFIX")
    cloud = {"provider": "azure", "storage_account": parts.netloc}
    return {"engine": "azure_blob", "database": unquote(container), "cloud_config": cloud, "location": "cloud"} | _prefix(prefix)


def _folder(parts: SplitResult) -> Document:
    path = unquote(parts.path).rstrip("/")
    if parts.netloc not in ("", "localhost") or not path:
        raise bad_url("a folder is named from the root", "Write file:///PATH/OF/FOLDER.")
    if Path(path).is_file():
        raise bad_url(f"{path} is a file", f"Give its folder: file://{quote(str(Path(path).parent))}.")
    return {"engine": "folder", "database": Path(path).name, "path": path}


def _prefix(path: str) -> Document:
    return {"path": prefix} if (prefix := unquote(path.lstrip("/"))) else {}


_STORES: Mapping[str, Callable[[SplitResult], Document]] = {
    "s3": _bucket("s3", "aws"),
    "gs": _bucket("gcs", "gcp"),
    "az": _container,
    "file": _folder,
}


def _elsewhere(document: Document, endpoint: str) -> Document:
    """An own server that speaks the cloud's protocol; who signs in there is told in a file."""
    at = urlsplit(endpoint)
    if at.scheme not in ("http", "https") or not at.hostname:
        raise bad_url("endpoint is not http://HOST:PORT or https://HOST:PORT")
    rest = {name: value for name, value in document.items() if name != "cloud_config"}
    tls = rest.get("ssl_config", {}) | ({"mode": "disable"} if at.scheme == "http" else {"mode": "verify-full"})
    return rest | {"location": "on_prem", "host": at.hostname, "port": at.port or (80 if at.scheme == "http" else 443), "ssl_config": tls}


def bad_url(why: str, remedy: str = "Write postgresql://USER@HOST:PORT/DATABASE.") -> UsageError:
    """What cannot be a source's address, without repeating it."""
    return UsageError("the URL of the source cannot be used", why=why, remedy=remedy, code="bad_url")


STORES = frozenset(_STORES)
