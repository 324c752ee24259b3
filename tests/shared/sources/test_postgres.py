"""The PostgreSQL driver against the real thing: odd names, folded partitions, samples, and no word of what must not leave."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import asyncpg
import pytest

from shared.contracts.source import Scope
from shared.errors import Failed
from shared.sources import postgres_sample
from shared.sources.base import Dial, SampleTask, TableFacts, task_of
from shared.sources.postgres import PostgresDriver

ODD = 'we.ird/ sch"ema'
SCHEMA = f"""
create schema "{ODD.replace('"', '""')}"; set search_path = "{ODD.replace('"', '""')}";
create type mood as enum ('canary_enum', 'sad');
create table "ta.ble 💾 'x'" ("co.l#1 ""q" text default 'canary_default', "💾" mood default 'canary_enum',
  n int check (n > 424242424), e text check (e <> 'canary_check'), primary key ("co.l#1 ""q"));
comment on column "ta.ble 💾 'x'".e is 'write to canary@example.org';
create table parent (id bigint generated always as identity primary key, mail text unique not null,
  up text generated always as (upper(mail)) stored, blob bytea, low int);
create index on parent (low); create index of_bodies on parent using hash (blob) where low > 424242424;
create unique index spelled on parent (lower(mail), (up || 'canary_index'), low) include (id);
create table child (id int primary key, a bigint references parent (id), b text);
create view v as select * from child where b = 'canary_view';
create materialized view mv as select id, 'canary_mv' as x from child;
create table part (id int, d date, mail text) partition by range (d);
do $$ begin for i in 0..39 loop
  execute format('create table part_%s partition of part for values from (%L) to (%L)', i, date '2020-01-01' + i, date '2020-01-02' + i);
end loop; end $$;
create table {"x" * 63} (a text);
create table no_columns ();
create table dropped_column (a int, b int, c int); alter table dropped_column drop column b;
alter table child enable row level security;
"""


@pytest.fixture
async def shop(fresh_database_url: str) -> str:
    """A database with every oddity."""
    connection = await asyncpg.connect(fresh_database_url)
    await connection.execute(SCHEMA)
    await connection.close()
    return fresh_database_url


async def described(dial: Dial, scope: Scope = Scope()) -> dict[str, TableFacts]:  # noqa: B008 - frozen
    """Every table's facts by name."""
    found = {}
    async with PostgresDriver().open(dial) as session, session.snapshot() as snapshot:
        async for chunk in snapshot.describe(await snapshot.marks(scope, compare=True)):
            found |= {facts.mark.table: facts for facts in chunk}
    return found


async def test_facts_of_a_whole_database(shop: str, dialled: Callable[..., Dial]) -> None:
    """Names come back unchanged, partitions are folded into their parent, keys, flags and references are told."""
    found = await described(dialled(shop))
    assert set(found) == {"ta.ble 💾 'x'", "parent", "child", "v", "mv", "part", "x" * 63, "no_columns", "dropped_column"}
    parent, child, part = found["parent"], found["child"], found["part"]
    assert parent.mark.schema == ODD
    assert (parent.names, parent.types[1]) == (["id", "mail", "up", "blob", "low"], "text")
    assert parent.generated == [True, False, True, False, False]
    assert parent.nullable == [False, False, True, True, True]
    assert (parent.primary_key, parent.unique, parent.indexed) == (frozenset({1}), frozenset({1, 2}), frozenset({1, 2, 4, 5}))
    assert (list(parent.sampled), list(parent.kinds)) == ([True] * 5, ["", "", "", "binary", ""])
    assert list(parent.textual) == [False, True, True, False, False]
    assert [tuple(index) for index in parent.indexes] == [
        ("of_bodies", ("blob",), False, "hash", "", "(low > ?)"),
        ("parent_low_idx", ("low",), False, "", "", ""),
        ("spelled", ("low",), True, "", "lower(mail), (up || ?::text)", ""),
    ]
    assert child.indexes == ()
    assert [(key.kind, key.target, key.target_columns) for key in child.keys if key.kind == "foreign_key"] == [
        ("foreign_key", (ODD, "parent"), ("id",))
    ]
    assert child.row_security
    assert (part.mark.kind, part.mark.partitions) == ("partitioned_table", 40)
    assert (found["v"].mark.kind, found["v"].depends_on) == ("view", [(ODD, "child")])
    assert found["dropped_column"].positions == [1, 3]


async def test_types_are_spelled_as_the_server_does(fresh_database_url: str, dialled: Callable[..., Dial]) -> None:
    """Modifiers of every kind, domains, arrays and row types; what is looked at goes by what a type is made of."""
    connection = await asyncpg.connect(fresh_database_url)
    await connection.execute("""create type pair as (a int, b text); create type mood as enum ('a'); create domain mail as varchar(99);
        create domain price as numeric(9, 2); create domain blob as bytea; create domain words as text[]; create domain moments as date[];
        create domain picture as blob; create domain portrait as picture; create domain tongues as mail[]; create domain spoken as tongues;
        create table plain (a numeric(10, -2), b interval day to second(3), c varchar(10485760), d bit(3), e timestamptz(0), f mail);
        create table rare (a price, b blob, c mood[], d pair[], e pair, f uuid[], g int4range, h mail[], i numeric(10, 2)[],
          j words, k moments, l portrait, m spoken, n portrait[], o point, p name)""")
    await connection.execute("set search_path = pg_catalog")
    spelled = """select array_agg(format_type(atttypid, atttypmod) order by attnum) from pg_attribute
        where attrelid = ('public.' || $1)::regclass and attnum > 0"""
    told = {name: await connection.fetchval(spelled, name) for name in ("plain", "rare")}
    await connection.close()
    found = await described(dialled(fresh_database_url))
    assert {name: list(facts.types) for name, facts in found.items()} == told
    assert list(found["plain"].sampled) == list(map(bool, (1, 0, 1, 0, 0, 1)))
    assert list(found["plain"].textual) == list(map(bool, (0, 0, 1, 0, 0, 1)))
    assert list(found["rare"].sampled) == list(map(bool, (1, 1, 1, 1, 1, 0, 1, 1, 1, 1, 0, 1, 1, 0, 1, 1)))
    assert list(found["plain"].kinds) == ["", "told_by_type", "", "no_text", "told_by_type", ""]
    assert list(found["rare"].kinds) == [
        "",
        "binary",
        "",
        "",
        "",
        "told_by_type",
        "",
        "",
        "",
        "",
        "told_by_type",
        "binary",
        "",
        "no_text",
        "",
        "",
    ]


MANY_KINDS = """create type who as (id int, mail text); create domain bare as bytea; create domain raw as bare;
create table kinds (note bytea, picture bytea, packed raw, period daterange, several int4multirange, one who, group_ who[],
  found tsvector, place point, price money, days int[], blobs bytea[], bits bit varying, shape polygon, flags bool[], empty bytea);
insert into kinds select convert_to('ann' || g || '@example.org', 'utf8'), '\\x89504e470d0a1a0a00'::bytea || int4send(g),
  convert_to(repeat('é', 400), 'utf8'), daterange('2020-01-01', '2020-02-01'), '{[1,3),[5,9)}', row(g, 'bob' || g || '@example.org')::who,
  array[row(g, 'cy' || g || '@example.org')]::who[],
  to_tsvector('simple', 'to fay@example.org'), point(52.5, 13.4), 12.5::money, array[g], array['\\x00'::bytea], '101', '((0,0),(1,1))',
  array[true], null
from generate_series(1, 4) g"""


async def test_values_of_every_kind(fresh_database_url: str, dialled: Callable[..., Dial]) -> None:
    """Ranges, rows, lists, documents, places and bytes that are text are read, cut at the server; what is no text says so, or says why."""
    connection = await asyncpg.connect(fresh_database_url)
    await connection.execute(MANY_KINDS)
    await connection.close()
    facts = (await described(dialled(fresh_database_url)))["kinds"]
    left = {name: kind for name, kind in zip(facts.names, facts.kinds, strict=True) if kind}
    assert left == {
        **{"note": "binary", "picture": "binary", "packed": "binary", "empty": "binary"},
        **{"blobs": "no_text", "bits": "no_text", "shape": "no_text", "flags": "told_by_type"},
    }
    sampled = [(name, type_) for name, type_, kind in zip(facts.names, facts.types, facts.kinds, strict=True) if kind in ("", "binary")]
    names, types = zip(*sampled, strict=True)
    binary = frozenset(name for name, kind in left.items() if kind == "binary")
    async with PostgresDriver().open(dialled(fresh_database_url)) as session:
        (sample,) = await session.sample([task("kinds", *names, types=types, binary=binary)])
    assert (sample.rows, sample.failure, sample.binary) == (4, None, {names.index("picture")})
    first = {name: values[0] if values else None for name, values in zip(names, sample.columns, strict=True)}
    assert first == {
        **{"note": "ann1@example.org", "picture": None, "packed": "é" * 100, "period": "[2020-01-01,2020-02-01)", "empty": None},
        **{"several": "{[1,3),[5,9)}", "one": "(1,bob1@example.org)", "group_": "(1,cy1@example.org)"},
        **{"found": "'fay@example.org':2 'to':1", "place": "(52.5,13.4)", "days": "1"},
        "price": "$12.50",
    }


NO_ENCODING = """create table "straße" (a text, "größe" text); create table cut (a text); insert into cut values (repeat('x', 199) || 'éz');
do $$ begin execute E'insert into "straße" values (''M\\xfcller'', ''Grün''), (''ann@example.org'', ''\\x01\\xff'')';
execute E'comment on table cut is ''f\\xfcr alle''; create table "f\\xfcr" (a text default ''M\\xfcller'')';
execute E'create table mixed (a text, "n\\xfcm" text, b bytea); insert into mixed values (''a'', ''b'', ''Łódź'')'; end $$;
analyze "straße";"""


async def test_a_database_without_an_encoding(fresh_database_url: str, dialled: Callable[..., Dial]) -> None:
    """Bytes that nobody vouches for are read as what they look like, and stop no scan; a table that is called by them is told, not read."""
    name = f"ascii_{secrets.token_hex(4)}"
    dial = replace(dialled(fresh_database_url), database=name)
    owner = await asyncpg.connect(fresh_database_url)
    await owner.execute(f"create database {name} template template0 encoding 'SQL_ASCII' locale_provider libc locale 'C'")
    try:
        connection = await asyncpg.connect(fresh_database_url, database=name)
        await connection.execute(NO_ENCODING)
        await connection.close()
        found = await described(dial)
        assert {table: (list(facts.names), facts.comment) for table, facts in found.items()} == {
            "straße": (["a", "größe"], ""),
            "cut": (["a"], "für alle"),
            "für": (["a"], ""),
            "mixed": (["a", "nüm", "b"], ""),
        }
        assert set(await described(dial, Scope(tables=("public.straße",)))) == {"straße"}
        async with PostgresDriver().open(dial) as session:
            samples = await session.sample([task_of(facts, rows=10, seed=1, place=None) for _, facts in sorted(found.items())])
            (estimates,) = await session.estimates([found["straße"]])
        assert set(estimates) == {"a", "größe"}
        assert [each.failure.code if each.failure else list(map(list, each.columns)) for each in samples] == [
            [["x" * 199]],
            "gone",
            [["a"], ["Łódź"]],
            [["Müller", "ann@example.org"], ["Grün", "\x01ÿ"]],
        ]
    finally:
        await owner.execute(f"drop database {name} with (force)")
        await owner.close()


@pytest.mark.extended
async def test_a_thousand_partitions_cost_as_much_as_one_table(fresh_database_url: str, dialled: Callable[..., Dial]) -> None:
    """One asset, the same number of statements, and one of its parts is read."""
    made = """create table {0} (id int, mail text) partition by range (id); do $$ begin for i in 1..{1} loop
        execute format('create table {0}_%s partition of {0} for values from (%s) to (%s)', i, i, i + 1); end loop; end $$;
        insert into {0} select g, 'ann@example.org' from generate_series(1, {1}) g; analyze {0}"""
    connection = await asyncpg.connect(fresh_database_url)
    statements = {}
    for name, parts in (("few", 1), ("many", 1_000)):
        await connection.execute(made.format(name, parts))
        async with PostgresDriver().open(dialled(fresh_database_url)) as session:
            async with session.snapshot() as snapshot:
                marks = await snapshot.marks(Scope(tables=(f"public.{name}",)), compare=True)
                (facts,) = [each async for chunk in snapshot.describe(marks) for each in chunk]
            (sample,) = await session.sample([task_of(facts, rows=10, seed=1, place=facts.sample_from)])
            statements[name] = session.statements
        assert (facts.mark.partitions, facts.mark.rows, sample.rows) == (parts, parts, 1)
    await connection.close()
    assert statements["few"] == statements["many"]


async def test_no_literal_leaves(shop: str, dialled: Callable[..., Dial]) -> None:
    """Literals of defaults, checks, enum labels, view bodies, and private values in comments stay at the server."""
    told = repr(await described(dialled(shop)))
    assert "canary" not in told
    assert "424242424" not in told


async def test_scope_is_the_scope(shop: str, dialled: Callable[..., Dial]) -> None:
    """A request for one table looks at one table."""
    assert set(await described(dialled(shop), Scope(tables=(f"{ODD}.child",)))) == {"child"}
    assert await described(dialled(shop), Scope(exclude_schemas=(ODD,))) == {}


async def test_a_mark_changes_with_the_structure_only(shop: str, dialled: Callable[..., Dial]) -> None:
    """Data leaves every mark as it is; a comment, a default, an index, a view's body each change their own table's."""
    before = {name: facts.mark.mark for name, facts in (await described(dialled(shop))).items()}
    connection = await asyncpg.connect(shop)
    await connection.execute(f"""set search_path = "{ODD.replace('"', '""')}"; insert into parent (mail) values ('a@b.org');
        comment on column child.b is 'why'; alter table part alter mail set default 'x'; create index on dropped_column (c);
        create or replace view v as select * from child where b = 'other'; analyze parent;
        alter index parent_low_idx rename to low_one""")
    await connection.close()
    after = {name: facts.mark.mark for name, facts in (await described(dialled(shop))).items()}
    assert {name for name in before if before[name] != after[name]} == {"child", "part", "dropped_column", "v", "parent"}


async def test_a_session_cannot_write(shop: str, dialled: Callable[..., Dial]) -> None:
    """Inside a session a write is refused by the server, superuser or not."""
    async with PostgresDriver().open(dialled(shop)) as session, session._reading("read_committed"):
        with pytest.raises(asyncpg.ReadOnlySQLTransactionError):
            await session._connection.execute("create table x ()")


async def test_what_a_role_may_not_read_is_told_with_the_remedy(shop: str, dialled: Callable[..., Dial]) -> None:
    """Missing privileges come as statements that an owner can run, and running them is enough."""
    connection = await asyncpg.connect(shop)
    await connection.execute("drop role if exists reader; create role reader login password 'pw'")
    dial = dialled(shop, username="reader", password="pw")
    async with PostgresDriver().open(dial) as session:
        privileges = (await session.probe()).privileges
    assert (privileges.role, privileges.tables_visible, privileges.tables_readable, privileges.can_write) == ("reader", 9, 0, False)
    for statement in privileges.missing:
        await connection.execute(statement)
    async with PostgresDriver().open(dial) as session:
        probe = await session.probe()
    assert (probe.privileges.tables_readable, probe.privileges.missing, probe.posture.read_only_role) == (9, (), True)
    await connection.execute("drop owned by reader; drop role reader")
    await connection.close()


def task(table: str, *columns: str, **more: Any) -> SampleTask:
    """A task for the table `public.table`."""
    return SampleTask(
        **{"token": 0, "schema": "public", "table": table, "columns": columns, "rows": 50, "pages": 1, "seed": 7, "plain": False} | more
    )


async def test_samples_survive_any_value(fresh_database_url: str, dialled: Callable[..., Dial]) -> None:
    """Nulls, the separator itself, line ends, emoji, quotes, huge documents: each value is one value."""
    connection = await asyncpg.connect(fresh_database_url)
    await connection.execute("create table t (a text, b text, c jsonb, d text)")
    odd = ["x\x1fy", "line\nend", "💾", 'o\'brien "q" \\', "", None]
    huge = '{"a": "' + "z" * 100_000 + '"}'
    await connection.executemany("insert into t values ($1, null, $2, $3)", [(value, huge, "w" * 500) for value in odd])
    async with PostgresDriver().open(dialled(fresh_database_url)) as session:
        (sample,) = await session.sample([task("t", "a", "b", "c", "d")])
    await connection.close()
    assert (sample.rows, sample.failure) == (6, None)
    assert list(sample.columns[0]) == [value for value in odd if value is not None]
    assert list(sample.columns[1]) == []
    assert {len(value) for value in sample.columns[2]} <= {0, 200}
    assert {len(value) for value in sample.columns[3]} == {200}


async def test_what_is_known_of_types_changes_no_value(fresh_database_url: str, dialled: Callable[..., Dial]) -> None:
    """The server weighs less where types are known; huge documents stay packed, of a list one item is read."""
    connection = await asyncpg.connect(fresh_database_url)
    await connection.execute(
        """create table t (a text, b varchar(9), c jsonb, d numeric(12,2), e numeric, f date, g uuid, h timestamptz, i text[], j text);
        insert into t select 'x' || n, case when n > 3 then e'y\x1fy' end, '{"k": 1}', n, n, '2001-02-03', md5(n::text)::uuid,
        '2001-02-03', array['one'], repeat('w', 100000) from generate_series(1, 9) n; update t set f = null where a = 'x1';
        update t
        set c = jsonb_build_object('k', (select string_agg(md5(n::text), '') from generate_series(1, 9000) n)) where a = 'x2'"""
    )
    columns = "abcdefghj"
    async with PostgresDriver().open(dialled(fresh_database_url)) as session, session.snapshot() as snapshot:
        marks = await snapshot.marks(Scope(schemas=("public",)), compare=False)
        ((facts,),) = [chunk async for chunk in snapshot.describe(marks)]
    known = dict(zip(facts.names, facts.types, strict=True))
    async with PostgresDriver().open(dialled(fresh_database_url)) as session:
        blind, typed, listed = await session.sample(
            [
                task("t", *columns[:-1]),
                task("t", *columns, types=tuple(map(known.__getitem__, columns))),
                task("t", "i", types=(known["i"],)),
            ]
        )
    await connection.close()
    assert typed.columns[:-1] == blind.columns
    assert typed.columns[2].count("") == 1
    assert typed.columns[-1] == ["w" * 200] * 9
    assert listed.columns == [["one"] * 9]


async def test_one_bad_table_does_not_spoil_the_others(fresh_database_url: str, dialled: Callable[..., Dial]) -> None:
    """A table that went away, one that may not be read, one that takes too long: each fails alone, with its reason."""
    connection = await asyncpg.connect(fresh_database_url)
    await connection.execute(
        """drop role if exists peeker; create role peeker login password 'pw';
        create function slow(int) returns int language sql volatile as 'select pg_sleep(5)::text::int';
        create table good (a text); insert into good values ('x'); create table secret (a text); create table huge (a int);
        insert into huge values (1); create view late as select slow(a) as a from huge; grant select on good, late, huge to peeker"""
    )
    dial = dialled(fresh_database_url, username="peeker", password="pw", statement_seconds=0.5)
    tasks = [task(name, "a", token=at) for at, name in enumerate(("good", "dropped", "secret", "late"))]
    async with PostgresDriver().open(dial) as session:
        samples = await session.sample(tasks)
    await connection.execute("drop owned by peeker; drop role peeker")
    await connection.close()
    reasons = {tasks[sample.token].table: sample.failure.code if sample.failure else "" for sample in samples}
    assert reasons == {"good": "", "dropped": "gone", "secret": "no_privilege", "late": "statement_timeout"}


async def test_work_is_seen_by_who_may_not_look_into_sessions(fresh_database_url: str, dialled: Callable[..., Dial]) -> None:
    """Not who works now, but how many did since the last look."""
    admin = await asyncpg.connect(fresh_database_url)
    await admin.execute("drop role if exists glancer; create role glancer login password 'pw'")
    others = [await asyncpg.connect(fresh_database_url) for _ in range(8)]
    async with PostgresDriver().open(dialled(fresh_database_url, username="glancer", password="pw")) as session:
        assert (await session.load())[:1] == (None,)
        await asyncio.gather(*(each.execute("select pg_sleep(0.5), pg_stat_force_next_flush()") for each in others))
        for each in others:
            await each.close()
        found = await session.load()
    await admin.execute("drop owned by glancer; drop role glancer")
    await admin.close()
    assert (found.mean_active or 0) >= 1


async def test_the_same_table_gives_the_same_sample(fresh_database_url: str, dialled: Callable[..., Dial]) -> None:
    """Large tables are read by blocks that the seed chooses: equal again, different for another seed, not only the start."""
    connection = await asyncpg.connect(fresh_database_url)
    await connection.execute("create table big as select g as n, repeat('x', 300) as pad from generate_series(1, 60000) g; analyze big")
    pages = await connection.fetchval("select relpages from pg_class where relname = 'big'")
    await connection.close()
    async with PostgresDriver().open(dialled(fresh_database_url)) as session:
        first, again, other = [(await session.sample([task("big", "n", pages=pages, seed=seed)]))[0].columns[0] for seed in (1, 1, 2)]
    assert first == again != other
    assert max(map(int, first)) > 10_000


async def test_a_dead_line_is_told(fresh_database_url: str, dialled: Callable[..., Dial]) -> None:
    """Where the server cuts the line meanwhile, the error is ours."""
    async with PostgresDriver().open(dialled(fresh_database_url)) as session:
        pid = await session._connection.fetchval("select pg_backend_pid()")
        connection = await asyncpg.connect(fresh_database_url)
        await connection.execute("select pg_terminate_backend($1)", pid)
        await connection.close()
        with pytest.raises(Failed) as caught:
            await session.sample([task("x", "a")])
    assert caught.value.code in ("shutting_down", "connection_reset")


def test_names_are_quoted() -> None:
    """No name can end its quotes."""
    assert postgres_sample.quoted('a"; drop table x; --') == '"a""; drop table x; --"'
    with pytest.raises(ValueError, match="NUL"):
        postgres_sample.quoted("a\0b")
