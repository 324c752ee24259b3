"""Tables to learn from: blocks of columns put together by chance, with values, in the ways that people name columns."""

from __future__ import annotations

import random
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from services.classifier.training.values import LOCALES, Maker
from shared.contracts.asset import UNCLASSIFIED, Column, SchemaDiscovered
from shared.contracts.names import AssetName
from shared.contracts.source import DataSource
from shared.evidence.count import count_columns

FILE = Path(__file__).with_name("tables.txt")
_LANGUAGES = ("en", "de", "fr", "es", "pt")
_MUTE = ("c{}", "col{}", "col_{}", "column{}", "field_{}", "f{}", "attr_{}", "x{}", "var{}", "c_{:02}", "F{:03}")
_VOWELS = re.compile("[aeiouAEIOU]")
_SMALL, _LARGE = 12, 120  # rows that are looked at
_CASES = ("as made",) * 8 + ("capitals", "padded")
_TWO_FORMS = 0.1  # share of columns that are written in more than one form
_TOLD = 0.6  # share of tables whose own name says what they are about
_PLAIN = 0.85  # share of columns that hold something whose names say so, in tables where names say anything
_SPEC = DataSource(name="training", tenant="pursight", database="db")


class Field(NamedTuple):
    """One column of a block."""

    label: str
    types: tuple[str, ...]
    recipe: str
    names: tuple[str, ...]
    share: float


class Book(NamedTuple):
    """All blocks, and the tables: blocks with how often each is there, and names."""

    blocks: dict[str, list[Field]]
    tables: list[tuple[list[tuple[str, float]], tuple[str, ...]]]


class Example(NamedTuple):
    """A table as discovery would tell it, and what is right of each of its columns."""

    table: SchemaDiscovered
    labels: tuple[str, ...]


def read_book(text: str) -> Book:
    """The blocks and tables of `tables.txt`."""
    blocks: dict[str, list[Field]] = {}
    tables: list[tuple[list[tuple[str, float]], tuple[str, ...]]] = []
    fields: list[Field] = []
    for line in text.splitlines():
        head, _, rest = line.partition(" ")
        if head == "=":
            fields = blocks.setdefault(rest, [])
        elif head == ">":
            parts, _, names = rest.partition(" @")
            shares = [word.partition(":") for word in parts.split()]
            tables.append(([(name, float(share or 1)) for name, _, share in shares], tuple(names.split(","))))
        elif head and head != "#":
            fields.append(_field(line))
    return Book(blocks, tables)


def _field(line: str) -> Field:
    body, _, share = line.partition(" ?")
    *front, recipe, names = body.split(" ")
    label, types = front[0], " ".join(front[1:])
    return Field(label, tuple(re.split(r",(?![^(]*\))", types)), recipe, tuple(names.split(",")), float(share or 1))


def examples(count: int, seed: int) -> Iterator[Example]:
    """`count` tables; the same seed gives the same ones."""
    dice, book = random.Random(seed), read_book(FILE.read_text("utf-8"))
    makers = {locale: Maker(locale, dice) for locale in LOCALES}
    for number in range(count):
        yield _example(number, book, makers[dice.choice(LOCALES)], dice)


def _example(number: int, book: Book, maker: Maker, dice: random.Random) -> Example:
    parts, called = dice.choice(book.tables)
    fields = _fields(book, parts, dice)
    rows = int(dice.triangular(_SMALL, _LARGE, 60)) if dice.random() > 0.1 else dice.randint(3, _SMALL)
    columns = [_values(field, maker, rows, dice) for field in fields]
    evidence = count_columns([[v for v in values if v is not None] for values in columns], [values.count(None) for values in columns])
    names = _names(fields, maker.locale[:2], dice)
    made = tuple(
        Column(name=name, position=place, type=dice.choice(field.types), nullable=None in values, evidence=seen, **_keys(field))
        for place, (name, field, values, seen) in enumerate(zip(names, fields, columns, evidence, strict=True), 1)
    )
    asset = AssetName("pursight", "training", "db", "s", f"t{number}")
    told = dice.choice(called) if dice.random() < _TOLD else asset.table
    table = SchemaDiscovered(
        asset=asset.key, source=asset.source_key, sequence=1, scan_id="training", database="db", schema_name="s", table=told,
        columns=made, fingerprint="training", spec=_SPEC,
    )  # fmt: skip
    return Example(table, tuple(field.label for field in fields))


def _fields(book: Book, parts: list[tuple[str, float]], dice: random.Random) -> list[Field]:
    """The columns of one table; the blocks behind the first stand in any order."""
    first, *others = [name for name, share in parts if dice.random() < share]
    dice.shuffle(others)
    if dice.random() < 0.15:
        others.append(dice.choice(sorted(book.blocks)))
    fields = [field for name in (first, *others) for field in book.blocks[name] if dice.random() < field.share]
    if dice.random() < 0.1:
        dice.shuffle(fields)
    return fields or book.blocks[first]


def _values(field: Field, maker: Maker, rows: int, dice: random.Random) -> list[str | None]:
    """Some columns have nulls, some a few values that do not belong there, some are written in two forms, or in capitals."""
    values: list[str | None] = [written(value, case) for case in (dice.choice(_CASES),) for value in maker.column(field.recipe, rows)]
    if dice.random() < _TWO_FORMS:
        values = [dice.choice(pair) for pair in zip(values, maker.column(field.recipe, rows), strict=True)]
    nulls, odd = dice.choice((0.0,) * 5 + (0.1, 0.4, 0.8)), dice.choice((0.0,) * 5 + (0.02, 0.05, 0.15))
    for place in range(1, rows):
        chance = dice.random()
        if chance < nulls:
            values[place] = None
        elif chance > 1 - odd:
            values[place] = dice.choice(("n/a", "-", "unknown", "?", "TBD", "x"))
    return values


def written(value: str, case: str) -> str:
    """`value` in this case; of codes and tokens capitals would be others."""
    if case == "capitals" and not any(sign.isdigit() for sign in value):
        return value.upper()
    return f"{value} " if case == "padded" else value


def _keys(field: Field) -> dict[str, bool]:
    key = field.recipe in ("serial", "uuid") and field.names[0].startswith("row")
    return {"primary_key": key, "unique": key, "indexed": key}


def _names(fields: list[Field], language: str, dice: random.Random) -> list[str]:
    """Numbered, opaque, or words of one language; two columns of a name are numbered."""
    style = dice.random()
    if style < 0.5:
        mute = dice.choice(_MUTE)
        return [mute.format(place) for place in range(1, len(fields) + 1)]
    if style < 0.7:
        head = dice.choice(("", "", "Z", "KT", "X_", "T1"))
        return [f"{head}{''.join(dice.choices('BCDFGHJKLMNPQRSTVWXZ', k=dice.randint(3, 5)))}{place}" for place in range(len(fields))]
    at = _LANGUAGES.index(language) if language in _LANGUAGES else 0
    named = [_called(field, at, dice) for field in fields]
    return [name if named.index(name) == place else f"{name}{place}" for place, name in enumerate(named)]


def _called(field: Field, language: int, dice: random.Random) -> str:
    """What matters is mostly called by its name, which the rules understand; the rest is called anything."""
    if field.label != UNCLASSIFIED and dice.random() < _PLAIN:
        return field.label
    return _bent(field.names[min(language, len(field.names) - 1)], dice)


def _bent(name: str, dice: random.Random) -> str:
    """A name as someone in a hurry writes it, in one of four of cases."""
    chance = dice.random()
    if chance < 0.08:
        return name[0] + _VOWELS.sub("", name[1:]) or name
    if chance < 0.16:
        return name[:4]
    return f"{dice.choice(('f', 'x', 'fld', 'my'))}_{name}" if chance < 0.25 else name
