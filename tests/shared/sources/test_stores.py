"""Files of a folder and of three clouds: what is one asset, what is in it, and what is never opened, told or sent."""

from __future__ import annotations

import asyncio
import base64
import errno
import gzip
import io
import logging
import os
import ssl
from collections.abc import Callable, Coroutine
from contextlib import AsyncExitStack
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pyarrow
import pytest
from pyarrow import parquet

from shared.contracts.source import DataSource, Scope
from shared.egress import EgressPolicy, GuardedLoop, Surroundings, _policy, guarded
from shared.errors import Failed, PurSightError
from shared.local.ports import free_ports
from shared.sources import store_files, store_line
from shared.sources.base import Dial, Load, Sample, SampleTask, TableFacts
from shared.sources.dialling import policy_for
from shared.sources.documents import Outline, bounded
from shared.sources.mongo import MongoDriver
from shared.sources.store import StoreDriver, azure_blob, folder, gcs, s3
from shared.sources.store_assets import Assets, parts
from shared.sources.store_failures import code_of, words
from shared.sources.store_folder import FolderStore
from shared.sources.store_line import S3, Azure, Dialect, Entry
from shared.sources.store_line import Gcs as GcsDialect
from tests.azurite import CONTAINER, KEY, Azurite, token
from tests.mongo_server import MongoServer
from tests.shared.sources.gcs import CANARY, Gcs, serving
from tests.tagger.moto_server import post

GCS_PROGRAM = Path(__file__).parents[3] / ".venv" / "extended" / "fake-gcs-server"


def _spec(path: Path) -> DataSource:
    return DataSource(name="drop", engine="folder", database="drop", path=str(path))


async def _tables(path: Path) -> dict[str, TableFacts]:
    async with folder().open(Dial("", 0, "drop", "", spec=_spec(path))) as session, session.snapshot() as snapshot:
        marks = await snapshot.marks(Scope(), compare=True)
        return {facts.mark.table: facts async for chunk in snapshot.describe(marks) for facts in chunk}


async def _sampled(path: Path, table: str, *columns: str, rows: int = 50, seed: int = 7, schema: str = "/") -> Sample:
    async with folder().open(Dial("", 0, "drop", "", spec=_spec(path))) as session:
        return (await session.sample([SampleTask(0, schema, table, columns, rows, 1, seed, False)]))[0]


@pytest.mark.parametrize(
    ("keys", "assets"),
    [
        (["a/part-00000-1f0c7a52-1b0f-4ab6-9c0d-6e5f1c9d2b3a-c000.snappy.parquet", "a/part-00001-x.parquet"], None),
        (["a/part-00000.parquet", "a/part-00001.parquet", "a/_SUCCESS", "a/.part.crc"], [("/", "a")]),
        (["a/b/year=2024/month=01/x.csv", "a/b/year=2024/month=02/x.csv"], [("a", "b")]),
        (["a/2024/01/02/x.json.gz", "a/2024/01/03/x.json.gz"], [("/", "a")]),
        (["a/sales-2024-01-01.csv", "a/sales-2024-01-02.csv", "a/stock-2024-01-01.csv"], [("a", "sales-*.csv"), ("a", "stock-*.csv")]),
        (["customers.csv", "customers2.csv", "orders.csv"], [("/", "customers.csv"), ("/", "customers2.csv"), ("/", "orders.csv")]),
        (["users/ann@example.org/mails.jsonl", "users/bob@example.org/mails.jsonl"], [("/", "users")]),
        (["a/x.png", "a/readme.txt", "a/_delta_log/0000.json"], []),
    ],
)
def test_equal_files_are_one_asset(keys: list[str], assets: list[tuple[str, str]] | None) -> None:
    """Partition folders, dates, numbers and ids are what differs; a name that is somebody's is not told."""
    found = Assets()
    for key in keys:
        found.add(Entry(key, 1))
    if assets is not None:
        assert [(asset.schema, asset.table) for asset in found.all()] == assets


def test_partitions_are_columns() -> None:
    """A folder `k=v` is a column; a key that looks private has no name."""
    found = parts("a/region=eu/ann@example.org=1/x.csv")
    assert found is not None
    assert found.partitions == (("region", "eu"), ("*", "1"))


async def test_a_csv_without_a_header_tells_no_value(tmp_path: Path) -> None:
    """Names are told only where they are names beyond doubt; separators, marks and encodings are found out."""
    files = {
        "bare.csv": f"{CANARY},berlin\nann,kiel\n".encode(),
        "mails.csv": b"ann@example.org;7\nbob@example.org;8\n",
        "na.csv": b"ann,n/a\nbob,42\ncarl,43\n",
        "marked.csv": "\ufeffid;größe\n1;2,5\n2;3,5\n".encode(),
        "wide.csv": "first name\tcity\nAnn\tKiel\n".encode("utf-16"),
        "latin.csv": "id|straße\n1|Süd\n".encode("latin-1"),
        "typed.csv": b"id,joined,active,zip\n1,2024-01-01,true,01234\n2,2024-02-01,false,01235\n",
    }
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
    found = await _tables(tmp_path)
    names = {name: list(facts.names) for name, facts in found.items()}
    assert (names["bare.csv"], names["mails.csv"], names["na.csv"]) == (["c1", "c2"], ["c1", "c2"], ["c1", "c2"])
    assert (names["marked.csv"], names["wide.csv"], names["latin.csv"]) == (["id", "größe"], ["first name", "city"], ["id", "straße"])
    assert list(found["typed.csv"].types) == ["integer", "date", "boolean", "text"]
    assert CANARY not in repr(found)


async def test_a_large_file_is_read_in_places(tmp_path: Path) -> None:
    """Rows come from all over a file, the same ones each time; only a small share of its bytes is read."""
    (tmp_path / "big.csv").write_text("id,note\n" + "".join(f'{n},"{"x" * 300}, y"\n' for n in range(20_000)))
    first, again = await _sampled(tmp_path, "big.csv", "id"), await _sampled(tmp_path, "big.csv", "id")
    other = await _sampled(tmp_path, "big.csv", "id", seed=8)
    numbers = [int(value) for value in first.columns[0]]
    assert numbers == [int(value) for value in again.columns[0]] != [int(value) for value in other.columns[0]]
    assert len(set(numbers)) == len(numbers) == 50
    assert min(numbers) < 5_000 < 15_000 < max(numbers)


async def test_what_is_damaged_says_so(tmp_path: Path) -> None:
    """A broken file is a reason in the manifest, not a stopped scan; its neighbours are read."""
    deep: Any = {"a": CANARY}
    for _ in range(60):
        deep = {"b": deep}
    files = {
        "broken.parquet": b"PAR1 nonsense",
        "broken.csv.gz": b"\x1f\x8b nonsense",
        "broken.json": b"{ nonsense",
        "zeros.csv": b"id,name\n\0\0\0,x\n",
        "empty.csv": b"",
        "bomb.jsonl.gz": gzip.compress(b'{"id": 1}\n' + b" " * 50_000_000),
        "deep.json": str(deep).replace("'", '"').encode(),
        "wide.csv": ",".join(f"key{at}" for at in range(1_600)).encode() + b"\n" + b"x," * 1_599 + b"x\n",
        "good.json": b'[{"id": 1,\n "tags": ["a"]}, {"id": 2}]',
    }
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
    found = await _tables(tmp_path)
    assert {name: list(facts.names) for name, facts in found.items() if "good" in name or "bomb" in name} == {
        "good.json": ["id", "tags[]"],
        "bomb.jsonl.gz": ["id"],
    }
    assert list(found["deep.json"].names) == ["b" + ".b" * 7]
    assert CANARY not in repr(found)
    assert (len(found["wide.csv"].names), found["wide.csv"].comment) == (1_000, "600 further fields are not told")
    for name in ("broken.parquet", "broken.csv.gz", "broken.json", "zeros.csv"):
        failure = (await _sampled(tmp_path, name)).failure
        assert failure is not None, name
        assert failure.code == "unreadable_file"
    assert (await _sampled(tmp_path, "empty.csv")).rows == 0


async def test_a_list_is_never_cut(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is beyond the limit would look as if it were gone, so nothing is told at all."""
    for n in range(5):
        (tmp_path / f"t{n}x.csv").write_text("id,name\n1,x\n")
    monkeypatch.setattr("shared.sources.store._MOST_OBJECTS", 3)
    with pytest.raises(Failed) as refused:
        await _tables(tmp_path)
    assert refused.value.code == "too_many_objects"


async def test_nested_parquet_is_paths(tmp_path: Path) -> None:
    """Structures, lists and maps; a footer and some pages are read, however large the file."""
    rows = [
        {"id": n, "to": {"city": "Kiel"}, "items": [{"sku": "a"}], "rates": [("eur", 1.5)], "raw": b"\xff\x00", "at": n + 1, "note": b"ann"}
        for n in range(10)
    ]
    kinds = [
        ("id", pyarrow.int64()),
        ("to", pyarrow.struct([("city", pyarrow.string())])),
        ("items", pyarrow.list_(pyarrow.struct([("sku", pyarrow.string())]))),
        ("rates", pyarrow.map_(pyarrow.string(), pyarrow.float64())),
        ("raw", pyarrow.binary()),
        ("at", pyarrow.timestamp("ns")),
        ("note", pyarrow.binary()),
    ]
    parquet.write_table(pyarrow.Table.from_pylist(rows, schema=pyarrow.schema(kinds)), tmp_path / "orders.parquet")
    facts = (await _tables(tmp_path))["orders.parquet"]
    assert list(facts.names) == ["id", "to.city", "items[].sku", "rates.*", "raw", "at", "note"]
    sample = await _sampled(tmp_path, "orders.parquet", *facts.names)
    assert ([len(column) for column in sample.columns], sample.binary) == ([10, 10, 10, 10, 0, 10, 10], {4})
    assert (sample.columns[1][0], sample.columns[6][0]) == ("Kiel", "ann")


async def test_nothing_outside_of_a_folder_is_read(tmp_path: Path) -> None:
    """Links, at any level, `..` and pipes lead nowhere."""
    inside, outside = tmp_path / "in", tmp_path / "out"
    inside.mkdir()
    outside.mkdir()
    (outside / "secret.csv").write_text(f"id,name\n1,{CANARY}\n")
    (inside / "kept.csv").write_text("id,name\n1,ann\n")
    (inside / "link.csv").symlink_to(outside / "secret.csv")
    (inside / "way").symlink_to(outside)
    os.mkfifo(inside / "pipe.csv")
    assert set(await _tables(inside)) == {"kept.csv"}
    store = FolderStore(str(inside))
    for key in ("link.csv", "way/secret.csv", "../out/secret.csv", "pipe.csv", "/etc/passwd", "kept.csv/.."):
        with pytest.raises(Failed) as refused:
            await store.read(key, 0, 10)
        assert refused.value.code == "gone"
    store.close()
    for path, code in (
        (tmp_path / "nowhere", "no_such_folder"),
        (inside / "way", "no_such_folder"),
        (inside / "kept.csv", "no_such_folder"),
    ):
        with pytest.raises(Failed) as refused:
            FolderStore(str(path))
        assert refused.value.code == code


async def test_footers_are_counts(tmp_path: Path) -> None:
    """Nulls and sizes over all files and their parts, of what is not in a list; none of a damaged file, of JSON or of CSV."""
    rows = [{"mail": f"{CANARY}{number}" if number % 4 else None, "to": {"city": "x"}, "tags": ["a", "b"]} for number in range(100)]
    for part in ("part-1", "part-2"):
        (tmp_path / "orders").mkdir(exist_ok=True)
        parquet.write_table(pyarrow.Table.from_pylist(rows), tmp_path / "orders" / f"{part}.parquet", row_group_size=30)
    (tmp_path / "broken.parquet").write_bytes(b"PAR1 no PAR1")
    (tmp_path / "people.csv").write_text("id,name\n1,ann\n")
    tables = await _tables(tmp_path)
    async with folder().open(Dial("", 0, "drop", "", spec=_spec(tmp_path))) as session:
        found = dict(zip(tables, await session.estimates(list(tables.values())), strict=True))
    orders = found.pop("orders")
    assert {name: (each.null_share, each.distinct) for name, each in orders.items()} == {"mail": (0.25, None), "to.city": (0.0, None)}
    assert all((each.mean_bytes or 0) > 0 for each in orders.values())
    assert found == {"broken.parquet": {}, "people.csv": {}}
    assert CANARY not in repr(orders)


def refuse(monkeypatch: pytest.MonkeyPatch, *names: str) -> None:
    """Whoever opens what is called so is refused. Root may read everything, so the system's answer is played."""
    opened = os.open

    def asked(path: Any, *given: Any, **more: Any) -> int:
        if path in names:
            raise PermissionError(errno.EACCES, "")
        return opened(path, *given, **more)

    monkeypatch.setattr(os, "open", asked)


async def test_a_folder_that_may_not_be_read_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its files are not seen, so a look says that not all is."""
    for name in ("open", "shut"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "people.csv").write_text("id,name\n1,ann\n")
    refuse(monkeypatch, "shut")
    async with folder().open(Dial("", 0, "drop", "", spec=_spec(tmp_path))) as session:
        found = await session.probe()
    assert (found.privileges.tables_visible, found.privileges.tables_readable) == (2, 1)
    assert [(note.code, note.cause) for note in found.warnings] == [("tables_unreadable", "1 of 2 tables cannot be read")]
    tables = await _tables(tmp_path)
    assert {name: (facts.mark.readable, list(facts.names)) for name, facts in tables.items()} == {
        "people.csv": (True, ["id", "name"]),
        "shut": (False, []),
    }


@pytest.mark.parametrize(
    ("keys", "shut", "partly", "hidden"),
    [
        (["hr/a.csv", "shop/b.csv"], "hr", {"a.csv"}, [("hr", "old.csv"), ("hr/2", "x"), ("/", "hr")]),
        (["shop/b.csv"], "hr/pay", {"pay"}, [("hr/pay", "x.csv"), ("hr", "pay"), ("hr/pay/2", "x")]),
        (["sales/year=2024/a.csv"], "sales/year=2025", {"sales"}, [("/", "sales"), ("sales", "gone.csv")]),
        (["log/2024/01/a.json", "x.csv"], "log/2025", {"log"}, [("/", "log"), ("log/*", "b")]),
        (["x.csv"], "_temporary", set(), []),
    ],
)
def test_what_may_be_in_a_shut_folder_is_not_gone(keys: list[str], shut: str, partly: set[str], hidden: list[tuple[str, str]]) -> None:
    """Folders count as they do for the names of assets; what is beside one is not in it."""
    found = Assets()
    for key in keys:
        found.add(Entry(key, 1))
    found.add_shut(shut)
    assert {asset.table for asset in found.all() if asset.shut} == partly
    assert all(found.hidden(*name) for name in hidden)
    assert not any(found.hidden(*name) for name in [("/", "x.csv"), ("shop", "b.csv"), ("h", "r"), ("hrx", "y.csv")])


async def test_files_that_cannot_be_read_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of some, beside what the others hold; of all, instead of a structure that would be none."""
    for folder_, names in {"some": ("part-1.csv", "part-2.csv"), "none": ("part-1.parquet",)}.items():
        (tmp_path / folder_).mkdir()
        for name in names:
            (tmp_path / folder_ / name).write_text("id,name\n1,ann\n")
    refuse(monkeypatch, "part-2.csv")
    tables = await _tables(tmp_path)
    assert {name: (facts.mark.unread, list(facts.names)) for name, facts in tables.items()} == {
        "some": ("", ["id", "name"]),
        "none": ("unreadable_file", []),
    }
    sample = await _sampled(tmp_path, "some", "name")
    assert (sample.rows, sample.columns, sample.failure and sample.failure.code) == (1, [["ann"]], "no_privilege")


async def test_what_is_neither_gone_nor_forbidden_ends_a_listing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk that fails is no reason to think that files are gone."""
    (tmp_path / "in").mkdir()

    def failing(self: FolderStore, folder: int, name: str, key: str) -> None:
        self._missed(key, OSError(errno.EIO, ""))

    monkeypatch.setattr(FolderStore, "_opened", failing)
    with pytest.raises(Failed) as failed:
        await _tables(tmp_path)
    assert failed.value.code == "unreachable"


def test_a_stack_that_serves_others_reads_no_folder(tmp_path: Path) -> None:
    """Whoever may register sources must not thereby read the disk of the machine that serves them."""
    with pytest.raises(Failed) as refused:
        policy_for(_spec(tmp_path), Surroundings(local=False))
    assert refused.value.code == "folder_refused"
    assert policy_for(_spec(tmp_path), Surroundings(local=True)).local
    assert policy_for(_spec(tmp_path / "in"), Surroundings(folders=(str(tmp_path),)))
    for around in (Surroundings(local=True, folders=("/srv/drop",)), Surroundings(folders=(f"{tmp_path}/in",))):
        with pytest.raises(Failed):
            policy_for(_spec(tmp_path), around)


def test_an_endpoint_is_guarded(moto: str, guarded_run: Callable[[Coroutine[Any, Any, Any]], Any]) -> None:
    """A store on a loopback or metadata address is dialled by nobody who serves others, however it is spelt."""

    async def dial(host: str) -> str:
        port = int(moto.rpartition(":")[2])
        spec = DataSource(name="lake", engine="s3", host=host, port=port, database="lake")
        try:
            with guarded(EgressPolicy(location="on_prem", local=False)):
                async with s3().open(Dial(host, port, "lake", "", tls_mode="disable", spec=spec)):
                    return ""
        except PurSightError as error:
            return error.code

    for host in ("127.0.0.1", "localhost", "169.254.169.254", "[::ffff:127.0.0.1]"):
        assert guarded_run(dial(host)) == "egress_denied", host


def test_what_is_dialled_later_is_guarded_too(moto: str, mongo: MongoServer) -> None:
    """A caller leaves the guard once a session is open; a connection that the session opens afterwards obeys it all the same."""
    seen: list[object] = []

    class Watching(GuardedLoop):
        async def sock_connect(self, sock: Any, address: Any) -> None:
            seen.append(_policy.get())
            await super().sock_connect(sock, address)

    host, _, port = moto.removeprefix("http://").partition(":")
    spec = DataSource(name="lake", engine="s3", host=host, port=int(port), database="guarded", pool_size=4)
    httpx.put(f"{moto}/guarded").raise_for_status()
    name = mongo.user("guarded", database="guarded")
    mongo.admin.guarded.people.insert_one({"_id": 1})

    async def work() -> None:
        for driver, dial in (
            (s3(), Dial(host, int(port), "guarded", "", tls_mode="disable", spec=spec)),
            (MongoDriver(), mongo.dial(name, "guarded")),
        ):
            async with AsyncExitStack() as stack:
                mongo.test("lag", member=1, seconds=3)  # so that member 2 is read from
                with guarded(EgressPolicy(local=True)):
                    session = await stack.enter_async_context(driver.open(dial))
                first = len(seen)
                mongo.test("down", member=2)  # the one session of MongoDB moves to another member
                try:
                    await asyncio.gather(*(session.probe() for _ in range(1 if driver.engine == "mongodb" else 6)))
                finally:
                    mongo.test("up", member=2)
                    mongo.test("lag", member=1, seconds=0)
                assert len(seen) > first
        assert None not in seen

    with asyncio.Runner(loop_factory=Watching) as runner:
        runner.run(work())


async def _code(spec: DataSource, driver: StoreDriver, **more: Any) -> str:
    with pytest.raises(PurSightError) as refused:
        async with driver.open(Dial("", 0, spec.database, **{"username": "", "tls_mode": "disable", "spec": spec} | more)):
            pass
    assert CANARY not in f"{refused.value!r} {refused.value} {refused.value.__cause__!r}"
    return refused.value.code


async def test_a_refused_identity_is_told(moto: str) -> None:
    """An unknown key and one that may do nothing are two things. moto judges identities only where it is told to."""
    host, _, port = moto.removeprefix("http://").partition(":")
    spec = DataSource(name="lake", engine="s3", host=host, port=int(port), database="lake")
    post(moto, "/moto-api/reset-auth", "0")
    try:
        assert await _code(spec, s3(), username="AKIAIOSFODNN7EXAMPLE", password=CANARY) == "credentials_invalid"
    finally:
        post(moto, "/moto-api/reset-auth", "inf")
    assert await _code(spec, s3(), username="testing", password=CANARY) == "no_such_bucket"


@pytest.mark.parametrize(
    ("status", "body", "word", "code"),
    [
        (301, "<Error><Code>PermanentRedirect</Code></Error>", "", "wrong_region"),
        (400, "<Error><Code>AuthorizationHeaderMalformed</Code></Error>", "", "wrong_region"),
        (403, "<Error><Code>AccessDenied</Code></Error>", "", "no_privilege"),
        (403, "<Error><Code>RequestTimeTooSkewed</Code></Error>", "", "clock_skew"),
        (403, "<Error><Code>InvalidObjectState</Code></Error>", "", "archived"),
        (400, "<Error><Code>ExpiredToken</Code></Error>", "", "credentials_expired"),
        (404, "<Error><Code>NoSuchBucket</Code></Error>", "", "no_such_bucket"),
        (503, "<Error><Code>SlowDown</Code></Error>", "", "throttled"),
        (403, "", "AuthorizationPermissionMismatch", "no_privilege"),
        (404, "", "ContainerNotFound", "no_such_bucket"),
        (409, "", "BlobArchived", "archived"),
        (401, '{"error": {"errors": [{"reason": "authError"}]}}', "", "credentials_invalid"),
        (403, '{"error": {"errors": [{"reason": "rateLimitExceeded"}]}}', "", "throttled"),
        (502, "<html>", "", "unreachable"),
        (418, "<html>", "", "not_a_store"),
    ],
)
def test_what_three_clouds_answer(status: int, body: str, word: str, code: str) -> None:
    """As their references say it; each code is in the catalogue, with words that fit a store."""
    assert code_of(status, body.encode(), word) == code
    assert words(code).remedy


@pytest.mark.parametrize(
    ("dialect", "body"),
    [
        (S3("", "r"), "<ListBucketResult><IsTruncated>true</IsTruncated></ListBucketResult>"),
        (S3("", "r"), "<ListBucketResult><Contents><Key>a</Key></Contents></ListBucketResult>"),
        (S3("", "r"), "<ListBucketResult><Contents><Key>a</Key><Size>1</Size></Contents>"),
        (S3("", "r"), "<html></html>"),
        (
            Azure("a", "c", "", True),
            "<EnumerationResults><Blob><Name>a</Name><Content-Length>x</Content-Length></Blob></EnumerationResults>",
        ),
        (GcsDialect("b", "", True), '{"items": [{"name": "a"}]}'),
        (GcsDialect("b", "", True), '{"items": [{"name": ["a"], "size": "1"}]}'),
        (GcsDialect("b", "", True), "[]"),
    ],
)
def test_a_listing_that_is_none_is_refused(dialect: Dialect, body: str) -> None:
    """Cut, without the place where it goes on, or without names and sizes: what it does not tell would look as if it were gone."""
    with pytest.raises(Failed) as refused:
        dialect.entries(body.encode())
    assert refused.value.code == "not_a_store"


def test_very_many_keys_are_data() -> None:
    """A map by date, id or person is one column; a key that is private is never told, at any width."""
    outline = Outline()
    for n in range(100):
        outline.add({"by": {f"user {n}": n}, "days": {f"2024-01-{n:02}": 1}, f"{CANARY}{n}@example.org": 1, "x": {"a": 1, "b": None}})
    fields = outline.fields()
    assert [field.path for field in fields] == ["by.*", "days.*", "*", "x.a", "x.b"]
    wide = Outline()
    wide.add({f"f{n}x": n for n in range(1500)})
    told, comment = bounded(wide.fields())
    assert (len(told), comment) == (1000, "500 further fields are not told")


def test_a_footer_is_enough(tmp_path: Path) -> None:
    """Bytes that are read of a large file of Parquet: its footer and a few pages."""
    file = io.BytesIO()
    table = pyarrow.table({"id": range(200_000), "pad": [os.urandom(16).hex() for _ in range(200_000)]})
    parquet.write_table(table, file, row_group_size=20_000, use_dictionary=False)
    content = file.getvalue()
    (tmp_path / "big.parquet").write_bytes(content)
    read = []

    class Counting(FolderStore):
        async def read(self, key: str, start: int, length: int) -> bytes:
            read.append(length)
            return await super().read(key, start, length)

    store = Counting(str(tmp_path))
    entry = Entry("big.parquet", len(content))
    found = asyncio.run(store_files.fields(store, entry, "parquet"))
    assert ([field.path for field in found], sum(read) <= 256 * 1024) == (["id", "pad"], True)
    asyncio.run(store_files.rows(store, entry, "parquet", ["id"], 100, 7))
    assert sum(read) < len(content) / 3
    store.close()


ORDERS = b'{"id": 1, "mail": "ann@example.org"}\n{"id": 2, "mail": null}\n'


async def _looked(driver: StoreDriver, dial: Dial) -> dict[str, list[str]]:
    """The columns of each asset, and its rows for the log of a failed test."""
    async with driver.open(dial) as session, session.snapshot() as snapshot:
        assert (await session.probe()).privileges.tables_visible > 0
        marks = await snapshot.marks(Scope(), compare=True)
        found = {facts.mark.table: list(facts.names) async for chunk in snapshot.describe(marks) for facts in chunk}
        for mark in marks:
            (sample,) = await session.sample([SampleTask(0, mark.schema, mark.table, tuple(found[mark.table]), 50, mark.pages, 7, False)])
            assert sample.rows
        return found


async def test_a_container_of_azure(azurite: Azurite, caplog: pytest.LogCaptureFixture) -> None:
    """By account key, by shared access signature, by bearer token, over TLS with an authority of its own; and what is refused."""
    caplog.set_level(logging.DEBUG)
    azurite.put("in/orders 1/part-001 ü.jsonl", ORDERS)
    azurite.put("in/orders 1/part-002 ü.jsonl", ORDERS)
    azurite.put("in/a+b.jsonl.gz", gzip.compress(ORDERS))
    spec = azurite.spec(path="in")
    dial = Dial("", 0, CONTAINER, "", KEY, tls_mode="verify-full", ca=azurite.ca, spec=spec)
    wanted = {"orders *": ["id", "mail"], "a+b.jsonl.gz": ["id", "mail"]}
    assert await _looked(azure_blob(), dial) == wanted
    assert await _looked(azure_blob(), replace(dial, password=azurite.sas())) == wanted
    assert await _looked(azure_blob(), replace(dial, password=token(), token=True)) == wanted
    assert "sig=" not in caplog.text.replace(azurite.sas(rights="rwcl"), "")
    refused = {
        "credentials_invalid": replace(dial, password=base64.b64encode(CANARY.encode()).decode()),
        "no_privilege": replace(dial, password=azurite.sas(rights="r")),
        "no_such_bucket": replace(dial, spec=azurite.spec("nowhere")),
        "tls_untrusted": replace(dial, ca=azurite.other_ca),
        "token_needs_proof": replace(dial, password=azurite.sas(), tls_mode="require"),
    }
    for code, change in refused.items():
        with pytest.raises(Failed) as error:
            await _looked(azure_blob(), change)
        assert error.value.code == code
        assert CANARY not in f"{error.value!r} {error.value.__cause__!r}"


async def test_a_bucket_of_google(azurite: Azurite) -> None:
    """Page by page, with a token that goes over a proven line alone; a busy store is asked again."""
    double = Gcs({"in/orders/part-1.jsonl": ORDERS, "in/orders/part-2.jsonl": ORDERS, "in/ü b/c.jsonl": ORDERS}, "right".__eq__)
    async with serving(double, Path(azurite.ca).parent) as port:
        await _google_is_read(azurite, port)


async def _google_is_read(azurite: Azurite, port: int) -> None:
    spec = DataSource(name="lake", engine="gcs", host="127.0.0.1", port=port, database="lake", path="in/")
    dial = Dial("", 0, "lake", "", "right", tls_mode="verify-full", ca=azurite.ca, spec=spec, token=True)
    assert await _looked(gcs(), dial) == {"orders": ["id", "mail"], "c.jsonl": ["id", "mail"]}
    asked = []

    async def lookup(host: str, port: int, again: bool) -> tuple[str, str]:
        asked.append(again)
        return "", "right" if again else CANARY

    assert await _looked(gcs(), replace(dial, lookup=lookup))
    assert asked == [False, True]  # a refused token is asked for once more
    wrong = {
        "credentials_invalid": replace(dial, password=CANARY),
        "no_such_bucket": replace(dial, spec=spec.model_copy(update={"database": "x"})),
    }
    for code, change in wrong.items():
        with pytest.raises(Failed) as error:
            await _looked(gcs(), change)
        assert error.value.code == code
        assert CANARY not in f"{error.value!r} {error.value.__cause__!r}"


def _into_moto(moto: str, place: str, content: bytes = b"") -> None:
    httpx.put(f"{moto}/{place}", content=content, headers={"x-amz-acl": "public-read"}).raise_for_status()


async def test_what_is_written_anew_is_seen(azurite: Azurite, moto: str, tmp_path: Path) -> None:
    """Of each kind of store, also where no size tells; what stays, stays."""
    objects: dict[str, bytes] = {}
    host, _, port = moto.removeprefix("http://").partition(":")
    _into_moto(moto, "anew")
    azure = Dial("", 0, CONTAINER, "", KEY, tls_mode="verify-full", ca=azurite.ca, spec=azurite.spec(path="anew"))
    amazon = DataSource(name="lake", engine="s3", host=host, port=int(port), database="anew")
    async with serving(Gcs(objects, "right".__eq__), Path(azurite.ca).parent) as at:
        google = DataSource(name="lake", engine="gcs", host="127.0.0.1", port=at, database="lake")
        by_token = Dial("", 0, "lake", "", "right", tls_mode="verify-full", ca=azurite.ca, spec=google, token=True)
        stores: list[tuple[StoreDriver, Dial, Callable[[bytes], object]]] = [
            (azure_blob(), azure, partial(azurite.put, "anew/orders.jsonl")),
            (gcs(), by_token, partial(objects.__setitem__, "orders.jsonl")),
            (s3(), Dial(host, int(port), "anew", "", tls_mode="disable", spec=amazon), partial(_into_moto, moto, "anew/orders.jsonl")),
            (folder(), Dial("", 0, "x", "", spec=_spec(tmp_path)), (tmp_path / "orders.jsonl").write_bytes),
        ]
        for driver, dial, put in stores:
            put(ORDERS)
            seen = [await _written(driver, dial) for _ in range(2)]
            put(ORDERS.replace(b"ann@", b"bob@"))
            assert 0 != seen[0] == seen[1] != await _written(driver, dial) != 0, driver.engine


async def _written(driver: StoreDriver, dial: Dial) -> int:
    async with driver.open(dial) as session, session.snapshot() as snapshot:
        (mark,) = await snapshot.marks(Scope(), compare=False)
        return mark.written


async def test_a_busy_store_slows_us(azurite: Azurite, monkeypatch: pytest.MonkeyPatch) -> None:
    """How long requests wait is told, and each look once what was refused meanwhile; a sample that is refused for good says so itself."""
    monkeypatch.setattr(store_line, "_FIRST_WAIT_SECONDS", 0.001)
    double = Gcs({"orders.jsonl": ORDERS}, "right".__eq__)
    async with serving(double, Path(azurite.ca).parent) as port:
        spec = DataSource(name="lake", engine="gcs", host="127.0.0.1", port=port, database="lake")
        dial = Dial("", 0, "lake", "", "right", tls_mode="verify-full", ca=azurite.ca, spec=spec, token=True)
        async with gcs().open(dial) as session:
            first = await session.load()
            assert first.throttled
            assert 0 < (first.request_seconds or 0) < 10
            assert await session.load() == Load()
            task = SampleTask(0, "/", "orders.jsonl", ("id",), 50, 1, 7, False)
            for busy, failure in ((1, ""), (10**6, "throttled")):
                double.busy = busy
                (sample,) = await session.sample([task])
                assert (sample.failure.code if sample.failure else "") == failure
                assert (await session.load()).throttled


@pytest.mark.extended
async def test_another_server_of_googles_interface(azurite: Azurite) -> None:
    """The same at one that others wrote, fake-gcs-server. It knows no identities."""
    assert GCS_PROGRAM.exists(), "fake-gcs-server is not installed: run `make extended`"
    papers, port = Path(azurite.ca).parent, free_ports(1)[0]
    told = {"scheme": "https", "host": "127.0.0.1", "port": port, "backend": "memory", "log-level": "error"}
    told |= {"public-host": f"127.0.0.1:{port}", "cert-location": papers / "server.crt", "private-key-location": papers / "server.key"}
    process = await asyncio.create_subprocess_exec(GCS_PROGRAM, *(f"-{name}={value}" for name, value in told.items()))
    transport = httpx.AsyncHTTPTransport(retries=8, verify=ssl.create_default_context(cafile=azurite.ca))
    try:
        async with httpx.AsyncClient(base_url=f"https://127.0.0.1:{port}", transport=transport) as client:
            (await client.post("/storage/v1/b", json={"name": "lake"})).raise_for_status()
            for name in ("orders/part-1.jsonl", "orders/part-2.jsonl", "ü b/c+d%2F.jsonl"):
                query = {"uploadType": "media", "name": f"in/{name}"}
                (await client.post("/upload/storage/v1/b/lake/o", params=query, content=ORDERS)).raise_for_status()
        spec = DataSource(name="lake", engine="gcs", host="127.0.0.1", port=port, database="lake", path="in/")
        dial = Dial("", 0, "lake", "", "any", tls_mode="verify-full", ca=azurite.ca, spec=spec, token=True)
        assert await _looked(gcs(), dial) == {"orders": ["id", "mail"], "c+d%2F.jsonl": ["id", "mail"]}
        async with gcs().open(dial) as session:
            store = session._store
            assert (await store.read("orders/part-1.jsonl", 5, 7), await store.read("orders/part-1.jsonl", 1000, 7)) == (b': 1, "m', b"")
            with pytest.raises(Failed) as gone:
                await store.read("nowhere.jsonl", 0, 7)
        assert gone.value.code == "gone"
        elsewhere = replace(dial, spec=spec.model_copy(update={"database": "x"}))
        with pytest.raises(Failed) as gone:
            await _looked(gcs(), elsewhere)
        assert gone.value.code == "no_such_bucket"
    finally:
        process.terminate()
        await process.wait()
