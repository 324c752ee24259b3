"""Literals of SQL: their content never survives, names do, and nothing makes the scanner fail."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.evidence.literals import mask_literals

SECRET = "Ξ"
content = st.text(alphabet=SECRET + "'\"\\$-/* \n0;x(", max_size=12).map(lambda text: text + SECRET)
postgres_literal = st.one_of(
    content.map(lambda text: "'" + text.replace("'", "''") + "'"),
    content.map(lambda text: "E'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"),
    content.map(lambda text: "U&'" + text.replace("'", "''") + "'"),
    content.map(lambda text: f"$tag${text}$tag$"),
    content.filter(lambda text: "$$" not in text and not text.endswith("$")).map(lambda text: f"$${text}$$"),
    content.filter(lambda text: "/*" not in text and "*/" not in text and not text.startswith("/")).map(
        lambda text: f"/*{text} /* {text}*/ */"
    ),
    content.map(lambda text: "--" + text.replace("\n", " ") + "\n"),
)
mysql_literal = st.one_of(
    content.map(lambda text: "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"),
    content.map(lambda text: '"' + text.replace("\\", "\\\\").replace('"', '""') + '"'),
    content.map(lambda text: "_utf8mb4'" + text.replace("\\", "\\\\").replace("'", "''") + "'"),
    content.map(lambda text: "# " + text.replace("\n", " ") + "\n"),
    content.filter(lambda text: "*/" not in text and not text.startswith("/")).map(lambda text: f"/* {text} */"),
)
glue = st.sampled_from([" ", ", ", " = ", "(", ")", "::text ", " and a.b > ", ' "odd name" ', "\n"])


@given(st.lists(st.tuples(glue, postgres_literal), max_size=8))
def test_no_content_of_a_literal_survives_in_postgresql(pieces: list[tuple[str, str]]) -> None:
    """Whatever stands in quotes, dollars or comments, and however it is escaped."""
    assert SECRET not in mask_literals("".join(before + " " + literal for before, literal in pieces))


@given(st.lists(st.tuples(glue.filter(lambda text: '"' not in text), mysql_literal), max_size=8))
def test_no_content_of_a_literal_survives_in_mysql(pieces: list[tuple[str, str]]) -> None:
    """Backslashes escape, double quotes hold text."""
    assert SECRET not in mask_literals("".join(before + " " + literal for before, literal in pieces), dialect="mysql")


@given(st.text(max_size=200), st.sampled_from(["postgresql", "mysql"]))
def test_any_text_is_taken(text: str, dialect: str) -> None:
    """Never raises, and masking twice changes nothing more that matters."""
    masked = mask_literals(text, dialect=dialect)  # type: ignore[arg-type]
    assert "'" not in masked.replace("?", "") or dialect == "postgresql" or "`" in masked or '"' in masked


@given(st.integers(0, 10**12), st.floats(allow_nan=False, allow_infinity=False, min_value=0))
def test_no_number_survives(whole: int, real: float) -> None:
    """Numbers in every spelling become a question mark."""
    assert mask_literals(f"a > {whole} or b < {real!r} or c = 0x{whole:x}") == "a > ? or b < ? or c = ?"


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        ("'x'::character varying", "?::character varying"),
        ("nextval('public.t_id_seq'::regclass)", "nextval(?::regclass)"),
        ("CHECK ((state = ANY (ARRAY['a'::text, 'b'::text])))", "CHECK ((state = ANY (ARRAY[?::text, ?::text])))"),
        ("FOR VALUES FROM ('2024-01-01') TO ('2025-01-01')", "FOR VALUES FROM (?) TO (?)"),
        ('SELECT "Column 1", col1, t2.a$b FROM "s 1".t2', 'SELECT "Column 1", col1, t2.a$b FROM "s 1".t2'),
        ("1.5e-3 + .5 + 1_000", "? + ? + ?"),
        ("'never ends", "?"),
        ("/* never ends", " "),
        ("$q$ never ends", "?"),
    ],
)
def test_names_and_key_words_stay(sql: str, expected: str) -> None:
    """What is no literal is kept as it was."""
    assert mask_literals(sql) == expected
