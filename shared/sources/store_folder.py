"""A folder of this machine as a store. Nothing outside of it is ever opened: no link is followed, whoever changes what meanwhile."""

from __future__ import annotations

import asyncio
import errno
import os
import stat
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from itertools import islice

from shared.errors import Failed
from shared.sources.store_failures import refusal
from shared.sources.store_line import Entry

_PAGE = 1000
_MOST_DEPTH = 24
_NO_LINK = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK  # a pipe must not hold us
_ERRORS = {errno.ENOENT: "gone", errno.EACCES: "no_privilege", errno.EPERM: "no_privilege", errno.ELOOP: "gone", errno.ENOTDIR: "gone"}


class FolderStore:
    """Regular files below one folder, which is held open: the path may be renamed meanwhile, what is read stays the same tree."""

    def __init__(self, path: str) -> None:
        """Raises Failed with `no_such_folder` or `no_privilege`."""
        self.statements = 0
        self.shut = set[str]()  # folders below that were listed and may not be read
        try:
            self._root = os.open(path, _NO_LINK | os.O_DIRECTORY)
        except OSError as error:
            raise refusal("no_privilege" if error.errno in (errno.EACCES, errno.EPERM) else "no_such_folder") from None

    def close(self) -> None:
        """Let the folder go."""
        os.close(self._root)

    @property
    def writable(self) -> bool:
        """Whether we could write into it."""
        return os.access(".", os.W_OK, dir_fd=self._root)

    async def list(self) -> AsyncIterator[list[Entry]]:
        walk = self._walk(self._root, "", 0)
        while page := await asyncio.to_thread(lambda: list(islice(walk, _PAGE))):
            self.statements += 1
            yield page

    async def read(self, key: str, start: int, length: int) -> bytes:
        self.statements += 1
        return await asyncio.to_thread(self._read, key, start, length)

    def _walk(self, folder: int, above: str, depth: int) -> Iterator[Entry]:
        for name, about in self._inside(folder, above):
            key = f"{above}{name}"
            if stat.S_ISREG(about.st_mode):
                yield Entry(key, about.st_size, str(about.st_mtime_ns))
            elif stat.S_ISDIR(about.st_mode) and depth < _MOST_DEPTH and (inner := self._opened(folder, name, key)) is not None:
                try:
                    yield from self._walk(inner, f"{key}/", depth + 1)
                finally:
                    os.close(inner)

    def _inside(self, folder: int, above: str) -> Iterator[tuple[str, os.stat_result]]:
        """What is in a folder now, by name."""
        try:
            with os.scandir(folder) as found:
                inside = sorted(found, key=lambda each: each.name)
            for each in inside:
                with suppress(FileNotFoundError):  # it went away
                    yield each.name, each.stat(follow_symlinks=False)
        except OSError as error:
            self._missed(above.rstrip("/"), error)

    def _opened(self, folder: int, name: str, key: str) -> int | None:
        try:
            return os.open(name, _NO_LINK | os.O_DIRECTORY, dir_fd=folder)
        except OSError as error:
            self._missed(key, error)
            return None

    def _missed(self, key: str, error: OSError) -> None:
        """This folder could not be read. Raises Failed where it is neither gone nor forbidden, or is the whole source."""
        told = _told(error)
        if told.code == "no_privilege" and key:
            self.shut.add(key)
        elif told.code != "gone" or not key:
            raise told

    def _read(self, key: str, start: int, length: int) -> bytes:
        """Each part of the path is opened from the one before, so that no `..`, no link and no race leads out."""
        *folders, name = key.split("/")
        if any(part in ("", ".", "..") for part in (*folders, name)):
            raise refusal("gone")
        opened: list[int] = []
        try:
            at = self._root
            for part in folders:
                at = os.open(part, _NO_LINK | os.O_DIRECTORY, dir_fd=at)
                opened.append(at)
            file = os.open(name, _NO_LINK, dir_fd=at)
            opened.append(file)
            if not stat.S_ISREG(os.fstat(file).st_mode):
                raise refusal("gone")
            return os.pread(file, length, start)
        except OSError as error:
            raise _told(error) from None
        finally:
            for each in reversed(opened):
                os.close(each)


def _told(error: OSError) -> Failed:
    return refusal(_ERRORS.get(error.errno or 0, "unreachable"))
