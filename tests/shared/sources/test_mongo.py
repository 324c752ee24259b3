"""What speaks MongoDB's wire: whom we read from, what is inferred, what is refused, and that no value is told."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterator
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any
from unittest.mock import AsyncMock

import pytest
from bson import Binary, Decimal128, Int64, ObjectId
from dns import asyncresolver, message, rrset
from hypothesis import given
from hypothesis import strategies as st

from shared.contracts.source import DataSource, ReplicaConfig, Scope
from shared.egress import EgressPolicy, guarded
from shared.errors import Failed, PurSightError
from shared.local.ports import free_ports
from shared.sources import mongo_facts
from shared.sources.base import Dial, SampleTask, TableFacts
from shared.sources.mongo import MongoDriver
from shared.sources.mongo_knock import seeds_of
from shared.sources.mongo_sample import between
from tests.mongo_server import PASSWORD, SET, MongoServer

CANARY = "canary7f31b"


@pytest.fixture
def shop(mongo: MongoServer) -> Iterator[str]:
    """A database of this test's own with one collection, and a user who may read all of it."""
    name = f"shop_{ObjectId()}"
    mongo.admin[name].people.insert_many([{"_id": n, "mail": f"user{n}@example.org"} for n in range(5)])
    mongo.user(name, database=name)
    yield name
    mongo.test("forget", user=name)
    mongo.admin.drop_database(name)


async def _code(dial: Dial) -> str:
    with pytest.raises(PurSightError) as refused:
        async with MongoDriver().open(dial):
            pass
    assert PASSWORD not in f"{refused.value!r} {refused.value} {refused.value.__cause__!r}"
    return refused.value.code


async def _facts(dial: Dial) -> dict[str, TableFacts]:
    driver = MongoDriver()
    async with driver.open(dial) as session, session.snapshot() as snapshot:
        marks = await snapshot.marks(driver.whole(dial.database, Scope()), compare=False)
        return {facts.mark.table: facts async for chunk in snapshot.describe(marks) for facts in chunk}


async def test_fields_types_and_lists_are_inferred(mongo: MongoServer, shop: str) -> None:
    """Nested paths, lists, several types, what is always there; ids of every kind are entered at places."""
    documents = [
        {
            "_id": ObjectId(),
            "n": Int64(n) if n % 2 else str(n),
            "to": {"city": f"Kiel {n}", "at": datetime.now(UTC)},
            "items": [{"sku": "a"}, {"sku": None, "price": Decimal128("1.5")}],
            "raw": Binary(b"\xff\x00"),
            "note": b"ann@example.org",
            **({"seldom": True} if n == 3 else {}),
        }
        for n in range(100)
    ]
    mongo.admin[shop].orders.insert_many(documents)
    mongo.admin[shop].orders.create_index([("to.city", 1), ("items.sku", 1)], unique=True)
    mongo.admin[shop].orders.create_index([("to.at", -1), ("gone", 1)], name="recent", partialFilterExpression={"n": CANARY})
    facts = (await _facts(mongo.dial(shop, shop)))["orders"]
    assert [tuple(index) for index in facts.indexes] == [("recent", ("to.at", "gone"), False, "", "", '{"n": "?"}')]
    assert dict(zip(facts.names, facts.types, strict=True)) == {
        "_id": "objectId",
        "n": "long | string",
        "to.city": "string",
        "to.at": "date",
        "items[].sku": "string",
        "items[].price": "decimal",
        "raw": "binData",
        "note": "binData",
        "seldom": "bool",
    }
    assert [name for name, nullable in zip(facts.names, facts.nullable, strict=True) if not nullable] == [
        "_id",
        "n",
        "to.city",
        "to.at",
        "raw",
        "note",
    ]
    assert [key.columns for key in facts.keys] == [("_id",), ("to.city", "items[].sku")]
    shares = {name: each.null_share for name, each in facts.estimates.items()}
    async with MongoDriver().open(mongo.dial(shop, shop)) as session:
        (sample,) = await session.sample([SampleTask(0, shop, "orders", ("raw", "note"), 10, 1, 1, False)])
    assert (sample.rows, list(map(list, sample.columns)), sample.binary) == (10, [[], ["ann@example.org"] * 10], {0})
    assert (shares["n"], shares["items[].sku"], round(shares["seldom"] or 0, 2)) == (0, 0, 0.99)


async def test_depth_and_width_have_a_limit(mongo: MongoServer, shop: str) -> None:
    """50 levels are one column at the eighth, whose text is looked at; of 1,600 fields 1,000 are told, and how many are not."""
    deep: dict[str, Any] = {"mail": CANARY}
    for _ in range(50):
        deep = {"b": deep}
    mongo.admin[shop].deep.insert_one({"_id": 1, **deep, "list": [[[{"a": 1}]]]})
    mongo.admin[shop].wide.insert_one({"_id": 1, **{f"f{n}x": n for n in range(1_600)}})
    found = await _facts(mongo.dial(shop, shop))
    assert dict(zip(found["deep"].names, found["deep"].types, strict=True)) == {
        "_id": "int",
        "b" + ".b" * 7: "object",
        "list[][][].a": "int",
    }
    assert CANARY not in repr(found)
    assert (len(found["wide"].names), found["wide"].comment) == (1_000, "601 further fields are not told")
    async with MongoDriver().open(mongo.dial(shop, shop)) as session:
        (sample,) = await session.sample([SampleTask(0, shop, "deep", ("b" + ".b" * 7,), 10, 1, 1, plain=False)])
    assert [len(value) for value in sample.columns[0]] == [200]


async def test_reads_go_to_who_is_least_behind(mongo: MongoServer, shop: str) -> None:
    """Within the limit; who lags more is not read from, and where nobody is left that the preference allows, that is told."""
    try:
        mongo.test("lag", member=1, seconds=20)
        mongo.test("lag", member=2, seconds=5)
        asked = {("secondary_preferred", 30.0): 5.0, ("secondary", 10.0): 5.0, ("secondary_preferred", 1.0): None, ("primary", 30.0): None}
        for (preference, most), lag in asked.items():
            replicas = ReplicaConfig(replica_set=SET, read_preference=preference, max_lag_seconds=most)
            async with MongoDriver().open(mongo.dial(shop, shop, spec=mongo.spec(shop, replica_config=replicas))) as session:
                server = (await session.probe()).server
            assert server.is_replica is (lag is not None)
            assert lag is None or abs((server.replica_lag_seconds or 0.0) - lag) < 1.0
        late = mongo.spec(shop, replica_config=ReplicaConfig(replica_set=SET, read_preference="secondary", max_lag_seconds=1.0))
        assert await _code(mongo.dial(shop, shop, spec=late, connect_seconds=1.0)) == "no_member"
    finally:
        mongo.test("lag", member=1, seconds=0)
        mongo.test("lag", member=2, seconds=0)


async def test_a_session_is_one_session_at_the_server(mongo: MongoServer, shop: str) -> None:
    """The seat that is taken for it is all that it opens, however large the pool, and whatever it does at once."""
    for n in range(30):
        mongo.admin[shop][f"c{n}"].insert_one({"n": n})
    spec, seen, over = mongo.spec(shop, pool_size=8), set[int](), asyncio.Event()

    async def watch() -> None:
        while not over.is_set():
            seen.add(await asyncio.to_thread(mongo.lines, shop))

    async with MongoDriver().open(mongo.dial(shop, shop, spec=spec)) as session, session.snapshot() as snapshot:
        watching = asyncio.create_task(watch())
        marks = await snapshot.marks(Scope(schemas=(shop,)), compare=True)
        asked = [SampleTask(n, shop, f"c{n}", ("n",), 1, 1, 0, plain=False) for n in range(30)]
        await asyncio.gather(session.sample(asked[:15]), session.sample(asked[15:]), session.standing())
        over.set()
        await watching
    assert (len(marks), seen) == (31, {1})


async def test_a_session_outlives_its_member(mongo: MongoServer, shop: str) -> None:
    """The first of the seeds is down at first; then the one that was read from goes away: the next read goes to another."""
    spec = mongo.spec(shop)
    dial = mongo.dial(shop, shop, spec=spec, port=free_ports(1)[0])  # nobody listens at the source's own address
    async with MongoDriver().open(dial) as session, session.snapshot() as snapshot:
        mongo.test("lag", member=1, seconds=3)
        mongo.test("down", member=2)
        try:
            marks = await snapshot.marks(MongoDriver().whole(shop, Scope()), compare=True)
        finally:
            mongo.test("up", member=2)
            mongo.test("lag", member=1, seconds=0)
        assert [mark.table for mark in marks] == ["people"]


@pytest.mark.parametrize(("preference", "outcome"), [("secondary_preferred", "people"), ("nearest", "people"), ("secondary", "no_member")])
async def test_both_secondaries_go_at_once(mongo: MongoServer, shop: str, preference: str, outcome: str) -> None:
    """The primary is read where the preference lets it; where not, what is told is that nobody is left, not how a line ended."""
    spec = mongo.spec(shop, replica_config=ReplicaConfig(replica_set=SET, read_preference=preference, max_lag_seconds=60.0))
    async with MongoDriver().open(mongo.dial(shop, shop, spec=spec, connect_seconds=1.0)) as session, session.snapshot() as snapshot:
        mongo.test("down", member=1)
        mongo.test("down", member=2)
        try:
            found = [mark.table for mark in await snapshot.marks(MongoDriver().whole(shop, Scope()), compare=True)]
        except Failed as error:
            found = [error.code]
        finally:
            mongo.test("up", member=1)
            mongo.test("up", member=2)
    assert found == [outcome]


async def test_what_is_wrong_has_a_code(mongo: MongoServer, shop: str) -> None:
    """Beside what the conformance suite asks: a database that is not there, another set, something else that listens, one who hangs up."""
    anywhere = mongo.user(f"any_{shop}")
    mongo.test("grant", user=anywhere, database="", collection="", actions=["find", "listCollections"])
    assert await _code(mongo.dial(anywhere, "nowhere")) == "no_such_database"
    other = mongo.spec(shop, replica_config=ReplicaConfig(replica_set="other"))
    assert await _code(mongo.dial(shop, shop, spec=other)) == "wrong_replica_set"

    async def speak(words: bytes, **more: Any) -> str:
        async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.read(1)
            writer.write(words)
            writer.close()

        async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
            port = server.sockets[0].getsockname()[1]
            spec = DataSource(name="x", engine="mongodb", host="127.0.0.1", port=port, database="x")
            return await _code(
                Dial("127.0.0.1", port, "x", "x", "pw", **{"tls_mode": "disable", "spec": spec, "connect_seconds": 2.0} | more)
            )

    assert await speak(b"HTTP/1.1 400 Bad Request\r\n\r\n") == "not_mongodb"
    assert await speak(b"\x20\x00\x00\x00" + b"\0" * 8 + b"\xdd\x07\0\0" + b"\xff" * 16) == "not_mongodb"
    assert await speak(b"") == "tls_required"
    assert await speak(b"no handshake", tls_mode="verify-full") == "tls_not_offered"


async def test_without_tls_settings_the_line_is_encrypted_where_it_can_be(mongo: MongoServer, shop: str) -> None:
    """`prefer` encrypts to whoever answers, and says that nobody is proven."""
    async with MongoDriver().open(mongo.dial(shop, shop, tls_mode="prefer", ca="")) as session:
        found = await session.probe()
    assert found.server.tls_version
    assert {warning.code for warning in found.warnings} >= {"tls_unverified"}
    assert not found.posture.tls_verified


async def test_who_may_write_is_told(mongo: MongoServer, shop: str) -> None:
    """A role that could write is a warning and a posture fact; what cannot be read comes with the statement that grants it."""
    mongo.test("grant", user=shop, database=shop, collection="people", actions=["insert"])
    mongo.user(f"half_{shop}", database=shop, actions=("listCollections",))
    async with MongoDriver().open(mongo.dial(shop, shop)) as session:
        found = await session.probe()
    assert (found.privileges.can_write, found.posture.read_only_role) == (True, False)
    async with MongoDriver().open(mongo.dial(f"half_{shop}", shop)) as session:
        half = (await session.probe()).privileges
    assert (half.tables_visible, half.tables_readable, len(half.missing)) == (1, 0, 1)


async def test_the_time_of_an_answer_is_told(mongo: MongoServer, shop: str) -> None:
    """Ours, where the server, as that of the tests, tells no time of its own operations."""
    async with MongoDriver().open(mongo.dial(shop, shop)) as session:
        found = await session.load()
    assert found.statement_seconds is None
    assert 0 < (found.request_seconds or 0) < 10


async def test_a_server_that_tells_its_own_time_is_believed() -> None:
    """In the form that MongoDB's reference gives: the mean of the quickest kind of operation since the last look."""
    line: Any = SimpleNamespace(lag=lambda: None)
    status = [{kind: {"latency": Int64(took), "ops": Int64(ops)} for kind, (took, ops) in look.items()} for look in LATENCIES]
    line.run = AsyncMock(side_effect=[{"opLatencies": each} for each in status])
    found, before = await mongo_facts.load(line, {})
    assert (found.statement_seconds, found.request_seconds) == (None, None)
    found, before = await mongo_facts.load(line, before)
    assert (found.statement_seconds, found.request_seconds) == (0.002, None)
    found, before = await mongo_facts.load(line, before)
    assert found.statement_seconds is None  # nothing was asked meanwhile


LATENCIES: list[dict[str, tuple[int, int]]] = [
    {"reads": (1_000, 10), "writes": (500, 5), "commands": (0, 0)},
    {"reads": (901_000, 20), "writes": (500, 5), "commands": (4_000, 2)},
    {"reads": (901_000, 20), "writes": (500, 5), "commands": (4_000, 2)},
]


def test_every_member_is_guarded(mongo: MongoServer, guarded_run: Callable[[Coroutine[Any, Any, Any]], Any]) -> None:
    """The first host, and every one that a server itself names, are asked about before they are dialled."""

    async def dial(policy: EgressPolicy) -> str:
        with guarded(policy):
            return await _code(mongo.dial("nobody", "x", connect_seconds=1.0))

    assert guarded_run(dial(EgressPolicy(local=False))) == "egress_denied"
    first_only = EgressPolicy(local=True, own_ports=frozenset(mongo.ports[1:]))
    assert guarded_run(dial(first_only)) in ("wrong_password", "no_member")  # the others are never dialled


async def test_the_secondary_of_a_hybrid_set_is_a_member_like_others() -> None:
    """It is knocked at where the host does not answer; without a set, the connector dials each end by itself."""
    replicas = ReplicaConfig(replica_set="rs", secondary="b:2", replica_members=("c", "b:2"))
    spec = DataSource(name="x", engine="mongodb", location="hybrid", host="a", database="x", replica_config=replicas)
    assert await seeds_of(Dial("a", 1, "x", "x", spec=spec)) == (("a", 1), ("b", 2), ("c", 27017))
    watched = spec.model_copy(update={"replica_config": ReplicaConfig(secondary="b:2")})
    assert await seeds_of(Dial("a", 1, "x", "x", spec=watched)) == (("a", 1),)


class Resolver(asyncio.DatagramProtocol):
    """A DNS server of one seed list."""

    def __init__(self, targets: tuple[str, ...]) -> None:
        self._targets = targets

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        asked = message.from_wire(data)
        answer = message.make_response(asked)
        if str(asked.question[0].name).startswith("_mongodb._tcp.set."):
            answer.answer.append(
                rrset.from_text(asked.question[0].name, 60, "IN", "SRV", *(f"0 0 27017 {each}." for each in self._targets))
            )
        self._transport.sendto(answer.to_wire(), addr)  # type: ignore[attr-defined]


async def test_a_seed_list_stays_in_its_domain(mongo: MongoServer) -> None:
    """`srv`: the members of the DNS list; a list that names another domain's servers is refused."""

    async def seeds(host: str, *targets: str) -> object:
        loop = asyncio.get_running_loop()
        transport, _ = await loop.create_datagram_endpoint(lambda: Resolver(targets), local_addr=("127.0.0.1", 0))
        resolver = asyncresolver.Resolver(configure=False)
        resolver.nameservers, resolver.port = ["127.0.0.1"], transport.get_extra_info("sockname")[1]
        spec = DataSource(name="x", engine="mongodb", host=host, database="x", srv=True)
        try:
            return await seeds_of(Dial(host, 27017, "x", "x", spec=spec), resolver)
        except Failed as error:
            return error.code
        finally:
            transport.close()

    assert await seeds("set.db.example.org", "a.db.example.org", "b.db.example.org") == (
        ("a.db.example.org", 27017),
        ("b.db.example.org", 27017),
    )
    assert await seeds("set.db.example.org", "a.db.example.org", "db.evil.example") == "seed_list_refused"
    assert await seeds("set.org", "a.org") == "seed_list_refused"
    assert await seeds("other.db.example.org", "a.db.example.org") == "seed_list_missing"


_IDS = st.one_of(
    st.tuples(st.integers(), st.integers()),
    st.tuples(st.text(), st.text()),
    st.tuples(st.binary(min_size=12, max_size=12).map(ObjectId), st.binary(min_size=12, max_size=12).map(ObjectId)),
    st.tuples(st.datetimes(), st.datetimes()),
    st.tuples(st.none(), st.integers()),
)


@given(_IDS, st.floats(0, 1, exclude_max=True))
def test_places_lie_between_both_ends(ends: tuple[Any, Any], die: float) -> None:
    """Whatever kind of thing an `_id` is: in order, and none outside; where nothing can be put between, none."""
    low, high = sorted(ends) if type(ends[0]) is type(ends[1]) else ends
    places = list(between(low, high, 4, lambda: die))
    if isinstance(low, str):
        assert all(isinstance(place, str) for place in places)
        return
    assert places == sorted(places)
    assert all(low <= place <= high for place in places)
