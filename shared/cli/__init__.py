"""`pursight`: everything that can be done from the shell.

Progress goes to stderr and results to stdout; `--json` prints one object. Exit codes: 0 done, 1 failed or stuck, 2 wrong use,
3 a threshold was met (`--fail-on`), 130 Ctrl-C, 141 who read the output went away.
"""

from __future__ import annotations

import errno
import logging
import os
import sys

from shared.errors import Failed, PurSightError, UsageError

INTERRUPTED, PIPE_CLOSED = 130, 141  # as a shell reports what SIGINT and SIGPIPE end
NOT_WRITTEN = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO)

sys.modules.setdefault("httpx._main", None)  # type: ignore[arg-type]  # httpx's own command, a third of our start: its import fails softly


def main() -> None:
    """The console script. Errors are one line; PURSIGHT_DEBUG=1 shows where they came from, and what libraries would log."""
    sys.stdout, sys.stderr = (stream or open(os.devnull, "w") for stream in (sys.stdout, sys.stderr))  # noqa: SIM115  `>&-` closed it
    if not os.environ.get("PURSIGHT_DEBUG"):
        logging.lastResort = logging.NullHandler()
    try:
        try:
            from shared.cli.commands import app

            code = app(prog_name="pursight", standalone_mode=False)
        finally:
            sys.stdout.flush()  # here, where somebody can say that it failed, and not when the interpreter ends
        sys.exit(code)
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
    except BaseException as error:
        if _of_a_closed_pipe(error):
            _leave_unsaid()
            sys.exit(PIPE_CLOSED)
        if isinstance(error, SystemExit) or os.environ.get("PURSIGHT_DEBUG"):
            raise
        said = _in_our_words(error)
        if line := _line(said):
            print(f"pursight: {line}", file=sys.stderr)
        sys.exit(said.exit_code if isinstance(said, PurSightError) else 1)


def _of_a_closed_pipe(error: BaseException) -> bool:
    """Whoever read our output has enough of it. The libraries that write make an exit of their own of that, with another status each."""
    return isinstance(error.__context__ if isinstance(error, SystemExit) else error, BrokenPipeError)


def _leave_unsaid() -> None:
    """What is not written yet goes nowhere: else the interpreter tries again at its end, and complains."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _in_our_words(error: BaseException) -> BaseException:
    """What the library refuses, as we refuse things. A group that was called without a command has shown its help: that says all."""
    import typer
    from typer.exceptions import TyperException

    if isinstance(error, typer.Abort):
        if isinstance(error.__context__, KeyboardInterrupt):
            sys.exit(INTERRUPTED)
        return Failed("nothing was done", code="aborted")
    if not isinstance(error, TyperException):
        return error
    text, context = error.format_message().strip(), getattr(error, "ctx", None)
    if not text:
        return UsageError("")
    what, _, hint = text.removesuffix(".").partition(". ")
    remedy = f"{hint} See `{context.command_path if context else 'pursight'} -h`.".lstrip()
    return UsageError(what[:1].lower() + what[1:], remedy=remedy, code="usage")


def _line(error: BaseException) -> str:
    if isinstance(error, PurSightError):
        return error.line()
    if isinstance(error, OSError) and error.filename:
        return f"{error.filename} cannot be used: {error.strerror}. Run `pursight doctor`."
    if isinstance(error, OSError) and error.errno in NOT_WRITTEN:
        _leave_unsaid()
        return f"the output cannot be written: {error.strerror}. Free some space, or write it elsewhere."
    return f"unexpected {type(error).__name__}. PURSIGHT_DEBUG=1 shows where it came from."
