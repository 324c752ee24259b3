"""The sample company: large enough, the same each time, and its check digits are right by independent libraries."""

from __future__ import annotations

from random import Random

import pytest
from stdnum import ean, iban, imei, luhn
from stdnum.de import idnr
from stdnum.es import dni
from stdnum.fr import nir, siret
from stdnum.pt import nif
from stdnum.us import rtn, ssn

from shared.demo import numbers
from shared.demo.company import rows, tables
from shared.demo.kinds import TEXT


def test_it_is_as_large_as_promised() -> None:
    """At least 60 tables and 700 columns, every kind known."""
    plan = tables()
    assert len(plan) >= 60
    assert sum(len(table.columns) for table in plan) >= 700
    assert len({table.name for table in plan}) == len(plan)


def test_the_same_seed_gives_the_same_bytes() -> None:
    """Two runs agree, another seed differs."""
    plan = tables()[:4]
    rows_of = {table.name: table.rows for table in tables()}

    def made(seed: int) -> bytes:
        return b"".join(chunk for table in plan for chunk in rows(table, rows_of, seed))

    assert made(1) == made(1) != made(2)


def test_every_row_has_as_many_fields_as_columns() -> None:
    """No value breaks the COPY format."""
    rows_of = {table.name: table.rows for table in tables()}
    for table in tables():
        first = next(rows(table, rows_of, 3)).decode().splitlines()
        assert {line.count("\t") + 1 for line in first} == {len(table.columns)}, table.name


@pytest.mark.parametrize(
    ("make", "valid"),
    [
        (numbers.pan, luhn.is_valid),
        (numbers.ssn, ssn.is_valid),
        (numbers.steuer_id, idnr.is_valid),
        (numbers.nir, nir.is_valid),
        (numbers.dni, dni.is_valid),
        (numbers.nif, nif.is_valid),
        (numbers.siret, siret.is_valid),
        (numbers.aba, rtn.is_valid),
        (numbers.ean13, ean.is_valid),
        (lambda r: TEXT["imei"](r, 1), imei.is_valid),
        (lambda r: TEXT["iban_fr"](r, 1).replace(" ", ""), lambda text: iban.is_valid(text, check_country=False)),
    ],
)
def test_check_digits_are_right(make, valid) -> None:  # type: ignore[no-untyped-def]
    """An independent implementation accepts what the rule made."""
    random = Random(5)
    made = [make(random) for _ in range(50)]
    assert [text for text in made if not valid(text)] == []
