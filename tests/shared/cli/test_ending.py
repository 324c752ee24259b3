"""However a command ends, one line at most says why, and the exit code is that of any other program."""

from __future__ import annotations

import os
import sys
from typing import TextIO
from unittest.mock import Mock

import pytest
import typer

from shared.cli import main
from shared.cli.output import sure, table
from shared.cli.pages import way_in
from shared.errors import UsageError


def ends(monkeypatch: pytest.MonkeyPatch, output: TextIO, *arguments: str) -> object:
    """The exit code of a command that writes there."""
    monkeypatch.setattr(sys, "argv", ["pursight", *arguments])
    monkeypatch.setattr(sys, "stdout", output)
    with pytest.raises(SystemExit) as end, output:
        main()
    return end.value.code


@pytest.mark.parametrize("option", ["--version", "--help"])
def test_a_reader_who_went_away_is_no_error(option: str, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    """`pursight … | head -1`: not a word, and the status that a shell gives to whom SIGPIPE ends, whichever library wrote."""
    read, write = os.pipe()
    os.close(read)
    assert ends(monkeypatch, os.fdopen(write, "w"), option) == 141
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("option", ["--version", "--help"])
def test_an_output_that_is_full_is_told(option: str, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    """One line, exit code 1."""
    assert ends(monkeypatch, os.fdopen(os.open("/dev/full", os.O_WRONLY), "w"), option) == 1
    (told,) = capfd.readouterr().err.splitlines()
    assert told.startswith("pursight: the output cannot be written: No space left on device.")


def test_a_closed_output_is_no_error(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    """`pursight … >&-`: nobody wants to know."""
    monkeypatch.setattr(sys, "argv", ["pursight", "--version"])
    monkeypatch.setattr(sys, "stdout", None)
    with pytest.raises(SystemExit) as end:
        main()
    assert (end.value.code or 0, capfd.readouterr()) == (0, ("", ""))


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("show",), "missing argument 'TABLE'. See `pursight show -h`."),
        (("search", "--lmit", "3"), "no such option: --lmit (Possible options: --limit). See `pursight search -h`."),
        (("search", "--limit"), "option '--limit' requires an argument. See `pursight -h`."),
        (("shw",), "no such command 'shw'. Did you mean 'show'? See `pursight -h`."),
        ((), ""),
    ],
)
def test_what_was_written_wrong_is_told_in_one_line(
    arguments: tuple[str, ...], told: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """What, and where to look; without any command the help is enough. Exit code 2."""
    with open(os.devnull, "w") as nowhere:
        assert ends(monkeypatch, nowhere, *arguments) == 2
    assert capsys.readouterr().err == (f"pursight: {told}\n" if told else "")


def test_a_no_to_a_question_is_no_accident(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Nothing is done, and said so; Ctrl-C there ends as everywhere."""
    for context, code, told in ((None, 1, "pursight: nothing was done\n"), (KeyboardInterrupt(), 130, "")):
        answer = typer.Abort()
        answer.__context__ = context
        monkeypatch.setattr("shared.cli.commands.app", Mock(side_effect=answer))
        with open(os.devnull, "w") as nowhere:
            assert ends(monkeypatch, nowhere) == code
        assert capsys.readouterr().err == told


def test_where_nobody_can_be_asked_the_option_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """As after a pipe, or in CI."""
    with open(os.devnull) as nobody:
        monkeypatch.setattr(sys, "stdin", nobody)
        with pytest.raises(UsageError, match="Add --yes"):
            sure("Forget it?", yes=False)
        sure("Forget it?", yes=True)


def test_a_link_that_signs_in_is_for_a_terminal_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """What goes into a pipe may end in a log."""
    assert "code=" not in (told := way_in("http://door", "token"))
    assert "`pursight status`" in told
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    assert "http://door/login?code=" in way_in("http://door", "token")
    assert way_in("http://door", "a.b.c") == "http://door"


def test_a_narrow_terminal_cuts_no_address_of_a_program(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """COLUMNS counts where somebody looks."""
    monkeypatch.setenv("COLUMNS", "20")
    table("", ("part", "address"), [("registry", "http://127.0.0.1:31885")])
    assert "http://127.0.0.1:31885" in capsys.readouterr().out
