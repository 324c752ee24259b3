"""The drivers for object stores and folders: list, group, look into a few files, and hand out snapshots and samples."""

from __future__ import annotations

import importlib.util
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from hashlib import sha256
from typing import NamedTuple
from weakref import WeakValueDictionary

from shared.cloud.failures import missing_extra
from shared.contracts.connection import Posture, Privileges, ServerFacts
from shared.contracts.source import DataSource, Scope
from shared.errors import PurSightError
from shared.sources import store_files, store_statistics
from shared.sources.advice import warnings
from shared.sources.base import Dial, Estimate, Load, Probe, Sample, SampleTask, TableFacts, TableMark
from shared.sources.documents import Field, bounded
from shared.sources.store_assets import Asset, Assets
from shared.sources.store_failures import refusal, words
from shared.sources.store_folder import FolderStore
from shared.sources.store_line import HttpStore, Store, opened
from shared.sources.tls import verified

PAGE_BYTES = 8192
_CHUNK = 50
_MOST_OBJECTS = 2_000_000
_OF_A_FILE = frozenset({"gone", "no_privilege", "unreadable_file", "archived"})
_OF_A_SAMPLE = _OF_A_FILE | {"throttled"}  # it is read again, slowly
_PARTITION = "partition"


class StoreDriver:
    """Entry point of each kind of store in `pursight.sources`."""

    def __init__(self, engine: str) -> None:
        self.engine = engine

    def whole(self, database: str, allowed: Scope) -> Scope:
        """Every folder below the prefix, unless the source's scope says less."""
        return allowed

    @asynccontextmanager
    async def open(self, dial: Dial) -> AsyncIterator[StoreSession]:
        """Raises Failed with a code of `failures`, or `missing_extra`."""
        if importlib.util.find_spec("pyarrow") is None:
            raise missing_extra("Files", "stores")
        assert dial.spec is not None, "a store is told by its source"
        if self.engine == "folder":
            folder = FolderStore(dial.spec.path)
            try:
                yield StoreSession(folder, dial, dial.spec)
            finally:
                folder.close()
            return
        store = opened(dial, dial.spec)
        async with store.client:
            await store.begin()
            yield StoreSession(store, dial, dial.spec)


def s3() -> StoreDriver:
    """Entry point `s3`."""
    return StoreDriver("s3")


def gcs() -> StoreDriver:
    """Entry point `gcs`."""
    return StoreDriver("gcs")


def azure_blob() -> StoreDriver:
    """Entry point `azure_blob`."""
    return StoreDriver("azure_blob")


def folder() -> StoreDriver:
    """Entry point `folder`."""
    return StoreDriver("folder")


class Listing(dict[tuple[str, str], Asset]):
    """Every asset by schema and table, out of these."""

    def __init__(self, assets: Assets) -> None:
        super().__init__({(asset.schema, asset.table): asset for asset in assets.all()})
        self.assets = assets


# Sessions that read samples beside the one that listed, of the same scan, need not list again: they have the same source in their hands.
_LISTED: WeakValueDictionary[int, Listing] = WeakValueDictionary()


class StoreSession:
    """Reads of one prefix."""

    def __init__(self, store: Store, dial: Dial, spec: DataSource) -> None:
        self._store, self._dial, self._spec = store, dial, spec
        self._assets: Listing | None = None

    @property
    def statements(self) -> int:
        return self._store.statements

    async def probe(self) -> Probe:
        """By the first page of objects: a bucket is not counted for a look at its health."""
        assets = Assets()
        for entry in await anext(self._store.list(), []):
            assets.add(entry)
        self._mark_shut(assets)
        found = assets.all()
        readable = sum(asset.files > 0 for asset in found)
        facts, role = self._facts(), self._dial.username or self._spec.cloud_provider
        may_write = isinstance(self._store, FolderStore) and self._store.writable
        privileges = Privileges(role=role, can_write=may_write, schemas_visible=1, tables_visible=len(found), tables_readable=readable)
        local = isinstance(self._store, FolderStore)
        posture = Posture(
            tls_in_transit=None if local else bool(facts.tls_version),
            tls_verified=None if local else verified(self._dial.tls_mode) and bool(facts.tls_version),
            read_only_role=not may_write if local else None,
            superuser_used=False if local else None,
            row_security_available=False,
            public_access=True if isinstance(self._store, HttpStore) and self._store.anonymous else None,
            region=str(getattr(self._spec.cloud_config, "region", "")),
        )
        notes = warnings(self._dial, facts, privileges)
        return Probe(facts, privileges, posture, tuple(note for note in notes if not (local and note.code in ("no_tls", "can_write"))))

    def _facts(self) -> ServerFacts:
        if not isinstance(self._store, HttpStore):
            return ServerFacts(version="1", version_number=1)
        version, number = self._store.dialect.version
        return ServerFacts(
            version=version,
            version_number=number,
            tls_version=self._store.tls.version,
            tls_issuer=self._store.tls.issuer,
            tls_expires=self._store.tls.expires,
            round_trip_seconds=self._store.round_trip_seconds,
            clock_skew_seconds=self._store.skew_seconds,
        )

    async def load(self) -> Load:
        """As far as our own requests show it: no store tells what it has to do. A folder shows nothing."""
        return self._store.load() if isinstance(self._store, HttpStore) else Load()

    @asynccontextmanager
    async def snapshot(self) -> AsyncIterator[StoreSnapshot]:
        """Objects are listed once in a session, at the beginning of its first snapshot."""
        assets = self._assets = _LISTED[id(self._spec)] = self._assets or await self._listed()
        yield StoreSnapshot(self._store, assets)

    async def sample(self, tasks: Sequence[SampleTask]) -> list[Sample]:
        assets = self._assets = self._assets or _LISTED.get(id(self._spec)) or await self._listed()
        return [await _sampled(self._store, assets.get((task.schema, task.table)), task) for task in tasks]

    async def estimates(self, tables: Sequence[TableFacts]) -> list[Mapping[str, Estimate]]:
        assets = self._assets = self._assets or _LISTED.get(id(self._spec)) or await self._listed()
        found = [assets.get((facts.mark.schema, facts.mark.table)) for facts in tables]
        return [await store_statistics.estimates(self._store, each) if each else {} for each in found]

    async def _listed(self) -> Listing:
        assets, count = Assets(), 0
        async for page in self._store.list():
            for entry in page:
                assets.add(entry)
            count += len(page)
            if count > _MOST_OBJECTS or assets.too_many:
                raise refusal("too_many_objects")  # a list that was cut would look as if the rest were gone
        self._mark_shut(assets)
        return Listing(assets)

    def _mark_shut(self, assets: Assets) -> None:
        """Only a folder of this machine can be listed while one below cannot."""
        for folder in self._store.shut if isinstance(self._store, FolderStore) else ():
            assets.add_shut(folder)


class Seen(NamedTuple):
    """The columns of the files of an asset that are looked at, together, and what kept all of them from being read, if so; a comment where
    there are more."""

    fields: Sequence[Field] = ()
    unread: str = ""
    comment: str = ""


_UNSEEN = Seen()


class StoreSnapshot:
    """The assets of one listing."""

    def __init__(self, store: Store, assets: Listing) -> None:
        self._store, self._assets = store, assets
        self._seen: dict[tuple[str, str], Seen] = {}

    @property
    def shut(self) -> int:
        return len(self._assets.assets.shut)

    def hidden(self, schema: str, table: str) -> bool:
        return self._assets.assets.hidden(schema, table)

    async def marks(self, scope: Scope, *, compare: bool) -> list[TableMark]:
        """Comparing looks into a few files of each asset, once in the life of a snapshot."""
        found = []
        for number, asset in enumerate(each for each in self._assets.values() if _within(scope, each)):
            partitions = asset.files if asset.files > 1 else 0
            pages = -(-asset.bytes // PAGE_BYTES)
            seen = await self._looked(asset) if compare or not asset.files else _UNSEEN
            mark = _digest(asset, seen.fields) if compare else 0
            of = (
                asset.schema,
                asset.table,
                "prefix",
                None,
                pages,
                asset.bytes,
                partitions,
                asset.files > 0,
                mark,
                seen.unread,
                asset.written,
            )
            found.append(TableMark(number, *of))
        return found

    async def describe(self, tables: Sequence[TableMark]) -> AsyncIterator[list[TableFacts]]:
        """The facts of these assets in chunks."""
        for at in range(0, len(tables), _CHUNK):
            chunk = []
            for mark in tables[at : at + _CHUNK]:
                if asset := self._assets.get((mark.schema, mark.table)):
                    chunk.append(_facts(mark, await self._looked(asset)))
            yield chunk

    async def _looked(self, asset: Asset) -> Seen:
        key = (asset.schema, asset.table)
        if key not in self._seen:
            self._seen[key] = await _together(self._store, asset)
        return self._seen[key]


def _within(scope: Scope, asset: Asset) -> bool:
    return (
        (not scope.schemas or asset.schema in scope.schemas)
        and asset.schema not in scope.exclude_schemas
        and (not scope.tables or f"{asset.schema}.{asset.table}" in scope.tables)
    )


async def _together(store: Store, asset: Asset) -> Seen:
    columns: dict[str, Field] = {}
    looked, unread = 0, "" if asset.files else "no_privilege"
    for entry in asset.sample:
        try:
            found = await store_files.fields(store, entry, asset.format)
        except PurSightError as error:
            if error.code not in _OF_A_FILE:
                raise
            unread = error.code
            continue
        looked += 1
        for field in found:
            before = columns.get(field.path)
            columns[field.path] = _merged(before, field) if before else replace(field, always=field.always and looked == 1)
        seen = {field.path for field in found}
        columns |= {path: replace(field, always=False) for path, field in columns.items() if path not in seen}
    columns |= {name: Field(name, _PARTITION, True, False) for name in asset.partitions if name not in columns}
    told, comment = bounded(list(columns.values()))
    return Seen(told, "" if looked else unread, comment)


def _merged(one: Field, other: Field) -> Field:
    types = sorted(({*one.type.split(" | ")} | {*other.type.split(" | ")}) - {"null"}) or ["null"]
    return Field(one.path, " | ".join(types), one.always and other.always, one.textual and other.textual)


def _facts(mark: TableMark, seen: Seen) -> TableFacts:
    fields = seen.fields
    return TableFacts(
        mark=mark,
        owner="",
        comment=seen.comment,
        row_security=False,
        positions=range(1, len(fields) + 1),
        names=[each.path for each in fields],
        types=[each.type for each in fields],
        nullable=[not each.always for each in fields],
        generated=[False] * len(fields),
        sampled=[True] * len(fields),
        textual=[each.textual for each in fields],
        defaults={},
        comments={},
        primary_key=frozenset(),
        unique=frozenset(),
        indexed=frozenset(),
        keys=(),
    )


def _digest(asset: Asset, fields: Sequence[Field]) -> int:
    """64 bits of the structure. Whether a value may be missing is no part of it: one more row may tell."""
    about = (asset.schema, asset.table, asset.format, [(each.path, each.type) for each in fields])
    return int.from_bytes(sha256(repr(about).encode("utf-8", "replace")).digest()[:8], "big") >> 1


async def _sampled(store: Store, asset: Asset | None, task: SampleTask) -> Sample:
    """Rows from each of the files that are looked at, and what kept others from being read."""
    if asset is None:
        return Sample(task.token, 0, (), words("gone").diagnosis())
    files, read, unread = asset.sample, 0, "no_privilege" if asset.shut else ""
    columns: list[list[str]] = [[] for _ in task.columns]
    no_text: frozenset[int] = frozenset()
    for at, entry in enumerate(files):
        share = -(-(task.rows - read) // (len(files) - at))
        try:
            count, found, binary = await store_files.rows(store, entry, asset.format, task.columns, share, task.seed)
        except PurSightError as error:
            if error.code not in _OF_A_SAMPLE:
                raise
            unread = error.code
            continue
        count, found = min(count, share), [values[:share] for values in found] if count > share else found
        read += count
        no_text |= binary
        for name, column, values in zip(task.columns, columns, found, strict=True):
            column += values if name not in asset.partitions or values else [_value(entry.key, name)] * count
    left = frozenset(at for at in no_text if not columns[at])
    return Sample(task.token, read, columns, words(unread).diagnosis() if unread else None, left)


def _value(key: str, partition: str) -> str:
    """What a file's place says of a partition column."""
    return next((part.partition("=")[2] for part in key.split("/") if part.partition("=")[0] == partition), "")
