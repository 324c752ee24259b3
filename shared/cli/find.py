"""`pursight search` and `pursight show`: what is known of tables and columns, without a browser."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any
from urllib.parse import quote

from rich.text import Text

from shared.cli.connect import Edge, edge, listed, named_as, path_of, scope_of
from shared.cli.output import and_more, as_json, colored, plain, spoken, stdout, table
from shared.contracts.names import DEFAULT_TENANT, AssetName
from shared.errors import UsageError, did_you_mean

COLUMNS, ALIKE, MOST = 4, 5, 500  # columns of a table that are named in a list; names in an error; tables among which one is looked for
SETTLED = ("classified", "unclassified", "confirmed")  # states that need no word beside the class
Found = dict[str, Any]


def search(words: Sequence[str], *, json_output: bool, limit: int, source: str, **filters: Any) -> None:
    """Tables whose names, columns or classes hold all the words, riskiest first. `filters` are those of the catalog's `/search`."""
    with edge() as line:
        found = listed(line, "/search", "results", limit=limit, q=" ".join(words), source=scope_of(source), **filters)
        if not found["total"]:
            require_source(line, source)
    if json_output:
        as_json(found)
    elif found["results"]:
        rows = (_found(each) for each in found["results"])
        table("Tables", ("table", "sensitivity", "risk", "fails", "columns"), rows)
    else:
        told = "Nothing is found. Fewer or shorter words find more; `pursight source list` shows what is registered."
        stdout.print(told, soft_wrap=True)
    and_more(found["total"], len(found["results"]))


def _found(each: Found) -> tuple[Any, ...]:
    risk = each["risk"] if each["risk"] is not None else ""
    return plain(spoken(each["asset"])), colored(each["sensitivity"]), risk, each["failing"] or "–", _few(each["columns"], each["matching"])


def require_source(line: Edge, name: str) -> None:
    """Why a list that is held to this source is empty. Raises UsageError where there is no such source."""
    if not name or name.endswith("/"):
        return
    named = named_as(name)
    try:
        line.get(path_of(named))
    except UsageError as error:
        if error.code != "unknown_source":
            raise
        near = did_you_mean(name, (spoken(each["source"]) for each in line.get("/sources")["sources"]))
        raise UsageError(f"there is no source {spoken(named.key)}", remedy=near or "See `pursight source list`.", code=error.code) from None


def _few(columns: Sequence[Found], matching: Sequence[str]) -> str:
    """The first of the columns that explain why a table was found, each with its class where its name does not say that."""
    classes = {each["name"]: each.get("class", "none") for each in columns}
    named = [name if classes[name] in ("none", name) else f"{name} ({classes[name]})" for name in matching]
    return ", ".join(named[:COLUMNS]) + (f", {len(named) - COLUMNS} more" if len(named) > COLUMNS else "")


def show(name: str, *, json_output: bool) -> None:
    """One table: each column with its class and why, what it violates and what helps, its tags. Raises UsageError where it is not one."""
    with edge() as line:
        found = line.get(f"/assets/{quote(key_of(line, name), safe='')}")
    if json_output:
        return as_json(found)
    rows = f", {found['rows_estimated']:,} rows" if found["rows_estimated"] is not None else ""
    risk = f", risk {found['risk']}" if found["risk"] is not None else ""
    kind = found["kind"].replace("_", " ")
    stdout.print(plain(f"{spoken(found['asset'])}: {kind}{rows}, {found['sensitivity'] or 'not classified yet'}{risk}"), style="bold")
    if found["comment"]:
        stdout.print(plain(f"  {found['comment']}"))
    table("\nColumns", ("column", "type", "class", "sensitivity", "sure", "why"), map(_column, found["columns"]))
    _violations(found["violations"], {each["control"]: each for each in found["controls"]})
    if found["missing"]:
        asked = ", ".join(each["says"] for each in found["missing"])
        stdout.print()
        stdout.print(plain(f"Not known, so controls that ask for it stay unknown: {asked}."), style="yellow")
    tags = [(tag["key"], tag["value"]) for each in found["tags"] for tag in each["tags"]]
    if tags:
        table("\nTags", ("tag", "value"), tags)
    return None


def _column(column: Found) -> tuple[Any, ...]:
    if column["class"] == "none":
        return column["name"], column["type"], _state(column) or "–", "", "", _reasons(column)
    named = " ".join((column["class"], _state(column))).strip()
    return column["name"], column["type"], named, colored(column["sensitivity"]), f"{column['confidence']:.0%}", _reasons(column)


def _state(column: Found) -> str:
    """A word about how the class came about, where it is not the usual one."""
    return "" if column["state"] in SETTLED else f"({column['state']})"


def _reasons(column: Found) -> str:
    return "; ".join(each["text"] for each in column["reasons"])


def _violations(violations: Sequence[Found], controls: dict[str, Found]) -> None:
    def rows() -> Iterator[tuple[Any, ...]]:
        for each in violations:
            waived = " (waived)" if each["state"] == "waived" else ""
            remedy = controls.get(each["control"], {}).get("remedy", "")
            told = [plain(each["title"] + waived), plain(each["message"]), *([Text(remedy, style="dim")] if remedy else ())]
            yield colored(each["severity"]), each["control"], Text("\n").join(told)

    if violations:
        table("\nWhat it violates", ("severity", "control", "what is asked, where it fails, what helps"), rows())


def key_of(line: Edge, name: str) -> str:
    """The asset that a person calls SOURCE/DATABASE.SCHEMA.TABLE, or by the end of that, or SOURCE/ and the end. Raises UsageError where
    none is, or several."""
    shown = plain(name).plain
    if _is_asset(line, name):
        return name
    near: list[str] = []
    for read in _readings(shown) if name.strip() else ():
        alike, looks_like = _alike(line, *read)
        _require_one(alike, name)
        if alike:
            return alike[0]
        near = near or looks_like
    if _is_asset(line, key := f"{DEFAULT_TENANT}/{name}"):
        return key
    told = f"Did you mean {' or '.join(map(spoken, near))}?" if near else "`pursight search` finds tables."
    raise UsageError(f"there is no table {spoken(name).strip() or 'without a name'}", remedy=told, code="unknown_asset")


def table_in(line: Edge, source: str, name: str) -> str:
    """`schema.table` of what a person calls so in a source, where it is known already; else the name as it is. Raises UsageError where
    several are called so."""
    alike, _ = _alike(line, source, name)
    _require_one(alike, name)
    found = [AssetName.parse(key) for key in alike]
    return f"{found[0].schema}.{found[0].table}" if found else name


def _require_one(alike: Sequence[str], name: str) -> None:
    if len(alike) > 1:
        named = ", ".join(map(spoken, alike[:ALIKE])) + (" …" if len(alike) > ALIKE else "")
        raise UsageError(
            f"{len(alike)} tables are called {spoken(name)}", why=named, remedy="Give more of its name.", code="ambiguous_asset"
        )


def _is_asset(line: Edge, name: str) -> bool:
    """Is this the key of one?"""
    try:
        AssetName.parse(name)
        line.get(f"/assets/{quote(name, safe='')}")
    except ValueError:
        return False
    except UsageError as error:
        if error.code != "asset_unknown":
            raise
        return False
    return True


def _readings(name: str) -> Iterator[tuple[str, str]]:
    """What the name may mean: the end of a name, or a source with or without its tenant, and the end of a name in there."""
    yield "", name
    parts = name.split("/")
    for at in range(1, min(3, len(parts))):
        yield "/".join(parts[:at]), "/".join(parts[at:])


def _alike(line: Edge, source: str, name: str) -> tuple[list[str], list[str]]:
    """The keys of the assets that are called so; of those whose names only end so, none where one is called exactly so. Then, where nothing
    is, of those whose names look like it.

    Raises UsageError where none is among those that are looked at, and there are more.
    """
    found = line.get("/search", limit=MOST, source=scope_of(source) if source else "", named=_place(name))
    assets = [str(each["asset"]) for each in found["results"]]
    named = {key: spoken(key.rpartition("/")[2] if source else key) for key in assets}
    exact = [key for key, said in named.items() if name in (key, said)]
    alike = exact or [key for key, said in named.items() if _ends(said.casefold(), name.casefold())]
    if not alike and found["total"] > len(assets) and (source or "/" not in name):
        why = f"{found['total']:,} have such names"
        raise UsageError(f"too many tables to tell which is {name}", why=why, remedy="Give more of its name.", code="ambiguous_asset")
    return alike, list(found.get("near", ()))


def _place(name: str) -> str:
    """The name without the escapes of a key, where it is one; else what follows the last mark that cannot be shown as it is."""
    try:
        return AssetName.parse(name).place
    except ValueError:
        return name.rpartition("\N{REPLACEMENT CHARACTER}")[2]


def _ends(whole: str, end: str) -> bool:
    """Does the name end so, at the beginning of one of its parts?"""
    return whole.endswith(end) and whole.removesuffix(end)[-1:] in ("", ".", "/")
