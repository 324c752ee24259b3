"""What is inside files of CSV, JSON and Parquet: columns from a head or a footer, rows from a few places; never a whole large file.

A CSV without a header gives its columns numbers, so that no value is taken for a name. A `.gz` can be read from its start alone.
"""

from __future__ import annotations

import asyncio
import csv
import io
import json
import random
import re
import zlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

from shared.errors import Failed
from shared.sources.documents import EACH, Field, Outline, Picker, Rows, told
from shared.sources.store_failures import refusal
from shared.sources.store_line import Entry, Store

_HEAD_BYTES = 256 * 1024
_PLACE_BYTES = 64 * 1024
_PLACES = 8
_UNPACKED_BYTES = 4 << 20
_BLOCK_BYTES = 128 * 1024
_MOST_PARQUET_BYTES = 48 << 20  # of one file
_HEAD_ROWS = 200
_PARQUET_SECONDS = 120.0
T = TypeVar("T")
_JSON_TYPES = {int: "integer", float: "number", bool: "boolean"}


async def fields(store: Store, entry: Entry, format_: str) -> Sequence[Field]:
    """The columns of a file. Raises Failed with a code of `failures`: `unreadable_file`, `gone`, `no_privilege`, …"""
    if format_ == "parquet":
        return await with_parquet(store, entry, _parquet_fields)
    head = await _head(store, entry)
    if format_ == "csv":
        return _csv_fields(_Csv(head, entry.key))
    outline = Outline(_JSON_TYPES)
    for each in _json(head, whole=len(head) >= entry.size)[:_HEAD_ROWS]:
        outline.add(each)
    return outline.fields()


async def rows(store: Store, entry: Entry, format_: str, columns: Sequence[str], most: int, seed: int) -> Rows:
    """About `most` rows from all over the file, the same ones each time."""
    if format_ == "parquet":
        return await with_parquet(store, entry, lambda file: _parquet_rows(file, columns, most, seed))
    pieces = await _pieces(store, entry, most, seed)
    if format_ == "json":
        return Picker(columns).rows(each for piece, count in pieces for each in _some(_json(piece, whole=False), count, seed))
    head = _Csv(pieces[0][0] if pieces and len(pieces) == 1 else await _head(store, entry), entry.key)
    found = [row for piece, count in pieces for row in _some(head.rows(piece, first=len(pieces) == 1), count, seed)]
    at = {name: place for place, name in enumerate(head.names)}
    wanted = [at.get(name) for name in columns]
    return Rows(len(found), [[row[place][:200] for row in found if row[place] != ""] if place is not None else [] for place in wanted])


def _some(found: Sequence[Any], count: int, seed: int) -> list[Any]:
    if len(found) <= count:
        return list(found)
    return [found[at] for at in sorted(random.Random(seed).sample(range(len(found)), count))]


async def _head(store: Store, entry: Entry) -> bytes:
    raw = await store.read(entry.key, 0, min(entry.size, _HEAD_BYTES))
    return _unpacked(raw) if entry.key.lower().endswith(".gz") else _text(raw)


async def _pieces(store: Store, entry: Entry, most: int, seed: int) -> list[tuple[bytes, int]]:
    """Parts of a file, cut at line ends, and how many rows each is to give."""
    if entry.size <= _HEAD_BYTES or entry.key.lower().endswith(".gz"):
        return [(await _head(store, entry), most)]
    dice, width = random.Random(seed), entry.size / _PLACES
    found = []
    for place in range(_PLACES):
        start = int(place * width + 0.75 * dice.random() * width)
        raw = await store.read(entry.key, start, min(_PLACE_BYTES, int((place + 1) * width) - start))
        cut = raw[raw.find(b"\n") + 1 : raw.rfind(b"\n") + 1]
        found.append((cut, -(-most // _PLACES)))
    return found


def _unpacked(raw: bytes) -> bytes:
    """As much as can be had of the beginning of a gzip file, bounded whatever it grows to."""
    try:
        return _text(zlib.decompressobj(zlib.MAX_WBITS | 16).decompress(raw, _UNPACKED_BYTES))
    except zlib.error:
        raise refusal("unreadable_file") from None


def _text(raw: bytes) -> bytes:
    """As UTF-8 without a mark at its start."""
    for mark, encoding in ((b"\xef\xbb\xbf", "utf-8-sig"), (b"\xff\xfe", "utf-16"), (b"\xfe\xff", "utf-16")):
        if raw.startswith(mark):
            return raw.decode(encoding, "replace").encode()
    return raw


# JSON: one document a line, one list of documents, or documents one after the other


def _json(raw: bytes, *, whole: bool) -> list[dict[str, Any]]:
    """The documents that are complete. Raises Failed (`unreadable_file`) where a file's beginning is none."""
    found: list[dict[str, Any]] = []
    for line in raw.splitlines():
        text = line.strip().rstrip(b",")
        if not text or text in (b"[", b"]"):
            continue
        try:
            each = json.loads(text)
        except (ValueError, RecursionError):
            each = None
        if isinstance(each, dict):
            found.append(each)
        elif isinstance(each, list):
            found += [one for one in each if isinstance(one, dict)]
        elif not found:
            return _json_anyhow(raw.decode("utf-8", "replace"), whole=whole)
    return found


def _json_anyhow(text: str, *, whole: bool) -> list[dict[str, Any]]:
    decoder, found, at = json.JSONDecoder(), [], 0
    try:
        while at < len(text):
            if text[at] in "[, \t\r\n]":
                at += 1
                continue
            each, at = decoder.raw_decode(text, at)
            found += [each] if isinstance(each, dict) else []
    except (ValueError, RecursionError):
        if not found or whole:  # cut in the middle is to be expected, broken is not
            found = found or []
    if not found and text.strip("[] \t\r\n"):
        raise refusal("unreadable_file")
    return found


# CSV

_DELIMITERS = ",;\t|"
_NUMBER = re.compile(r"[+\-]?(?:\d+(?:[.,]\d+)*|\.\d+)(?:[eE][+\-]?\d+)?%?")
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}|\d{1,2}[./]\d{1,2}[./]\d{2,4}")
_TIMESTAMP = re.compile(r"\d{4}-\d{2}-\d{2}[ T]\d{2}:\d{2}(?::\d{2}(?:\.\d+)?)?(?:Z|[+\-]\d{2}:?\d{2})?")
_BOOLEAN = frozenset({"true", "false"})
_NOTHING = frozenset({"na", "n/a", "nan", "null", "none", "nil", "unknown", "tbd", "inf"})
_NAME = re.compile(r"[^\W\d][\w .\-/()#%€$]{0,80}")
_WORD = re.compile(r"[A-Z]?[^\W\d_A-Z]+|[A-Z]+")
# Words that stand in headers; a row of words without one of them is more likely data.
_HEADER_WORDS = (
    "id key code name first last surname date time day month year birth email mail phone mobile fax address street city town "
    "zip postal postcode region state country type status number no nr amount price total sum count quantity currency account "
    "iban bic card user username password login customer client person employee patient company department title gender sex "
    "age comment note text description value url ip lat lon latitude longitude created updated modified at uuid guid product "
    "order item category group role level score flag active nombre apellido correo telefono direccion ciudad pais fecha "
    "vorname nachname strasse ort plz land datum betrag nom prenom adresse ville pays naissance telephone cognome indirizzo "
    "citta paese data nascita naam achternaam adres postcode stad geboortedatum kunde kunden "
)
_HEADERS = frozenset(_HEADER_WORDS.split())


class _Csv:
    """The form of a CSV file, from its head."""

    def __init__(self, head: bytes, key: str) -> None:
        self._ending = "\t" if ".tsv" in key.lower() else "|" if ".psv" in key.lower() else ""
        complete = head[: head.rfind(b"\n") + 1] if b"\n" in head[-_PLACE_BYTES:] and len(head) >= _HEAD_BYTES else head
        text = _decoded(complete)
        if "\0" in text:
            raise refusal("unreadable_file")
        self.delimiter = self._ending or _delimiter(text)
        sample = list(_parsed(text, self.delimiter, _HEAD_ROWS + 1))
        width = max((len(row) for row in sample), key=[len(row) for row in sample].count, default=0)
        self.width = width
        self.sample = [row for row in sample if len(row) == width]
        self.header = bool(self.sample) and _is_header(self.sample[0], self.sample[1:])
        shown = [told(name.strip()) for name in self.sample[0]] if self.header else []
        self.names = _distinct(shown) if self.header else [f"c{at}" for at in range(1, width + 1)]

    def rows(self, piece: bytes, *, first: bool) -> list[list[str]]:
        """The rows of a part of the file that have as many values as the others."""
        found = [row for row in _parsed(_decoded(piece), self.delimiter) if len(row) == self.width]
        return found[1:] if first and self.header else found


def _decoded(raw: bytes) -> str:
    try:
        return raw.decode()
    except UnicodeDecodeError as error:
        return raw.decode("utf-8", "replace") if error.start > len(raw) - 4 else raw.decode("latin-1")


def _parsed(text: str, delimiter: str, most: int | None = None) -> Iterator[list[str]]:
    count = 0
    try:
        for row in csv.reader(io.StringIO(text, newline=""), delimiter=delimiter):
            if row:
                yield row
                count += 1
                if count == most:
                    return
    except csv.Error:  # a value beyond the module's own limit
        return


def _delimiter(text: str) -> str:
    """The one that cuts most lines into the same number of pieces, more than one."""
    lines = [line for line in text.splitlines()[:50] if line]

    def fits(mark: str) -> tuple[int, int]:
        counts = [line.count(mark) for line in lines]
        usual = max(set(counts), key=counts.count, default=0)
        return (counts.count(usual), usual) if usual else (0, 0)

    return max(_DELIMITERS, key=fits)


def _is_header(first: Sequence[str], others: Sequence[Sequence[str]]) -> bool:
    """Names that nobody would take for data. In doubt no: a value must never be told as a name."""
    cells = [cell.strip() for cell in first]
    if len(set(cells)) < len(cells) or not all(_NAME.fullmatch(cell) and told(cell) == cell for cell in cells):
        return False
    if others and any(_kind([row[at] for row in others]) != "text" and cell.lower() not in _NOTHING for at, cell in enumerate(cells)):
        return True
    return any(word.lower() in _HEADERS for cell in cells for word in _WORD.findall(cell))


def _distinct(names: Sequence[str]) -> list[str]:
    seen: dict[str, int] = {}
    found = []
    for name in names:
        seen[name] = seen.get(name, 0) + 1
        found.append(name if seen[name] == 1 else f"{name}_{seen[name]}")
    return found


def _csv_fields(head: _Csv) -> list[Field]:
    body = head.sample[1:] if head.header else head.sample
    kinds = [_kind([row[at] for row in body]) for at in range(head.width)]
    return [Field(name, kind, False, kind == "text") for name, kind in zip(head.names, kinds, strict=False)]


def _kind(values: Sequence[str]) -> str:
    """The type that all values of a column have; text where there is doubt."""
    given = [value.strip() for value in values if value.strip()]
    if not given:
        return "text"
    if all(value.lower() in _BOOLEAN for value in given):
        return "boolean"
    for kind, form in (("date", _DATE), ("timestamp", _TIMESTAMP)):
        if all(form.fullmatch(value) for value in given):
            return kind
    if all(_NUMBER.fullmatch(value) for value in given):
        padded = any(len(value) > 1 and value[0] == "0" and value[1].isdigit() for value in given)
        return "text" if padded else "number" if any(mark in value for value in given for mark in ".,eE%") else "integer"
    return "text"


# Parquet


class _Ranges(io.RawIOBase):
    """An object as a file: blocks are fetched when they are read. Used in a thread beside the event loop."""

    def __init__(self, store: Store, entry: Entry, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__()
        self._store, self._entry, self._loop = store, entry, loop
        self._at, self._blocks, self._fetched = 0, dict[int, bytes](), 0
        self.error: Failed | None = None

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self._at = offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._entry.size}[whence]
        return self._at

    def read(self, size: int = -1) -> bytes:
        end = self._entry.size if size is None or size < 0 else min(self._entry.size, self._at + size)
        found = bytearray()
        while self._at < end:
            block, inside = divmod(self._at, _BLOCK_BYTES)
            piece = self._block(block)[inside : inside + end - self._at]
            if not piece:
                break
            found += piece
            self._at += len(piece)
        return bytes(found)

    def _block(self, number: int) -> bytes:
        if number not in self._blocks:
            self._fetched += _BLOCK_BYTES
            if self._fetched > _MOST_PARQUET_BYTES:
                self._failed(refusal("unreadable_file"))
            ask = self._store.read(self._entry.key, number * _BLOCK_BYTES, _BLOCK_BYTES)
            try:
                self._blocks[number] = asyncio.run_coroutine_threadsafe(ask, self._loop).result(_PARQUET_SECONDS)
            except Failed as error:
                self._failed(error)
        return self._blocks[number]

    def _failed(self, error: Failed) -> None:
        """Kept, since the library tells of trouble below it in its own words only."""
        self.error = error
        raise OSError("the object cannot be read")


async def with_parquet(store: Store, entry: Entry, work: Callable[[Any], T]) -> T:
    """Do this with a file of Parquet. Raises Failed: the store's, or `unreadable_file`."""
    from pyarrow import ArrowException
    from pyarrow.parquet import ParquetFile

    ranges = _Ranges(store, entry, asyncio.get_running_loop())

    def run() -> T:
        with ParquetFile(ranges, buffer_size=_BLOCK_BYTES, pre_buffer=False, coerce_int96_timestamp_unit="us") as file:
            return work(file)

    try:
        return await asyncio.to_thread(run)
    except (ArrowException, OSError, ValueError, KeyError, NotImplementedError, OverflowError):
        raise ranges.error or refusal("unreadable_file") from None


def _parquet_fields(file: Any) -> list[Field]:
    found: list[Field] = []
    for each in file.schema_arrow:
        found += _arrow_fields(told(each.name), each.type, not each.nullable)
    return found


def _arrow_fields(path: str, type_: Any, always: bool) -> Iterator[Field]:
    from pyarrow import types

    if types.is_struct(type_):
        for each in type_:
            yield from _arrow_fields(f"{path}.{told(each.name)}", each.type, always and not each.nullable)
    elif types.is_map(type_):
        yield from _arrow_fields(f"{path}.*", type_.item_type, False)
    elif types.is_list(type_) or types.is_large_list(type_) or types.is_fixed_size_list(type_):
        yield from _arrow_fields(f"{path}{EACH}", type_.value_type, False)
    else:
        plain = type_.value_type if types.is_dictionary(type_) else type_
        yield Field(path, str(plain), always, types.is_string(plain) or types.is_large_string(plain))


def _parquet_rows(file: Any, columns: Sequence[str], most: int, seed: int) -> Rows:
    """From the beginnings of a few row groups: a page inside one cannot be entered without those before it."""
    wanted = {re.split(r"[.\[]", name, maxsplit=1)[0] for name in columns}
    tops = [
        name for name in file.schema_arrow.names if told(name) == name and (name in wanted or name in columns or _starts(name, columns))
    ]
    groups = _some(range(file.num_row_groups), _PLACES, seed)
    found: list[dict[str, Any]] = []
    for at, group in enumerate(groups):
        share = -(-(most - len(found)) // (len(groups) - at))
        batch = next(file.iter_batches(batch_size=max(share * 4, 64), row_groups=[group], columns=tops, use_threads=False), None)
        if batch is not None:
            rows_ = _some(range(batch.num_rows), share, seed + group)
            found += _plain(batch.take(rows_)).to_pylist(maps_as_pydicts="lossy")
    return Picker(columns).rows(found[:most])


def _plain(batch: Any) -> Any:
    """Without nanoseconds, which Python's own times do not have."""
    import pyarrow
    from pyarrow import types

    micro = [
        each.with_type(pyarrow.timestamp("us", each.type.tz))
        if types.is_timestamp(each.type)
        else each.with_type(pyarrow.time64("us"))
        if types.is_time64(each.type)
        else each
        for each in batch.schema
    ]
    return batch.cast(pyarrow.schema(micro), safe=False)


def _starts(name: str, columns: Sequence[str]) -> bool:
    return any(column.startswith((f"{name}.", f"{name}{EACH}")) for column in columns)
