"""Which objects belong together: folders of equal files are one asset, and so are files whose names differ by a date or a number.

>>> assets = Assets()
>>> for key in ("sales/orders/year=2024/part-0001.parquet", "sales/orders/year=2025/part-0001.parquet", "sales/customers.csv"):
...     assets.add(Entry(key, 10))
>>> [(asset.schema, asset.table, asset.files) for asset in assets.all()]
[('sales', 'customers.csv', 1), ('sales', 'orders', 2)]
"""

from __future__ import annotations

import heapq
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from typing import NamedTuple

from shared.sources.documents import ANY, told
from shared.sources.store_line import Entry

ROOT = "/"
LOOKED_AT = 4  # files of one asset whose heads and rows are read
MOST_ASSETS = 20_000
_FORMATS = {
    ".csv": "csv",
    ".tsv": "csv",
    ".psv": "csv",
    ".json": "json",
    ".jsonl": "json",
    ".ndjson": "json",
    ".parquet": "parquet",
    ".pq": "parquet",
}
_PARTITION = re.compile(r"([^=]{1,120})=(.*)", re.DOTALL)
# What differs between equal files: ids, dates and times, and numbers that stand alone or are padded.
_VARIES = re.compile(
    r"[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}|(?<![0-9A-Za-z])(?=[0-9a-f]*\d)[0-9a-f]{12,}(?![0-9A-Za-z])"
    r"|\d{4}-?\d{2}-?\d{2}(?:[T_\-]?\d{2}[:\-]?\d{2}(?:[:\-]?\d{2})?(?:[.,]\d+)?Z?)?|(?<![0-9A-Za-z])\d+(?![0-9A-Za-z])|\d{4,}|(?<=[a-z])0\d+",
    re.IGNORECASE,
)
_RUN = re.compile(r"\*(?:[-_.T:]*(?:c|part|attempt|m|r)?[-_.]*\*)+")


class Parts(NamedTuple):
    """A key, taken apart: literal folders (varying ones as `*`), partition columns with their values, the file's pattern, its format."""

    folders: tuple[str, ...]
    partitions: tuple[tuple[str, str], ...]
    pattern: str
    format: str
    varies: bool


def parts(key: str) -> Parts | None:
    """None for what holds no data: markers, hidden and temporary files, formats that are not read."""
    *above, name = key.split("/")
    if any(part.startswith(("_", ".")) or not part for part in (*above, name)):
        return None
    stem, ending, format_ = _format(name)
    if not format_:
        return None
    folders, partitions, varies = _above(above)
    pattern = _pattern(stem)
    return Parts(folders, partitions, f"{pattern}{ending}", format_, varies or ANY in pattern)


def _above(names: Sequence[str]) -> tuple[tuple[str, ...], tuple[tuple[str, str], ...], bool]:
    """Folders from the top as they count for an asset, the partition columns among them, and whether there may be others like the last."""
    folders: list[str] = []
    partitions: list[tuple[str, str]] = []
    for part in names:
        if found := _PARTITION.fullmatch(part):
            partitions.append((told(found[1]), found[2]))
        elif (shown := _pattern(part)) != ANY or folders[-1:] != [ANY]:
            folders.append(shown)
    varies = bool(partitions) or folders[-1:] == [ANY]
    while folders[-1:] == [ANY]:
        folders.pop()
    return tuple(folders), tuple(partitions), varies


def _format(name: str) -> tuple[str, str, str]:
    """Stem, ending and format; the last is empty where it is none of ours."""
    packed = ".gz" if name.lower().endswith(".gz") else ""
    plain = name[: len(name) - len(packed)]
    dot = plain.rfind(".")
    ending = plain[dot:].lower() if dot > 0 else ""
    format_ = _FORMATS.get(ending, "")
    return (plain[:dot], plain[dot:] + name[len(plain) :], format_) if format_ and not (packed and format_ == "parquet") else ("", "", "")


def _pattern(part: str) -> str:
    shown = _RUN.sub(ANY, _VARIES.sub(ANY, part))
    return ANY if set(shown) <= set("*-_. ") else told(shown)


@dataclass(slots=True)
class Asset:
    """Files that belong together, or a folder that may not be read. `sample` are those that are looked at: the same ones each time while
    the files stay. `shut`: a folder that may hold more of its files may not be read."""

    schema: str
    table: str
    format: str
    files: int = 0
    bytes: int = 0
    partitions: dict[str, set[str]] = field(default_factory=dict)
    shut: bool = False
    _heap: list[tuple[int, Entry]] = field(default_factory=list)

    def add(self, entry: Entry, partitions: tuple[tuple[str, str], ...]) -> None:
        self.files += 1
        self.bytes += entry.size
        for name, _ in partitions:
            self.partitions.setdefault(name, set())
        if entry.size:
            rank = int.from_bytes(sha256(entry.key.encode("utf-8", "replace")).digest()[:8], "big")
            put = heapq.heappush if len(self._heap) < LOOKED_AT else heapq.heappushpop
            put(self._heap, (-rank, entry))

    @property
    def sample(self) -> list[Entry]:
        return sorted(entry for _, entry in self._heap)

    @property
    def written(self) -> int:
        """Another number where another file is looked at, or one of them was written; 0 where the store does not tell."""
        if not all(entry.version for _, entry in self._heap):
            return 0
        return int.from_bytes(sha256(repr(self.sample).encode("utf-8", "replace")).digest()[:8], "big") >> 1


class Assets:
    """All assets of a listing, found while it streams by: memory grows with assets, not with objects."""

    def __init__(self) -> None:
        self._found: dict[tuple[tuple[str, ...], str, str], Asset] = {}
        self._varying: dict[tuple[tuple[str, ...], str, str], bool] = {}
        self.shut = set[tuple[str, ...]]()  # folders, as they count for an asset
        self.too_many = False

    def add_shut(self, folder: str) -> None:
        """A folder that nobody can look into. Assets in its like may have more files; without any it is one asset, whatever it holds."""
        names = folder.split("/")
        if not any(name.startswith(("_", ".")) for name in names):
            self.shut.add(_above(names)[0])

    def hidden(self, schema: str, table: str) -> bool:
        """Whether an asset of this name would be in a folder that may not be read."""
        return _below((*([] if schema == ROOT else schema.split("/")), table), self.shut)

    def add(self, entry: Entry) -> None:
        """One more object."""
        if (of := parts(entry.key)) is None:
            return
        key = (of.folders, of.pattern, of.format)
        if key not in self._found and len(self._found) >= MOST_ASSETS:
            self.too_many = True
            return
        asset = self._found.setdefault(key, Asset("", "", of.format))
        self._varying[key] = self._varying.get(key, False) or of.varies
        asset.add(entry, of.partitions)

    def all(self) -> list[Asset]:
        """Every asset with its name: the folder's where all of its files are equal, else the pattern of the files'."""
        together: dict[tuple[str, ...], int] = {}
        for folders, _, _ in self._found:
            together[folders] = together.get(folders, 0) + 1
        for key, asset in self._found.items():
            folders, pattern, _ = key
            alone = together[folders] == 1 and self._varying[key] and folders
            asset.schema = "/".join(folders[:-1] if alone else folders) or ROOT
            asset.table = folders[-1] if alone else pattern
            asset.shut = _below(folders, self.shut)
        lone = [_whole(folders) for folders in self.shut if not any(key[0][: len(folders)] == folders for key in self._found)]
        every = {(each.schema, each.table): each for each in (*lone, *self._found.values())}
        return [every[name] for name in sorted(every)]


def _below(names: tuple[str, ...], folders: Iterable[tuple[str, ...]]) -> bool:
    return any(names[: len(each)] == each for each in folders)


def _whole(folders: tuple[str, ...]) -> Asset:
    return Asset("/".join(folders[:-1]) or ROOT, folders[-1] if folders else ANY, "", shut=True)
