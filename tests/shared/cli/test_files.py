"""A file that cannot be read is told by its name, the line and the cause, and by nothing of what it holds."""

from __future__ import annotations

from pathlib import Path

import pytest

from shared.cli.files import read_file, written
from shared.errors import UsageError


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("name: a\nhost: hush: hush", "line 2, column 11: a colon too many"),
        ("name: a\n\thost: hush", "line 2, column 1: a value may not begin"),
        ("name: @hush", "line 1, column 7: a value may not begin"),
        ("name: *hush", "line 1, column 7: a * that names nothing"),
        ("name: !!python/name:hush x", "line 1, column 7: a tag"),
        ("name: 'hush", "is not closed"),
        ("name: [hush, 2", "a bracket is not closed"),
        ("- hush\nname: b", "line 2, column 1: an indentation"),
        ("name: \x07hush", "characters that no text has"),
        ('{"name": "hush",\n "port" 5}', "line 2, column 9: expecting ':' delimiter"),
        ("hush", "holds no object"),
        ("name: hush\nname: b", "line 2"),
        ('{"name": ' + "[" * 5_000, "too many parts"),
        ("name: " + "[" * 5_000, "too many parts"),
        ('{"\x7f": ' + "[" * 100_000, "characters that no text has"),
    ],
)
def test_where_and_why_and_nothing_of_it(text: str, told: str) -> None:
    """Whichever parser stumbled."""
    with pytest.raises(UsageError) as refused:
        written("job.yaml", text)
    assert "job.yaml" in (line := refused.value.line())
    assert told in line
    assert "hush" not in line


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    """By its name, and why."""
    with pytest.raises(UsageError, match=r"none\.yaml cannot be read: no such file or directory\."):
        read_file(str(tmp_path / "none.yaml"))
    with pytest.raises(UsageError, match=r"cannot be read: is a directory\."):
        read_file(str(tmp_path))


EXAMPLES = Path(__file__).parents[3] / "examples"


@pytest.mark.parametrize(
    ("file", "kind"),
    [
        ("jobs/postgres_orders.yaml", "job"),
        ("contracts/postgres_orders.yaml", "contract"),
        ("sources/s3.yaml", "source"),
        ("acme.rules.yaml", "rule set"),
    ],
)
def test_a_file_of_another_kind_is_told_by_its_own(file: str, kind: str) -> None:
    """A job is no contract, whatever its fields could be taken for; and which command takes it."""
    assert read_file(str(EXAMPLES / file), kind=kind).document
    for other in {"job", "contract", "source", "rule set"} - {kind}:
        with pytest.raises(UsageError, match=f"is a {kind}, and no {other}. Give it to `pursight "):
            read_file(str(EXAMPLES / file), kind=other)
