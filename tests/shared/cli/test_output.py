"""How tables are drawn where a terminal is narrow."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from shared.cli import output


def drawn(width: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *cells: str) -> list[str]:
    """The lines of a table with one row at a terminal of this width."""
    monkeypatch.setattr(output, "stdout", Console(width=width, force_terminal=True, color_system=None))
    output.table("", ("table", "columns"), [cells])
    return [line.rstrip() for line in capsys.readouterr().out.splitlines()]


def test_a_long_name_goes_on_after_one_of_its_marks(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """In a table, and where each row is a block."""
    row = ("demo/pursight_demo.ventas_es.empleado", "cuenta_bancaria (iban)")
    assert drawn(46, monkeypatch, capsys, *row)[1:] == ["demo/pursight_demo.     cuenta_bancaria (iban)", "ventas_es.empleado"]
    assert drawn(29, monkeypatch, capsys, *row) == [
        "table    demo/pursight_demo.",
        "         ventas_es.empleado",
        "columns  cuenta_bancaria",
        "         (iban)",
    ]


@given(name=st.text(min_size=1, max_size=60), width=st.integers(1, 20))
def test_nothing_of_a_name_is_lost(name: str, width: int) -> None:
    """Whatever is in it, and however narrow the line is."""
    at = [0, *output._breaks(name, width), len(name)]
    assert at == sorted(set(at))
