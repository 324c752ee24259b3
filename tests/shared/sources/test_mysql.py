"""What is MySQL's and MariaDB's own: sign-in, TLS, numbers of errors, keys, views, partitions. The rest is in the conformance suite."""

from __future__ import annotations

import asyncio
import secrets
import ssl
from collections.abc import AsyncGenerator, Iterator
from dataclasses import replace
from time import monotonic, perf_counter
from typing import Any
from unittest.mock import Mock

import pytest
from asyncmy.errors import OperationalError

from shared.contracts.source import Scope
from shared.errors import Failed
from shared.sources import mysql_facts
from shared.sources.base import Dial, SampleTask, TableFacts
from shared.sources.failures import BY_CODE
from shared.sources.mongo_knock import knock
from shared.sources.mysql import MariadbDriver, MysqlDriver
from shared.sources.mysql_catalog import MysqlSnapshot
from shared.sources.mysql_failures import mysql_failed, mysql_failure
from shared.sources.mysql_grants import parse
from shared.sources.mysql_release import release
from tests.mysql_server import MysqlServer
from tests.shared.sources.greedy import greedy

TOKEN = "canary-token-5512"


async def code_of(dial: Dial) -> str:
    """The code with which opening fails; empty where it works."""
    try:
        async with MysqlDriver().open(dial):
            return ""
    except Failed as error:
        return "password told" if dial.password in str(error) else error.code


@pytest.fixture(scope="module")
def papers(tmp_path_factory: pytest.TempPathFactory) -> tuple[ssl.SSLContext, str]:
    """A listener's TLS, and the authority that vouches for it under the name localhost."""
    trustme = pytest.importorskip("trustme")
    ca, context = trustme.CA(), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ca.issue_cert("localhost").configure_cert(context)
    path = tmp_path_factory.mktemp("papers") / "ca.pem"
    ca.cert_pem.write_to_path(path)
    return context, str(path)


@pytest.mark.parametrize("mode", ["disable", "prefer", "require"])
@pytest.mark.parametrize(
    ("announced", "asked"),
    [
        ("mysql_native_password", "mysql_clear_password"),
        ("mysql_native_password", "dialog"),
        ("mysql_native_password", "sha256_password"),
        ("sha256_password", "mysql_clear_password"),
        ("caching_sha2_password", "caching_sha2_password"),
        ("mysql_native_password", "unheard_of"),
    ],
)
async def test_who_is_not_proven_gets_no_password(papers: tuple[ssl.SSLContext, str], mode: Any, announced: str, asked: str) -> None:
    """Whatever it announces and asks for, over a plain line or one that is only encrypted: not the password, and no key to wrap it."""
    context, _ = papers
    async with greedy(announced, asked, None if mode == "disable" else context) as listener:
        code = await code_of(Dial("127.0.0.1", listener.port, "shop", "jo", TOKEN, tls_mode=mode))
    assert code == ("sign_in_unsupported" if asked == "unheard_of" else "clear_text_refused")
    assert b"jo\0" in listener.heard
    assert TOKEN.encode() not in listener.heard


async def test_a_line_of_the_wrong_name_gets_no_clear_text(papers: tuple[ssl.SSLContext, str]) -> None:
    """verify-ca proves an authority, not a server: enough for caching_sha2 where the authority is the source's own, not for clear text."""
    context, ca = papers
    for asked, given in (("mysql_clear_password", False), ("caching_sha2_password", True)):
        async with greedy("mysql_native_password", asked, context) as listener:
            await code_of(Dial("127.0.0.1", listener.port, "shop", "jo", TOKEN, tls_mode="verify-ca", ca=ca))
        assert (TOKEN.encode() in listener.heard) is given


async def test_who_is_proven_gets_what_it_asks_for(papers: tuple[ssl.SSLContext, str]) -> None:
    """Over verify-full a token may be given in clear text; under another name nothing at all is said."""
    context, ca = papers
    for host, given in (("localhost", True), ("127.0.0.1", False)):
        async with greedy("mysql_native_password", "mysql_clear_password", context) as listener:
            await code_of(Dial(host, listener.port, "shop", "jo", TOKEN, tls_mode="verify-full", ca=ca))
        assert (TOKEN.encode() in listener.heard, bool(listener.heard)) == (given, given)


async def test_a_server_that_wants_clear_text(mariadb: MysqlServer) -> None:
    """The real server's PAM sign-in: refused by us while it is not proven, and by it, with a wrong token, once it is."""
    for mode in ("disable", "prefer", "require", "verify-ca"):
        assert await code_of(mariadb.dial("clear", password=TOKEN, tls_mode=mode)) == "clear_text_refused"
    assert await code_of(mariadb.dial("clear", password=TOKEN)) == "wrong_password"


@pytest.mark.parametrize(
    ("username", "change", "code"),
    [
        pytest.param("reader", {"database": "sys"}, "may_not_connect", id="no privilege on the database"),
        pytest.param("tlsonly", {"database": ""}, "", id="encrypted only, and so it is"),
        pytest.param("tlsonly", {"database": "", "tls_mode": "disable"}, "wrong_password", id="encrypted only (the server does not tell)"),
        pytest.param("x509", {"database": "", "cert": "client.crt", "key": "client.key"}, "", id="client certificate"),
        pytest.param("x509", {"database": ""}, "wrong_password", id="no client certificate (the server does not tell)"),
        pytest.param("locked", {}, "account_locked", id="locked"),
        pytest.param("expired", {}, "password_expired", id="expired"),
        pytest.param("edward", {}, "sign_in_unsupported", id="a way to sign in that needs another package"),
        pytest.param("root", {"database": "nowhere"}, "no_such_database", id="no such database"),
        pytest.param("root", {"ca": "other.pem"}, "tls_untrusted", id="authority not trusted"),
        pytest.param("root", {"ca": "other.pem", "tls_mode": "require"}, "", id="require asks for no proof"),
        pytest.param("root", {"host": "127.0.0.2"}, "tls_wrong_host", id="certificate for another name"),
        pytest.param("root", {"host": "127.0.0.2", "tls_mode": "verify-ca"}, "", id="verify-ca does not look at the name"),
    ],
)
async def test_a_dial_fails_by_name(mariadb: MysqlServer, username: str, change: dict[str, Any], code: str) -> None:
    """TLS, users and databases are told apart, against the real server."""
    files = {name: str(mariadb.folder / change[name]) for name in ("ca", "cert", "key") if name in change}
    assert await code_of(mariadb.dial(username, **change | files)) == code


async def test_caching_sha2_signs_in(mysql: MysqlServer) -> None:
    """Full sign-in needs a proven line; once the server remembers the user, the short one needs none."""
    user = f"u_{secrets.token_hex(4)}"
    mysql.run(f"create user {user} identified with caching_sha2_password by 'tr{TOKEN}'")
    dial = mysql.dial(user, password=f"tr{TOKEN}", database="")
    codes = [await code_of(replace(dial, tls_mode=mode)) for mode in ("disable", "require", "verify-full", "require", "disable")]
    mysql.run(f"drop user {user}")
    assert codes == ["clear_text_refused", "clear_text_refused", "", "", ""]


@pytest.mark.parametrize("username", ["native", "sha256", "reader", "player"])
async def test_ways_to_sign_in(mysql: MysqlServer, username: str) -> None:
    """Over verify-full each of MySQL's own ways works, with a password that is not ASCII."""
    assert await code_of(mysql.dial(username, database="")) == ""


async def test_what_does_not_speak_mysql(tls_server: Any) -> None:
    """A PostgreSQL port waits for us; an HTTP one answers in another language."""

    async def http(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n" + TOKEN.encode() * 40)
        writer.close()

    server = await asyncio.start_server(http, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    assert await code_of(Dial("127.0.0.1", port, "x", "x", "pw", tls_mode="disable")) == "not_mysql"
    server.close()
    silent = Dial("127.0.0.1", tls_server.port, "x", "x", "pw", tls_mode="disable", connect_seconds=9.0)
    began = monotonic()
    assert await code_of(silent) == "not_mysql"
    assert monotonic() - began < silent.connect_seconds, "nobody waits for what will not come"
    with pytest.raises(Failed) as refused:
        await knock(silent)
    assert refused.value.code == "not_mongodb", "it hangs up on us as a server would that wants TLS"


def test_each_number_has_a_code_and_our_words() -> None:
    """The number decides; nothing of the server's text is repeated."""
    codes = {1142: "no_privilege", 1969: "statement_timeout", 3024: "statement_timeout", 1205: "lock_timeout", 9: "server_error"}
    for number, code in codes.items():
        error = OperationalError(number, f"about {TOKEN}")
        assert mysql_failure(error).code == code
        assert code in BY_CODE
        assert TOKEN not in str(mysql_failed(error))


def test_grants_are_read() -> None:
    """Patterns, columns, roles' lines and revokes count; routines and proxies do not."""
    grants = parse(
        [
            "GRANT USAGE ON *.* TO `a`@`%` IDENTIFIED BY PASSWORD '*x'",
            r"GRANT SELECT ON `my\_shop%`.* TO `a`@`%`",
            "GRANT SELECT (`a`, `odd)``name`), INSERT (`b`) ON `one`.`ta``ble` TO `a`@`%`",
            "GRANT EXECUTE ON PROCEDURE `one`.`p` TO `a`@`%`",
            "REVOKE SELECT ON `my\\_shop2`.* FROM `a`@`%`",
            "GRANT PROXY ON ''@'%' TO 'root'@'localhost'",
        ]
    )
    read = [("my_shop", "t"), ("myxshop", "t"), ("my_shop1", "t"), ("my_shop2", "t"), ("one", "ta`ble"), ("one", "t")]
    assert [grants.may("SELECT", *place) for place in read] == [True, False, True, False, True, False]
    assert (grants.writes, grants.superuser) == (True, False)
    assert parse(["GRANT ALL PRIVILEGES ON *.* TO `r`@`%` WITH GRANT OPTION"]).superuser


@pytest.mark.parametrize("number", ["8.0.15", "10.11.19-MariaDB-log", "5.5.5-10.4.2-MariaDB", "nonsense"])
def test_releases(number: str) -> None:
    """Engine and number out of what a server calls itself."""
    found = release(number)
    assert (found.engine == "mariadb") is ("Maria" in number)
    assert found.number == {"8": 80015, "1": 101119, "5": 100402, "n": 0}[number[0]]


SCHEMA = (
    """create table parent (id bigint auto_increment primary key, mail varchar(90) not null unique comment 'how we reach them',
      low tinyint(1) default 0)""",
    """create table child (a bigint, b int, c text, at timestamp default current_timestamp, note json,
      primary key (a, b), key (b), fulltext key words (c), unique key pair (b, at),
      constraint to_parent foreign key (a) references parent (id))""",
    "create view seen as select p.id, extract(year from c.at) y from parent p join child c on c.a = p.id where p.mail like '%@x'",
    "create table parted (id int primary key, word varchar(20)) partition by hash (id) partitions 100",
    "create table lone (a int, `select` text)",
    "insert into parted values (1, 'one'), (2, 'two')",
    "insert into parent (mail) values ('a'), ('b')",
)


@pytest.fixture(params=["mariadb", "mysql"])
def shop(request: pytest.FixtureRequest) -> Iterator[tuple[MysqlServer, str]]:
    """A schema with keys, a view and partitions, on either server."""
    server: MysqlServer = request.getfixturevalue(request.param)
    name = f"shop_{secrets.token_hex(4)}"
    server.run(f"create database {name} character set utf8mb4", f"use {name}", *SCHEMA, "analyze table parent, child, parted")
    yield server, name
    server.run(f"drop database {name}")


async def described(server: MysqlServer, name: str, only: tuple[str, ...] = ()) -> tuple[dict[str, TableFacts], int]:
    """Facts by table, and the statements they took."""
    driver = MariadbDriver() if server.engine == "mariadb" else MysqlDriver()
    async with driver.open(server.dial(database=name)) as session:
        async with session.snapshot() as snapshot:
            marks = [mark for mark in await snapshot.marks(driver.whole(name, Scope()), compare=True) if not only or mark.table in only]
            before = snapshot.statements
            facts = [each async for chunk in snapshot.describe(marks) for each in chunk]
        return {each.mark.table: each for each in facts}, snapshot.statements - before


async def test_facts_of_a_schema(shop: tuple[MysqlServer, str]) -> None:
    """Keys, references, indexes, what is generated, what views read, and how many parts a table has."""
    server, name = shop
    found, _ = await described(server, name)
    parent, child, seen, parted = (found[table] for table in ("parent", "child", "seen", "parted"))
    assert (parent.generated, parent.nullable) == ([True, False, False], [False, False, True])
    assert (parent.primary_key, parent.unique, parent.indexed) == ({1}, {1, 2}, {1, 2})
    assert (list(parent.sampled), list(parent.textual)) == ([True, True, False], [False, True, False])
    assert (parent.comments, parent.defaults) == ({2: "how we reach them"}, {3: "?"})
    assert [(key.kind, key.columns) for key in child.keys if key.kind == "primary_key"] == [("primary_key", ("a", "b"))]
    assert [(key.columns, key.target, key.target_columns) for key in child.keys if key.kind == "foreign_key"] == [
        (("a",), (name, "parent"), ("id",))
    ]
    assert (child.unique, child.indexed, list(child.defaults)) == (frozenset(), {1, 2, 3, 4}, [4])
    method = "" if server.engine == "mariadb" else "fulltext"  # MariaDB tells it at the price of all the rest
    assert [tuple(index)[:4] for index in child.indexes] == [("b", ("b",), False, ""), ("words", ("c",), False, method)]
    assert parent.indexes == []
    assert child.defaults[4].lower().startswith("current_timestamp")
    assert (seen.mark.kind, seen.depends_on) == ("view", [(name, "child"), (name, "parent")])
    assert "?" in seen.view_definition
    assert (parted.mark.kind, parted.mark.partitions, parent.mark.rows) == ("partitioned_table", 100, 2)
    assert found["lone"].primary_key == frozenset()


async def test_reading_ahead(mariadb: MysqlServer) -> None:
    """What is read before it is wanted comes whole, over schemas; who stops half way leaves no question and no reader behind."""
    schemas = tuple(f"ahead_{number}" for number in range(3))
    for schema in schemas:
        made = (f"create table t{number:02} (id int, word varchar(9), at date) engine = memory" for number in range(60))
        mariadb.run(f"create or replace database {schema}", f"use {schema}", *made)
    scope = Scope(schemas=schemas)
    async with MariadbDriver().open(mariadb.dial()) as session:
        async with session.snapshot() as snapshot:
            marks = await snapshot.marks(scope, compare=True)
            found = [each async for chunk in snapshot.describe(marks) for each in chunk]
        assert [(each.mark, list(each.names)) for each in found] == [(mark, ["id", "word", "at"]) for mark in marks]
        assert len({(mark.schema, mark.table) for mark in marks}) == 180
        with pytest.raises(ZeroDivisionError):  # noqa: PT012 - raised where the chunk is used
            async with session.snapshot() as snapshot:
                async for chunk in snapshot.describe(marks):
                    assert len(chunk) // 0
        assert session._line.half_read
        reader = snapshot._reader
        assert reader is not None
        assert reader.done()


async def test_who_is_cancelled_while_what_is_read_ahead_ends() -> None:
    """Is cancelled: the end of the reader, which is cancelled, too, is not taken for it."""
    ending, end = asyncio.Event(), asyncio.Event()

    async def slow_to_end() -> AsyncGenerator[int]:
        yield 1
        try:
            await asyncio.sleep(50)
        finally:
            ending.set()
            await end.wait()

    async def first() -> None:
        found = MysqlSnapshot(Mock(), Mock(), Mock())._ahead(slow_to_end())
        assert await anext(found) == 1
        await found.aclose()

    asked = asyncio.create_task(first())
    await ending.wait()
    asked.cancel()
    await asyncio.sleep(0)
    end.set()
    with pytest.raises(asyncio.CancelledError):
        await asked


async def test_an_answer_that_nobody_waits_for(mariadb: MysqlServer) -> None:
    """The session ends without it."""
    began = monotonic()
    async with MariadbDriver().open(mariadb.dial()) as session:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.2):
                await session._line.query("select sleep(50)")
        assert session._line.half_read
    assert monotonic() - began < 25
    mariadb.run(f"kill {session._line.thread_id()}")


async def test_partitions_cost_no_statement(shop: tuple[MysqlServer, str]) -> None:
    """A table of a hundred parts is described by as many statements as one without, and is sampled from one of its parts."""
    server, name = shop
    parts, for_parts = await described(server, name, ("parted",))
    _, for_lone = await described(server, name, ("lone",))
    assert for_parts == for_lone
    place = parts["parted"].sample_from
    assert place is not None
    task = SampleTask(0, *place[:2], ("id", "word"), 10, 1, 1, False, ("id",), place.part)
    async with MysqlDriver().open(server.dial(database=name)) as session:
        (sample,) = await session.sample([task])
    assert (sample.failure, sample.rows) == (None, 1)


async def test_bytes_that_are_text_are_read(shop: tuple[MysqlServer, str]) -> None:
    """Of bytes the text that is in them; pictures, places, bits and moments say so, or say why nobody looks."""
    server, name = shop
    server.run(
        f"use {name}",
        """create table kinds (note blob, picture longblob, fixed binary(20), nothing varbinary(9), at datetime(3), bits bit(3),
        place point)""",
        """insert into kinds values ('ann@example.org', x'89504e470d0a1a0a00', 'bob', null, now(), b'101', point(1, 2)),
        (repeat('é', 400), x'ffd8ffe000104a46', 'cy', null, now(), b'1', point(3, 4))""",
    )
    found, _ = await described(server, name, ("kinds",))
    assert list(found["kinds"].kinds) == ["binary"] * 4 + ["told_by_type", "no_text", "no_text"]
    assert list(found["kinds"].sampled) == [True] * 4 + [False] * 3
    columns = tuple(found["kinds"].names[:4])
    async with MysqlDriver().open(server.dial(database=name)) as session:
        (sample,) = await session.sample([SampleTask(0, name, "kinds", columns, 10, 1, 1, False, binary=frozenset(columns))])
    assert (sample.rows, sample.failure, sample.binary) == (2, None, {1})
    assert list(map(list, sample.columns)) == [["ann@example.org", "é" * 100], [], ["bob", "cy"], []]


async def test_a_table_without_a_number_as_its_key_is_read_fairly(shop: tuple[MysqlServer, str]) -> None:
    """Without a key, and with a text as key, a large table gives the same rows again, from more than its start."""
    server, name = shop
    numbers = "select 0 n union select 1 union select 2 union select 3 union select 4 union select 5 union select 6 union select 7"
    server.run(
        f"use {name}",
        "create table worded (w varchar(20) primary key, pad varchar(200))",
        f"""insert into worded select concat('w', lpad(a.n + 8 * b.n + 64 * c.n + 512 * d.n, 5, '0')), repeat('x', 200)
        from ({numbers}) a, ({numbers}) b, ({numbers}) c, ({numbers}) d""",
        "analyze table worded",
    )
    task = SampleTask(0, name, "worded", ("w",), 100, 100, 5, False, ("w",), "", 4096)
    async with MysqlDriver().open(server.dial(database=name)) as session:
        first, again, other = [list((await session.sample([each]))[0].columns[0]) for each in (task, task, task._replace(seed=6))]
    assert first == again != other
    assert len(first) == 100
    assert max(first) > "w02000"


async def test_histograms_are_counts(shop: tuple[MysqlServer, str]) -> None:
    """Where somebody had one made, nulls and distinct values are known; the values of its parts stay at the server."""
    server, name = shop
    kept = {
        "mariadb": "analyze table counted persistent for all",
        "mysql": "analyze table counted update histogram on few, many with 20 buckets",
    }
    numbers = "select 0 n union select 1 union select 2 union select 3 union select 4 union select 5 union select 6 union select 7"
    server.run(
        f"use {name}",
        "create table counted (few varchar(20), many varchar(20))",
        f"""insert into counted select nullif(concat('canary', a.n div 2), 'canary0'), concat('canary', a.n + 8 * b.n)
        from ({numbers}) a, ({numbers}) b""",
        "analyze table counted",
        kept[server.engine],
    )
    found, _ = await described(server, name, ("counted",))
    async with MysqlDriver().open(server.dial("root", database=name)) as session:
        (counted,) = await session.estimates([found["counted"]])
    assert counted["few"].null_share == pytest.approx(0.25)
    assert [round(counted[column].distinct or 0) for column in ("few", "many")] == [3, 64]
    assert (counted["few"].mean_bytes is not None) is (server.engine == "mariadb")
    assert "canary" not in repr(counted)


async def test_a_slow_table_is_given_up_alone(mariadb: MysqlServer) -> None:
    """The server ends what takes too long, and the next table is read."""
    name = f"slow_{secrets.token_hex(4)}"
    made = ("create table one (a int)", "insert into one values (1)", "create view late as select sleep(9) a")
    mariadb.run(f"create database {name}", f"use {name}", *made)
    tasks = [SampleTask(at, name, table, ("a",), 10, 1, 1, False) for at, table in enumerate(("late", "one"))]
    async with MariadbDriver().open(mariadb.dial(database=name, statement_seconds=0.5)) as session:
        samples = await session.sample(tasks)
    mariadb.run(f"drop database {name}")
    assert [sample.failure.code if sample.failure else "" for sample in samples] == ["statement_timeout", ""]


async def test_a_cut_line_is_told(shop: tuple[MysqlServer, str]) -> None:
    """Where the server ends the session meanwhile, the error is ours."""
    server, name = shop
    async with MysqlDriver().open(server.dial(database=name)) as session:
        server.run(f"kill {session._line.thread_id()}")
        with pytest.raises(Failed) as caught:
            await session.sample([SampleTask(0, name, "parent", ("id",), 10, 1, 1, False)])
    assert caught.value.code in ("connection_reset", "cancelled")


@pytest.mark.parametrize("engine", ["mariadb", "mysql"])
async def test_a_server_that_rests_is_not_busy(engine: str, request: pytest.FixtureRequest) -> None:
    """Also one whose scheduler of events waits for the next, which these servers count as a thread at work."""
    server: MysqlServer = request.getfixturevalue(engine)
    before = server.run("select @@global.event_scheduler")[0][0]
    async with MysqlDriver().open(server.dial("root", database="mysql")) as session:
        for scheduler in ("on", "off"):
            server.run(f"set global event_scheduler = {scheduler}")
            assert 0 in [(await session.load()).active for _ in range(20)]  # the thread of who set it may still be ending
    server.run(f"set global event_scheduler = {before}")


@pytest.mark.parametrize("engine", ["mariadb", "mysql"])
async def test_a_server_tells_the_time_of_what_is_always_the_same(
    engine: str, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As it took itself, without the way to us; to a user without any privilege."""
    server: MysqlServer = request.getfixturevalue(engine)
    async with MysqlDriver().open(server.dial("reader", database="")) as session:
        began = perf_counter()
        took = [(await session.load()).statement_seconds or 0.0 for _ in range(5)]
        assert 0 < sum(took) < perf_counter() - began
        monkeypatch.setattr(mysql_facts, "_EASE", mysql_facts._EASE.replace("4000", "80000"))
        longer = [(await session.load()).statement_seconds or 0.0 for _ in range(3)]
        assert min(longer) > 3 * min(took)
        monkeypatch.setattr(mysql_facts, "_EASE", mysql_facts._EASE.replace("sysdate(6)", "now(6)"))
        assert (await session.load()).statement_seconds is None


async def test_rows_that_are_written_in_place_are_seen(mariadb: MysqlServer, mysql: MysqlServer) -> None:
    """By when a small table was last written to, which these servers tell by the second; a large one would be read again for each row."""

    async def work(server: MysqlServer) -> None:
        name = f"told_{secrets.token_hex(4)}"
        fill = ["insert into large values (repeat('x', 200))", *["insert into large select a from large"] * 12]
        server.run(f"create database {name}", f"use {name}", "create table large (a text)", *fill, "analyze table large")
        server.run(f"use {name}", "create table small (a text)", "insert into small values ('x')")
        async with MysqlDriver().open(server.dial("root", database=name)) as session:
            seen = set[int]()
            async with asyncio.timeout(20):
                while len(seen - {0}) < 2:  # while its second lasts nothing is told
                    if seen - {0}:
                        server.run(f"update {name}.small set a = 'y' where a <> 'y'")
                    async with session.snapshot() as snapshot:
                        marks = {mark.table: mark for mark in await snapshot.marks(Scope(schemas=(name,)), compare=False)}
                    seen.add(marks["small"].written)
                    await asyncio.sleep(0.1)
        assert marks["large"].pages > 16
        assert marks["large"].written == 0
        first, second = sorted(seen - {0})
        assert second - first > 1_000_000
        server.run(f"drop database {name}")

    await asyncio.gather(work(mariadb), work(mysql))


async def test_a_role_in_force_counts(mysql: MysqlServer) -> None:
    """What a user may read by a role is readable, and nothing else."""
    mysql.run("create database roled", "create table roled.t (a int)", "grant select on roled.* to seer")
    async with MysqlDriver().open(mysql.dial("player", database="roled")) as session:
        privileges = (await session.probe()).privileges
    mysql.run("drop database roled")
    assert (privileges.tables_visible, privileges.tables_readable, privileges.can_write) == (1, 1, False)
