"""Steps that bring an older data directory to today's form: each from its version to the next, and safe to be cut short and begun again."""

from __future__ import annotations

from collections.abc import Callable

from shared.errors import Failed
from shared.local.state import VERSION, Home, State


def upgrade(home: Home, state: State) -> State:
    """Do the steps that are missing; each is kept when it is done. Nothing may run there.

    Raises Failed (`state_upgrade`), one line, where one cannot be done; the data directory is then still of the older version.
    """
    while state.version < VERSION:
        try:
            STEPS[state.version](home)
        except OSError as error:
            raise Failed(
                f"The data directory {home.path} cannot be brought from version {state.version} to {state.version + 1}",
                why=f"{error.filename}: {error.strerror}",
                remedy="Mend that, then try again.",
                code="state_upgrade",
            ) from error
        state = state.model_copy(update={"version": state.version + 1})
        home.save(state)
    return state


def close_logs(home: Home) -> None:
    """Version 1 made logs of servers and supervisor, and the lock file, readable by everybody."""
    for file in (home.path / "up.lock", *home.logs.iterdir()):
        if file.is_file() and not file.is_symlink():
            file.chmod(0o600)


STEPS: dict[int, Callable[[Home], None]] = {1: close_logs}
