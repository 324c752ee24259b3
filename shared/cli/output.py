"""How things are shown: tables for people on a terminal, one JSON object for programs."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from typing import Any
from urllib.parse import unquote

import typer
from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderResult
from rich.measure import Measurement
from rich.table import Column, Table
from rich.text import Text

from shared.contracts.names import DEFAULT_TENANT, printable
from shared.errors import UsageError

COLORS = {"critical": "bold red", "high": "red", "medium": "yellow", "low": "dim", "restricted": "bold red", "confidential": "yellow"}
SHORT = 12  # characters
GAP = 2  # between columns
MARKS = (r"[/:,]|\.(?!\d)", "[_-]")  # after which a long name may go on in a new line: at the end of a part of it, or of a word
FOLDED = 14  # characters in which a long cell can still be read
WIDE = 1000  # a program reads lines: none is folded for it
stdout = Console(width=None if sys.stdout.isatty() else WIDE)
stderr = Console(stderr=True, width=None if sys.stderr.isatty() else WIDE)


def sure(question: str, *, yes: bool) -> None:
    """Ask before something goes for good, unless `yes`. Raises UsageError where nobody can be asked, typer.Abort where they say no."""
    if yes:
        return
    if not sys.stdin.isatty():
        raise UsageError("nobody can be asked here", remedy="Add --yes.", code="nobody_to_ask")
    typer.confirm(question, abort=True, err=True)


def as_json(value: Any) -> None:
    """One JSON document on stdout."""
    sys.stdout.write(spelled(value, indent=2 if sys.stdout.isatty() else None) + "\n")


def text_as_json(text: str) -> None:
    """The same, of one that is `spelled`: as it is, where no person reads it."""
    if sys.stdout.isatty():
        return as_json(json.loads(text))
    sys.stdout.write(text)
    sys.stdout.write("\n")
    return None


def spelled(value: Any, indent: int | None = None) -> str:
    """JSON as programs get to read it; with an `indent`, as people do."""
    return json.dumps(value, indent=indent, ensure_ascii=False)


def colored(word: str, shown: int | None = None) -> Text:
    """A severity or a sensitivity in its colour, or how many there are of it."""
    if shown == 0:
        return Text("–", style="dim")
    return Text((word or "") if shown is None else f"{shown:,}", style=COLORS.get(word, ""))


def and_more(total: int, shown: int, of: str = "") -> None:
    """Of a list that was cut: how many there are besides, and what shows them."""
    if (more := total - shown) > 0:
        aside(f"… and {more:,} more{f' {of}' if of else ''}: --limit {total} shows all.")


def aside(text: str) -> None:
    """Below what was printed, for who reads it and not for a program that it is piped to."""
    stdout.file.flush()
    stderr.print(text, style="dim", highlight=False)


def table(title: str, head: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """A table; cells are text only, so that no name can style the terminal. Where it would be too narrow to read, each row is a block."""
    cells = [[cell if isinstance(cell, Text) else plain(cell) for cell in row] for row in rows]
    # An id that is cut cannot be given to the next command, so what is long is folded; what is short stays in one piece.
    short = [all(len(row[at]) <= SHORT for row in cells) for at in range(len(head))]
    look: dict[str, Any] = {"title": title or None, "title_justify": "left", "title_style": "bold", "box": None, "pad_edge": False}
    if _least_width(head, cells, short) <= stdout.width:
        made = Table(
            *(Column(name, overflow="fold", no_wrap=whole) for name, whole in zip(head, short, strict=True)), header_style="dim", **look
        )
        for row in cells:
            made.add_row(*map(_Folded, row))
    else:
        made = _blocks(head, cells, look)
    if stdout.is_terminal:
        return stdout.print(made)
    with stdout.capture() as drawn:
        stdout.print(made)
    stdout.file.write("".join(f"{line.rstrip()}\n" for line in drawn.get().splitlines()))  # padding is for the eye
    return None


class _Folded:
    """A cell in which a name that is longer than a line goes on after one of its marks, and not in the middle of a word."""

    def __init__(self, cell: Text) -> None:
        self._cell = cell

    def __rich_measure__(self, console: Console, options: ConsoleOptions) -> Measurement:
        return Measurement.get(console, options, self._cell)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        names = re.finditer(r"\S+", self._cell.plain)
        breaks = [name.start() + at for name in names for at in _breaks(name[0], options.max_width)]
        yield Text("\n").join(self._cell.divide(breaks)) if breaks else self._cell


def _breaks(name: str, width: int) -> Iterator[int]:
    """Where it is to go on in a new line: between its parts, else between their words, else where the line ends.

    >>> [list(_breaks(name, 12)) for name in ("demo/shop.customer_address", "constellation", "http://127.0.0.1")]
    [[10, 19], [12], [7]]
    """
    begin = 0
    while cell_len(name[begin:]) > width > 0:
        line = name[begin : begin + width]
        while cell_len(line) > width:
            line = line[:-1]
        part, word = (max((found.end() for found in re.finditer(marks, line)), default=0) for marks in MARKS)
        begin += part if part > width // 2 else max(part, word) or len(line) or 1
        if begin < len(name):
            yield begin


def _least_width(head: Sequence[str], cells: Sequence[Sequence[Text]], short: Sequence[bool]) -> int:
    """Columns of the terminal that a table needs to be read: what is short in one piece, what is long folded."""
    longest = [max([len(name), *(cell_len(line) for row in cells for line in row[at].plain.splitlines())]) for at, name in enumerate(head)]
    return sum(width if whole else min(width, FOLDED) for width, whole in zip(longest, short, strict=True)) + GAP * (len(head) - 1)


def _blocks(head: Sequence[str], cells: Sequence[Sequence[Text]], look: dict[str, Any]) -> Table:
    """Each row as lines of name and value, as `psql` does it; what is empty is left out."""
    made = Table(Column(style="dim", overflow="fold", max_width=FOLDED), Column(overflow="fold"), show_header=False, **look)
    for at, row in enumerate(cells):
        if at:
            made.add_row("", "")
        for name, cell in zip(head, row, strict=True):
            if cell.plain:
                made.add_row(name, _Folded(cell))
    return made


def spoken(key: str) -> str:
    """A source's or an asset's key as people say it: without escapes, the usual tenant, and the schema of a store's root."""
    return printable(unquote(key.removeprefix(f"{DEFAULT_TENANT}/").replace(".%2F.", ".")))


def plain(value: Any) -> Text:
    """Text without control characters or markup."""
    return Text(printable(str(value)))
