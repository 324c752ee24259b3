"""The suite that third parties run, on each driver of our own."""

from __future__ import annotations

import asyncio
import io
import secrets
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any
from urllib.parse import quote, unquote, urlsplit

import asyncpg
import httpx
import pyarrow
import pytest
from aiohttp import web
from asyncmy.errors import MySQLError
from pyarrow import parquet

from shared.contracts.source import DataSource, ReplicaConfig
from shared.errors import Failed
from shared.sources.base import Dial, SourceSession
from shared.sources.conformance import Conformance, Kind
from shared.sources.mongo import MongoDriver
from shared.sources.mysql import MariadbDriver, MysqlDriver
from shared.sources.postgres import PostgresDriver
from shared.sources.store import s3
from tests.mongo_server import READS, SET, MongoServer
from tests.mysql_server import PASSWORD, MysqlServer
from tests.tagger.moto_server import Line as MotoLine
from tests.tagger.moto_server import line_to
from tests.tls_server import TlsServer

ODD = ("ta.ble", "it's", 'say "no"', "back`tick", "two words", "semi;colon --", "größe ✉", "a\\b", "percent%s_", "x" * 63)
MISTAKES = {
    "wrong_password": {"password": "not it, canary"},
    "no_such_database": {"database": "nowhere"},
    "refused": {"port": 1},
    "host_unknown": {"host": "nowhere.invalid"},
}


class PostgresShip:
    """A database of its own on Debian's server."""

    driver, schema, odd_names = PostgresDriver(), "public", (*ODD, "smile 💾")
    key, keyed, many = "id", True, 260

    def __init__(self, server: TlsServer, admin: asyncpg.Connection, database: str) -> None:
        self._server, self._admin, self._database = server, admin, database
        self.failures = {**MISTAKES, "tls_untrusted": {"ca": server.other_ca}, "tls_wrong_host": {"host": "127.0.0.1"}}

    def dial(self) -> Dial:
        return replace(self._server.dial("scram"), database=self._database)

    async def make(self, table: str, columns: Mapping[str, Kind], rows: Sequence[Sequence[object]] = ()) -> None:
        told = ", ".join(f"{_double(name)} {kind}" for name, kind in columns.items())
        await self._admin.execute(f"create table {_double(table)} ({told}, primary key ({_double(next(iter(columns)))}))")
        if rows:
            await self.insert(table, rows)

    async def insert(self, table: str, rows: Sequence[Sequence[object]]) -> None:
        await self._admin.copy_records_to_table(table, records=rows)
        await self._admin.execute(f"analyze {_double(table)}")

    async def add_column(self, table: str, column: str) -> None:
        await self._admin.execute(f"alter table {_double(table)} add column {_double(column)} text")

    async def drop(self, table: str) -> None:
        await self._admin.execute(f"drop table {_double(table)}")

    async def hide(self, table: str) -> None:
        await self._admin.execute(f"revoke select on {_double(table)} from scram")

    async def write_literals(self, canary: str) -> int:
        await self._admin.execute(
            f"""create type mood as enum ('{canary}', 'b');
            create table held (id int primary key, a text default '{canary}', b text check (b <> '{canary}'), m mood default '{canary}',
              g text generated always as (a || '{canary}') stored);
            comment on table held is 'ask {canary}@example.org'; comment on column held.a is 'ask {canary}@example.org';
            create index on held (a) where b = '{canary}'; create view seen as select *, '{canary}' as w from held where a = '{canary}'"""
        )
        return 2

    async def allow_writes(self) -> None:
        await self._admin.execute("grant all on schema public to scram; grant all on all tables in schema public to scram")

    async def try_to_write(self, session: SourceSession) -> bool:
        for statement in ("create table public.written ()", "insert into public.kept values (1)", "truncate public.kept"):
            try:
                async with session._reading("read_committed"):  # type: ignore[attr-defined]
                    await session._connection.execute(statement)  # type: ignore[attr-defined]
            except asyncpg.ReadOnlySQLTransactionError:
                continue
            return True
        return False

    async def sessions(self) -> int:
        return int(await self._admin.fetchval("select count(*) from pg_stat_activity where usename = 'scram'"))


def _double(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


class TestPostgres(Conformance):
    """PostgreSQL 15 over verify-full."""

    @pytest.fixture
    async def ship(self, tls_server: TlsServer) -> AsyncIterator[PostgresShip]:
        name = f"test_{secrets.token_hex(6)}"
        first = await asyncpg.connect(host=str(tls_server.folder), port=tls_server.port, user="postgres", database="postgres")
        await first.execute(f"create database {name}")
        admin = await asyncpg.connect(host=str(tls_server.folder), port=tls_server.port, user="postgres", database=name)
        await admin.execute("alter default privileges in schema public grant select on tables to scram")
        yield PostgresShip(tls_server, admin, name)
        await admin.close()
        await first.execute(f"drop database {name} with (force)")
        await first.close()


class MysqlShip:
    """A schema of its own, and a user who may read each table of it that is not hidden."""

    odd_names, key, keyed, many = ODD, "id", True, 260

    def __init__(self, server: MysqlServer) -> None:
        self._server, self.schema = server, f"test_{secrets.token_hex(4)}"
        self.driver = MariadbDriver() if server.engine == "mariadb" else MysqlDriver()
        self.user = f"u_{self.schema}"
        self.failures: Mapping[str, Mapping[str, Any]] = {
            **{code: change for code, change in MISTAKES.items() if code != "no_such_database"},
            "may_not_connect": {"database": "nowhere"},  # who may not see it is not told whether it is there
            "tls_untrusted": {"ca": str(server.folder / "other.pem")},
            "password_missing": {"password": ""},
        }
        self._run(f"create database {self.schema} character set utf8mb4", f"create user {self.user} identified by '{PASSWORD}'")

    def _run(self, *statements: str) -> list[tuple[Any, ...]]:
        return self._server.run(*statements)

    def remove(self) -> None:
        self._run(f"drop database {self.schema}", f"drop user {self.user}")

    def dial(self) -> Dial:
        return self._server.dial(self.user, database=self.schema)

    def _name(self, table: str) -> str:
        return f"{self.schema}.{_back(table)}"

    async def make(self, table: str, columns: Mapping[str, Kind], rows: Sequence[Sequence[object]] = ()) -> None:
        told = ", ".join(f"{_back(name)} {'longtext' if kind == 'text' else kind}" for name, kind in columns.items())
        grant = f"grant select, show view on {self._name(table)} to {self.user}"
        self._run(f"create table {self._name(table)} ({told}, primary key ({_back(next(iter(columns)))}))", grant)
        if rows:
            await self.insert(table, rows)

    async def insert(self, table: str, rows: Sequence[Sequence[object]]) -> None:
        for at in range(0, len(rows), 2000):
            self._run(
                f"insert into {self._name(table)} values " + ",".join(f"({','.join(map(_literal, row))})" for row in rows[at : at + 2000])
            )
        self._run(f"analyze table {self._name(table)}")

    async def add_column(self, table: str, column: str) -> None:
        self._run(f"alter table {self._name(table)} add column {_back(column)} text")

    async def drop(self, table: str) -> None:
        self._run(f"drop table {self._name(table)}")

    async def hide(self, table: str) -> None:
        self._run(f"revoke select on {self._name(table)} from {self.user}")

    async def write_literals(self, canary: str) -> int:
        check = f"check (b <> '{canary}')"
        self._run(
            f"grant select, show view on {self.schema}.* to {self.user}",
            f"""create table {self.schema}.held (id int primary key, a varchar(90) default '{canary}' comment 'ask {canary}@example.org',
              b varchar(90), m enum('{canary}', 'b') default '{canary}', s set('{canary}', "it's {canary}"),
              g varchar(200) generated always as (concat(a, 'it''s {canary}', b, "{canary}")) stored, {check})
              comment 'ask {canary}@example.org'""",
            f"create view {self.schema}.seen as select *, '{canary}' as w from {self.schema}.held where a = 'it''s {canary}'",
            f"""create table {self.schema}.parted (id int, d varchar(90)) partition by list columns (d)
              (partition p1 values in ('{canary}'), partition p2 values in ('b'))""",
        )
        return 3

    async def allow_writes(self) -> None:
        self._run(f"grant all on {self.schema}.* to {self.user}")

    async def try_to_write(self, session: SourceSession) -> bool:
        line = session._line  # type: ignore[attr-defined]
        for statement in ("create table written (a int)", "insert into kept values (1)", "drop table kept"):
            try:
                await line.query(statement)
                return True
            except MySQLError as error:
                if error.args[0] != 1792:  # "cannot execute statement in a READ ONLY transaction"
                    raise
        return False

    async def sessions(self) -> int:
        return self._server.sessions(self.user)


def _back(name: str) -> str:
    return "`" + name.replace("`", "``") + "`"


def _literal(value: object) -> str:
    if value is None:
        return "null"
    return str(value) if isinstance(value, int) else "'" + str(value).replace("\\", "\\\\").replace("'", "''") + "'"


def _mysql_ship(server: MysqlServer) -> Iterator[MysqlShip]:
    ship = MysqlShip(server)
    yield ship
    ship.remove()


class TestMariadb(Conformance):
    """MariaDB 10.11 over verify-full."""

    @pytest.fixture
    def ship(self, mariadb: MysqlServer) -> Iterator[MysqlShip]:
        yield from _mysql_ship(mariadb)


class TestMysql(Conformance):
    """MySQL 8.0.15 over verify-full, signing in by caching_sha2_password."""

    @pytest.fixture
    def ship(self, mysql: MysqlServer) -> Iterator[MysqlShip]:
        yield from _mysql_ship(mysql)


class MongoShip:
    """A database of its own, and a user who may read each collection of it that is not hidden. Structure is declared and seen."""

    driver, odd_names, key, keyed, many = MongoDriver(), ODD, "_id", True, 120

    def __init__(self, server: MongoServer) -> None:
        self._server, self.schema = server, f"test_{secrets.token_hex(4)}"
        self._database, self._columns = server.admin[self.schema], dict[str, list[str]]()
        self.user = server.user(f"u_{self.schema}", database=self.schema, actions=("listCollections", "dbStats"))
        self.failures: Mapping[str, Mapping[str, Any]] = {
            **{code: change for code, change in MISTAKES.items() if code != "no_such_database"},
            "may_not_connect": {"database": "nowhere"},  # who may not see it is not told whether it is there
            "tls_untrusted": {"ca": server.other_ca},
            "tls_wrong_host": {"host": "localhost"},
            "tls_required": {"tls_mode": "disable"},
            "password_missing": {"password": ""},
        }

    def remove(self) -> None:
        self._server.admin.drop_database(self.schema)
        self._server.test("forget", user=self.user)

    def dial(self) -> Dial:
        spec = self._server.spec(self.schema, self.user, replica_config=ReplicaConfig(replica_set=SET))
        return self._server.dial(self.user, self.schema, spec=spec)

    def _grant(self, *collections: str, actions: Sequence[str] = READS) -> None:
        for name in collections:
            self._server.test("grant", user=self.user, database=self.schema, collection=name, actions=list(actions))

    def _validator(self, table: str) -> dict[str, Any]:
        first, *others = self._columns[table]
        told = {first: {"bsonType": "int"}, **{name: {"bsonType": ["string", "null"]} for name in others}}
        return {"$jsonSchema": {"required": [first], "properties": told}}

    async def make(self, table: str, columns: Mapping[str, Kind], rows: Sequence[Sequence[object]] = ()) -> None:
        self._columns[table] = list(columns)
        self._database.create_collection(table, validator=self._validator(table))
        self._grant(table)
        if rows:
            await self.insert(table, rows)

    async def insert(self, table: str, rows: Sequence[Sequence[object]]) -> None:
        self._database[table].insert_many([dict(zip(self._columns[table], row, strict=True)) for row in rows])

    async def add_column(self, table: str, column: str) -> None:
        self._columns[table].append(column)
        self._database.command({"collMod": table, "validator": self._validator(table)})

    async def drop(self, table: str) -> None:
        self._database.drop_collection(table)

    async def hide(self, table: str) -> None:
        self._server.test("revoke", user=self.user, database=self.schema, collection=table)

    async def write_literals(self, canary: str) -> int:
        mail = f"{canary}@example.org"
        told = {
            "a": {"bsonType": "string", "enum": [canary], "description": f"ask {mail}"},
            "b": {"pattern": f"^{canary}$", "maximum": 4711},
        }
        validator = {
            "$jsonSchema": {"properties": told, "title": mail},
            "c": {"$ne": canary},
            "d": f"${canary}",
            "$expr": {"$eq": ["$a", canary]},
        }
        self._database.create_collection("held", validator=validator)
        by_mail = {mail: {"seen": canary}}
        self._database.held.insert_many([{"a": canary, "by": by_mail, mail: 1, "days": {f"{canary}{at}": at for at in range(99)}}])
        self._database.held.create_index("a", name=mail, unique=True)
        pipeline = [
            {"$match": {"a": canary, mail: 1, "b": f"${canary}"}},
            {"$set": {"b": {"$literal": f"${canary}"}, "c": {"$concat": ["$a", canary]}}},
        ]
        self._database.create_collection("seen", viewOn="held", pipeline=pipeline)
        self._grant("held", "seen")
        return 2

    async def allow_writes(self) -> None:
        self._grant("", actions=["insert", "remove", "update", "createCollection", "dropCollection", *READS])

    async def try_to_write(self, session: SourceSession) -> bool:
        line = session._line  # type: ignore[attr-defined]
        for command in ({"create": "written"}, {"insert": "kept", "documents": [{"_id": 1}]}, {"drop": "kept"}, {"aggregate": "kept"}):
            with pytest.raises(Failed, match="only reads"):
                await line.run(self.schema, command)
        return False

    async def sessions(self) -> int:
        return self._server.lines(self.user)


class TestMongo(Conformance):
    """mongo-java-server over verify-full, a set of three members."""

    @pytest.fixture
    def ship(self, mongo: MongoServer) -> Iterator[MongoShip]:
        ship = MongoShip(mongo)
        yield ship
        ship.remove()


class StoreShip:
    """A bucket of its own on moto, behind a line that can refuse; each table is a folder of files of Parquet."""

    driver, odd_names, key, keyed, many, schema = s3(), ODD, "id", False, 60, "data"
    failures: Mapping[str, Mapping[str, Any]] = {
        "refused": {"spec": {"port": 1}},
        "host_unknown": {"spec": {"host": "nowhere.invalid"}},
        "no_such_bucket": {"spec": {"database": "nowhere"}},
        "tls_not_offered": {"tls_mode": "verify-full"},
    }

    def __init__(self, line: MotoLine) -> None:
        self._line, self._bucket, self._hidden = line, f"test-{secrets.token_hex(4)}", set[str]()
        self._tables: dict[str, pyarrow.Table] = {}
        self._files: dict[str, int] = {}
        owner = "AWS4-HMAC-SHA256 Credential=testing/20260101/us-east-1/s3/aws4_request, SignedHeaders=host, Signature=0"
        self._http = httpx.AsyncClient(base_url=f"{line.behind}/{self._bucket}", headers={"Authorization": owner}, timeout=60)
        self._line.refuse = self._refusal
        at = urlsplit(line.address)
        self._spec = DataSource(name="lake", engine="s3", host=str(at.hostname), port=at.port or 0, database=self._bucket, path="lake")
        self.failures = {
            code: {**change, "spec": self._spec.model_copy(update=change.get("spec", {}))} for code, change in self.failures.items()
        }

    def _refusal(self, action: str) -> web.Response | None:
        if any(f"/{table}/" in unquote(action) and "list-type" not in action for table in self._hidden):
            return web.Response(status=403, text="<Error><Code>AccessDenied</Code><Message>secret words</Message></Error>")
        return None

    async def begin(self) -> None:
        (await self._http.put("")).raise_for_status()

    async def remove(self) -> None:
        await self._http.aclose()

    def dial(self) -> Dial:
        return Dial("", 0, self._bucket, "testing", "a secret, canary", tls_mode="disable", spec=self._spec)

    async def _put(self, table: str, number: int, content: pyarrow.Table) -> None:
        file = io.BytesIO()
        parquet.write_table(content, file, row_group_size=1000)
        path = quote(f"/lake/{self.schema}/{table}/part-{number:05}.parquet", safe="/")
        (await self._http.put(path, content=file.getvalue())).raise_for_status()

    async def make(self, table: str, columns: Mapping[str, Kind], rows: Sequence[Sequence[object]] = ()) -> None:
        kinds = {"integer": pyarrow.int64(), "text": pyarrow.string()}
        schema = pyarrow.schema([(name, kinds[kind]) for name, kind in columns.items()])
        self._tables[table], self._files[table] = schema.empty_table(), 0
        await self.insert(table, rows)

    async def insert(self, table: str, rows: Sequence[Sequence[object]]) -> None:
        schema = self._tables[table].schema
        content = pyarrow.table([list(column) for column in zip(*rows, strict=True)] or [[]] * len(schema), schema=schema)
        self._tables[table] = content
        await self._put(table, self._files[table], content)
        self._files[table] += 1

    async def add_column(self, table: str, column: str) -> None:
        old = self._tables[table]
        self._tables[table] = old.append_column(column, pyarrow.nulls(len(old), pyarrow.string()))
        await self._put(table, self._files[table] - 1, self._tables[table])

    async def drop(self, table: str) -> None:
        (await self._http.delete(f"/lake/{self.schema}/{table}/part-00000.parquet")).raise_for_status()

    async def hide(self, table: str) -> None:
        self._hidden.add(table)

    async def write_literals(self, canary: str) -> int:
        mail = f"{canary}@example.org"
        content = pyarrow.table({"a": [canary], mail: [canary], "by": [{mail: 1}]}).replace_schema_metadata({"note": canary})
        await self._put("held", 0, content)
        await self._put(f"of {mail}", 0, content)
        for name, text in (("csv.csv", f"{canary},{canary}b\n{canary}c,x\n"), ("lines.jsonl", f'{{"{mail}": "{canary}"}}\n')):
            (await self._http.put(f"/lake/{self.schema}/{name}", content=text.encode())).raise_for_status()
        return 4

    async def allow_writes(self) -> None:
        """Nobody may not, at moto."""

    async def try_to_write(self, session: SourceSession) -> bool:
        line = session._store  # type: ignore[attr-defined]
        return any(hasattr(line, name) for name in ("write", "put", "delete", "post", "request"))

    async def sessions(self) -> int:
        await asyncio.sleep(0.01)  # the line's server runs in our own loop
        return self._line.lines()


class TestStore(Conformance):
    """moto's S3, requests signed."""

    @pytest.fixture
    async def ship(self, moto: str) -> AsyncIterator[StoreShip]:
        async with line_to(moto) as line:
            ship = StoreShip(line)
            await ship.begin()
            yield ship
            await ship.remove()
