"""Canaries: strings that appear nowhere else, where they are planted, and every place where they must not be found."""

from __future__ import annotations

import base64
import os
import secrets
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import asyncpg
import psutil
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient

_DIGITS = "0123456789"


@dataclass
class Canaries:
    """Each string with the place where it was put."""

    by_place: dict[str, str] = field(default_factory=dict)

    def word(self, place: str) -> str:
        """Letters and digits, such as a name, a password or a label."""
        return self._keep(place, f"Zq{secrets.token_hex(9)}xK")

    def email(self, place: str) -> str:
        return f"{self._keep(place, 'zq' + secrets.token_hex(9))}@canary-mail.org"

    def card(self, place: str) -> str:
        """A card number with a right check digit, of a range that detectors know."""
        return self._keep(place, _luhn("411111" + _random_digits(9)))

    def number(self, place: str) -> str:
        return self._keep(place, "7" + _random_digits(17))

    def _keep(self, place: str, text: str) -> str:
        assert place not in self.by_place, place
        self.by_place[place] = text
        return text

    def found_in(self, data: bytes) -> list[str]:
        """Places whose canary is in `data`, as it is, in hex, or in base64, in any case."""
        lower = data.lower()
        return [place for place, text in self.by_place.items() if any(form in lower for form in _forms(text))]


def _forms(text: str) -> Iterator[bytes]:
    raw = text.encode()
    yield text.lower().encode()
    yield raw.hex().encode()
    for shift in range(3):  # base64 looks different at each of three offsets; its ends depend on the neighbours
        yield base64.b64encode(b"\0" * shift + raw)[4 if shift else 0 : -4].lower()


def _random_digits(count: int) -> str:
    return "".join(secrets.choice(_DIGITS) for _ in range(count))


def _luhn(digits: str) -> str:
    doubled = (int(d) * (2 if i % 2 == 0 else 1) for i, d in enumerate(reversed(digits)))
    return digits + str(-sum(d - 9 if d > 9 else d for d in doubled) % 10)


def planted(canary: Canaries, reader: str, password: str) -> list[str]:
    """SQL that puts a canary into every corner of a database that a scan could read. `reader` may read, and owns nothing."""
    word, email, card = canary.word, canary.email, canary.card
    rows = ", ".join(
        f"({i}, '{word(f'text {i}')}', '{email(f'e-mail {i}')}', '{card(f'card {i}')}', "
        f'\'{{"name": "{word(f"json {i}")}", "deep": [{{"mail": "{email(f"json mail {i}")}"}}]}}\', '
        f"'{word(f'bytea {i}')}', array['{word(f'array {i}')}', '{email(f'array mail {i}')}'], {canary.number(f'numeric {i}')}, "
        f"row('{word(f'composite {i}')}', {i})::pair, '{word(f'tsvector {i}')}')"
        for i in range(8)
    )
    return [
        f"create role {reader} login password '{password}'",
        f"create type mood as enum ('fine', '{word('enum label')}')",
        "create type pair as (a text, b int)",
        f"create domain code as text default '{word('domain default')}' check (value <> '{word('domain check')}')",
        f"""create table canary_person (
            id int primary key, note text, email text, card text, doc jsonb,
            blob bytea, many text[], amount numeric, both_ pair, page tsvector,
            plan text default '{word("column default")}', mood mood default '{canary.by_place["enum label"]}', code code,
            made text generated always as (note || '{word("generated column")}') stored,
            constraint odd check (plan <> '{word("check constraint")}' and note not in ('{word("check list")}')))""",
        f"insert into canary_person (id, note, email, card, doc, blob, many, amount, both_, page) values {rows}",
        f"insert into canary_person (id, note, email) select 100 + i, '{word('repeated text')}', '{email('repeated e-mail')}'"
        " from generate_series(1, 300) i",
        "create table flagged (id int, kind text)",
        f"insert into flagged select i, case when i % 2 = 0 then '{word('one of two values')}' else 'plain' end"
        " from generate_series(1, 200) i",
        f"create index on canary_person (lower(note)) where note <> '{word('index predicate')}'",
        "create table part (id int, region text) partition by list (region)",
        f"create table part_a partition of part for values in ('{word('partition bound')}')",
        "create table part_r (id int, day text) partition by range (day)",
        f"create table part_r1 partition of part_r for values from ('{word('range from')}') to ('{'z' + word('range to')}')",
        f"create view seen as select id, '{word('view literal')}'::text as tag, $x${word('dollar quote')}$x$::text as other,"
        f" note /* {word('view comment')} */ from canary_person where note <> '{word('view filter')}' -- {word('line comment')}",
        f"create materialized view kept as select id, note, '{word('materialized literal')}'::text as tag from canary_person",
        f"comment on table canary_person is 'Ask {email('table comment')} about card {card('card in table comment')}'",
        f"comment on column canary_person.note is 'e.g. {email('column comment')} or {card('card in column comment')}'",
        "create table guarded (id int, note text)",
        "insert into guarded values (1, 'x')",
        f"create function blurt() returns boolean language plpgsql as $$ begin raise exception 'row holds {word('driver error')}'"
        f" using detail = 'detail {word('error detail')}', hint = '{word('error hint')}'; end $$",
        "create policy guard on guarded using (blurt())",
        "alter table guarded enable row level security",
        f"grant select on all tables in schema public to {reader}",
        "analyze",
    ]


async def records(bootstrap: str) -> dict[str, bytes]:
    """Every record of every topic, the broker's own too: keys, headers and bodies in one string a topic."""
    async with AIOKafkaConsumer(bootstrap_servers=bootstrap, enable_auto_commit=False) as consumer:
        parts = await _partitions(bootstrap)
        consumer.assign(parts)
        ends, starts = await consumer.end_offsets(parts), await consumer.beginning_offsets(parts)
        for part in parts:  # by offset: the client's own reset to the end may come after one that it was asked for
            consumer.seek(part, starts[part])
        found: dict[str, bytearray] = {part.topic: bytearray() for part in parts}
        left = {part for part in parts if starts[part] < ends[part]}
        while left:
            for part, batch in (await consumer.getmany(*left, timeout_ms=500, max_records=5000)).items():
                for record in batch:
                    headers = b"\0".join(name.encode() + b"=" + (value or b"") for name, value in record.headers)
                    found[part.topic] += b"\0".join((record.key or b"", headers, record.value or b"", b""))
            left = {part for part in left if await consumer.position(part) < ends[part]}
        return {name: bytes(data) for name, data in found.items()}


async def _partitions(bootstrap: str) -> list[TopicPartition]:
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    try:
        described = await admin.describe_topics(await admin.list_topics())
    finally:
        await admin.close()
    return [TopicPartition(topic["topic"], part["partition"]) for topic in described for part in topic["partitions"]]


async def rows_of(url: str) -> dict[str, bytes]:
    """Every table of every schema of one database, each row as text."""
    connection = await asyncpg.connect(url)
    try:
        tables = await connection.fetch(
            "select format('%I.%I', schemaname, tablename) as name from pg_tables"
            " where schemaname not in ('pg_catalog', 'information_schema')"
        )
        return {
            table["name"]: "\n".join(row[0] for row in await connection.fetch(f"select t::text from {table['name']} t")).encode()
            for table in tables
        }
    finally:
        await connection.close()


def files_of(folder: Path, found_in: Callable[[bytes], Iterable[str]]) -> dict[str, list[str]]:
    """What `found_in` finds in each file below `folder`. Holes of sparse files are skipped."""
    found: dict[str, list[str]] = {}
    for path in sorted(folder.rglob("*")):
        if path.is_file() and not path.is_symlink():
            try:
                hits = list(found_in(_filled(path)))
            except FileNotFoundError:
                continue  # a log segment or a temporary file that went away meanwhile
            if hits:
                found[str(path.relative_to(folder))] = hits
    return found


def _filled(path: Path) -> bytes:
    filled = bytearray()
    with path.open("rb") as file:
        end, at = os.fstat(file.fileno()).st_size, 0
        while at < end:
            try:
                at = os.lseek(file.fileno(), at, os.SEEK_DATA)
            except OSError:
                break
            hole = os.lseek(file.fileno(), at, os.SEEK_HOLE)
            filled += os.pread(file.fileno(), hole - at, at)
            at = hole
    return bytes(filled)


def processes(root: int) -> dict[str, bytes]:
    """Arguments and environment of a process and all below it."""
    top = psutil.Process(root)
    told: dict[str, bytes] = {}
    for process in [top, *top.children(recursive=True)]:
        try:
            environment = "\0".join(f"{name}={value}" for name, value in process.environ().items())
            told[f"{process.name()} {process.pid}"] = "\0".join([*process.cmdline(), environment]).encode()
        except psutil.Error:
            continue
    return told
