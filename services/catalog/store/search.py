"""Search: words, facets and one page of results in a single statement."""

from __future__ import annotations

import asyncio
from typing import Any

import asyncpg
import orjson

from services.catalog.domain.wanted import Wanted
from services.catalog.domain.words import begins, folded, look_alike, typed
from services.catalog.store import read
from shared.db.scope import in_scope
from shared.errors import UsageError, did_you_mean


def _closes(whole: str, end: str) -> str:
    """SQL: does `whole` end so, at the beginning of a word? What a name cannot show is no part of a word."""
    return f"(right({whole}, length({end})) = {end} AND right(left({whole}, length({whole}) - length({end})), 1) !~ '[[:alnum:]_]')"


# The longest query picks candidates by index; then every word must be found in the names or in the classes of an asset.
_SEARCH = f"""
WITH wanted AS (SELECT word::tsquery AS word FROM unnest($1::text[]) AS w(word)),
hit AS MATERIALIZED (
    SELECT a.asset, a.place, a.source, a.schema_name, a.table_name, a.kind, a.owner, a.rows_estimated, a.column_count, a.scan_id,
           coalesce(v.sensitivity, 'internal') AS sensitivity, coalesce(v.classes, '{{}}') AS classes, v.class_counts,
           coalesce(v.review_count, 0) AS review_count, j.risk, coalesce(j.frameworks, '{{}}') AS frameworks,
           coalesce(cardinality(j.failing), 0) AS failing
    FROM asset a LEFT JOIN verdict v USING (asset) LEFT JOIN judgement j USING (asset)
    WHERE NOT a.removed
      AND ($2 = '' OR a.asset IN (
          SELECT asset FROM asset WHERE words @@ $2::tsquery UNION SELECT asset FROM verdict WHERE words @@ $2::tsquery))
      AND NOT EXISTS (SELECT FROM wanted WHERE NOT (a.words @@ word OR coalesce(v.words @@ word, false)))
      AND ($3 = '' OR v.classes @> ARRAY[$3]) AND ($4 = '' OR lower($4) = ANY (lower(j.frameworks::text)::text[]))
      AND {in_scope("a.source", "$5")}
      AND ($6 = '' OR v.sensitivity = $6) AND (NOT $7 OR v.review_count > 0)
      AND ($8 = '' OR {_closes("$8", "place")} OR {_closes("place", "$8")})
), page AS (
    SELECT * FROM hit
    ORDER BY $8 <> '' AND right($8, length(place)) = place DESC, risk DESC NULLS LAST, asset LIMIT $9 OFFSET $10
)
SELECT json_build_object(
    'total', (SELECT count(*) FROM hit),
    'results', (SELECT coalesce(json_agg(to_jsonb(page) - 'place' ORDER BY risk DESC NULLS LAST, asset), '[]') FROM page),
    'facets', json_build_object(
        'class', (SELECT coalesce(json_agg(f), '[]') FROM (
            SELECT name, count(*) AS count FROM hit, unnest(classes) AS c(name) GROUP BY 1 ORDER BY 2 DESC, 1 LIMIT 40) AS f),
        'framework', (SELECT coalesce(json_agg(f), '[]') FROM (
            SELECT name, count(*) AS count FROM hit, unnest(frameworks) AS c(name) GROUP BY 1 ORDER BY 2 DESC, 1) AS f),
        'sensitivity', (SELECT coalesce(json_agg(f), '[]') FROM (
            SELECT sensitivity AS name, count(*) AS count FROM hit GROUP BY 1
            ORDER BY array_position(ARRAY['restricted', 'confidential', 'internal', 'public'], sensitivity)) AS f),
        'source', (SELECT coalesce(json_agg(f), '[]') FROM (
            SELECT source AS name, count(*) AS count FROM hit GROUP BY 1 ORDER BY 2 DESC, 1 LIMIT 100) AS f)
    ))::text
"""
_COLUMNS = "SELECT asset, doc FROM verdict WHERE asset = ANY ($1)"
_NAMES = "SELECT asset, doc FROM asset WHERE asset = ANY ($1)"


_PLACES = f"SELECT asset, place FROM asset WHERE NOT removed AND {in_scope('source', '$1')}"
_CONTAINING = """
SELECT word FROM (
    SELECT word FROM ts_stat('SELECT words FROM asset WHERE NOT removed') UNION SELECT word FROM ts_stat('SELECT words FROM verdict')
) AS w
WHERE strpos(word, $1) > 0 ORDER BY length(word), word LIMIT 40
"""
_FRAMEWORKS = "SELECT doc ->> 'name', doc ->> 'framework' FROM fact WHERE kind = 'policy.published' ORDER BY 2"
_NOTHING: dict[str, Any] = {"total": 0, "results": [], "facets": {"class": [], "framework": [], "sensitivity": [], "source": []}}
_LONG_ENOUGH = 3  # letters of a word that is also looked for inside of words


async def search(pool: asyncpg.Pool, wanted: Wanted) -> dict[str, Any]:
    """`{"total", "results", "facets": {class, framework, sensitivity, source}}`, riskiest first; each result has its `columns`.

    Where nothing has the name that is asked for, `near` are the assets whose names look like it.
    A word must begin a word of the table; where nothing is found so, it may also stand inside of one: mail finds email.
    Raises UsageError where there is no such framework or class.
    """
    wanted = wanted._replace(framework=await _framework(pool, wanted.framework))
    words = typed(wanted.text)
    if wanted.text.strip() and not words:
        return _NOTHING
    async with pool.acquire() as connection:
        found = await _find(connection, wanted, list(map(begins, words)))
        if not found["total"] and words:
            found = await _find(connection, wanted, [await _inside(connection, word) for word in words])
        assets = [result["asset"] for result in found["results"]]
        verdicts = dict(await connection.fetch(_COLUMNS, assets))
        names = dict(await connection.fetch(_NAMES, [asset for asset in assets if asset not in verdicts]))
    if not found["total"] and wanted.class_name:
        _require(wanted.class_name, await read.classes(pool))
    if not found["total"] and wanted.named:
        found["near"] = await asyncio.to_thread(look_alike, wanted.named, dict(await pool.fetch(_PLACES, wanted.source)))
    for result in found["results"]:
        result["columns"] = orjson.loads(verdicts.get(result["asset"]) or names[result["asset"]])["columns"]
    return found


async def _framework(pool: asyncpg.Pool, wanted: str) -> str:
    """The framework as judgements name it, of what a person calls it: pci-dss, PCI DSS. Raises UsageError where none is called so."""
    published = [tuple(record) for record in await pool.fetch(_FRAMEWORKS)] if wanted else []
    for name, framework in published:
        if _bare(wanted) in (_bare(name), _bare(framework)):
            return str(framework)
    if published:
        known = ", ".join(framework for _, framework in published)
        raise UsageError(f"there is no framework {wanted}", remedy=f"Known are: {known}.", code="unknown_framework")
    return wanted


def _bare(name: str) -> str:
    """Its letters and digits, as it may be compared."""
    return "".join(filter(str.isalnum, name.casefold()))


def _require(class_name: str, known: list[str]) -> None:
    """Raises UsageError where there is no such class."""
    if known and class_name not in known:
        remedy = did_you_mean(class_name, known) or "`pursight review classes` lists them."
        raise UsageError(f"there is no class {class_name}", remedy=remedy, code="unknown_class")


async def _find(connection: asyncpg.Connection, wanted: Wanted, words: list[str]) -> dict[str, Any]:
    filters = (wanted.class_name, wanted.framework, wanted.source, wanted.sensitivity, wanted.review, folded(wanted.named))
    text = await connection.fetchval(_SEARCH, words, max(words, key=len, default=""), *filters, wanted.limit, wanted.offset)
    found: dict[str, Any] = orjson.loads(text)
    return found


async def _inside(connection: asyncpg.Connection, word: frozenset[str]) -> str:
    """The known words that contain this one, as a tsquery."""
    found = [begins(word)]
    for spelling in word:
        if len(spelling) >= _LONG_ENOUGH:
            found += [record[0] for record in await connection.fetch(_CONTAINING, spelling)]
    return " | ".join(found)
