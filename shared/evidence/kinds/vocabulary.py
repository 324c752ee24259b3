"""Words that people know: names of people, places and professions. Lists, not forms: only columns in which they are frequent tell of them.

`vocabulary.npz` is made by bench/evidence/vocabulary.py, which names the sources.
"""

from __future__ import annotations

import unicodedata
import zlib
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shared.evidence.detector import Detector, Found, Mask

LISTS = ("given_name", "family_name", "city_name", "country_name", "region_name", "region_code", "occupation", "nationality")
PATH = Path(__file__).with_suffix(".npz")
_SEEN = 16  # of a column's values
_TOLD = 0.2  # share of them from which a list is told
_MOST_WORDS = 6
_BIT = {name: 1 << place for place, name in enumerate(LISTS)}

WORDS = r"(?:[A-Za-z]|[\xc3-\xd9][\x80-\xbf])(?:[A-Za-z0-9 ,.'/&()+%\-]|[\x80-\xff]){1,47}"


def fold(text: bytes) -> bytes:
    """The spelling that lists are kept in: lower case, accents off, no full stops.

    >>> fold("Köln".encode()), fold(b"ST. LOUIS")
    (b'koln', b'st louis')
    """
    if not text.isascii():
        decomposed = unicodedata.normalize("NFKD", text.decode("utf-8", "replace"))
        text = "".join(char for char in decomposed if not unicodedata.combining(char)).encode("utf-8", "replace")
    return text.lower().replace(b".", b"")


@cache
def _known() -> tuple[NDArray[np.uint32], NDArray[np.uint8]]:
    """All keys, rising, and which lists have each; read at first use."""
    with np.load(PATH, allow_pickle=False) as file:
        return file["keys"], file["masks"]


def lists_of(words: list[bytes]) -> NDArray[np.uint8]:
    """For each word, as `fold` spells it, the lists that have it, as bits in the order of `LISTS`."""
    keys, masks = _known()
    wanted = np.fromiter(map(zlib.crc32, words), np.uint32, len(words))
    places = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
    found: NDArray[np.uint8] = np.where(keys[places] == wanted, masks[places], 0).astype(np.uint8)
    return found


# Stems of international nonproprietary names (WHO, The use of stems in the selection of INN), and endings of medical Greek and Latin.
_DRUG = (
    *b"cillin mycin floxacin cycline azole oxacin pril sartan olol dipine statin formin gliptin gliflozin glutide prazole tidine".split(),
    *b"profen oxicam coxib triptan setron caine azepam azolam oxetine triptyline peridone idone apine parin xaban grel tinib".split(),
    *b"ciclib mab virine vudine thiazide semide sone solone terol tropium phylline lukast dronate bital codone morphone".split(),
    *b"fentanil cillina micina prazol statina formina azol cilina profeno dipin oxetin aciclovir navir".split(),
)
_ILLNESS = (
    *b"itis itide osis throse mbose irrhose sychose neurose emia aemia aemie emie anemie oma pathy pathie patia algia algie".split(),
    *b"plegia plegie penia rrhea rrhoea rrhoe trophy trophie lepsy lepsie thyroidism tension tonie fraktur fracture".split(),
    *b"fractura fratura entzundung erkrankung syndrom syndrome sindrome disorder disease infection infektion karzinom".split(),
    *b"cancer insufficiency insuffizienz".split(),
)
_DRUG_NAME, _ILLNESS_NAME, _FULL_NAME, _FIRM_NAME = 1 << 8, 1 << 9, 1 << 10, 1 << 11
# What stands before or behind the name of a firm: its legal form, without full stops, or who owns it with the one who is named.
_FIRM_LAST = frozenset(
    b"""gmbh mbh ag kg kgaa ohg gbr ug ev eg partg ltd limited llc llp inc incorporated corp corporation plc pty pllc pvt
    sa sarl sas sasu eurl snc scop selarl selas sl slu sll slp slne sau sad sccl ltda eireli epp sgps s/a spa sapa srl srls
    bv nv vof bvba cvba oy oyj ab asa aps a/s oo spzoo spk sro kft zrt nyrt bt doo dd ood eood kk bhd sdn pte holding holdings""".split()
)
_FIRM_FIRST = frozenset(b"sarl sas sasu eurl snc sci scop societe ets etablissements firma fa messrs pt".split())
_OWNERS = frozenset(
    b"""sons son co company brothers bros partner partners associates soehne sohne tochter fils associes cie hijos hermanos asociados cia
    filhos irmaos associados figli fratelli zonen zoon zn""".split()
)
_AND = frozenset(b"& und and et y e i en".split())
_SHORTEST = 6
_LAST = np.unique([int.from_bytes(ending[-3:], "big") for ending in (*_DRUG, *_ILLNESS)])


def _folded(items: Sequence[bytes]) -> list[bytes]:
    """`fold` of each; what is ASCII all at once."""
    folded = b"\n".join(items).lower().replace(b".", b"").split(b"\n")
    for place, item in enumerate(items):
        if not item.isascii():
            folded[place] = fold(item)
    return folded


def _read(found: Found) -> NDArray[np.uint16]:
    """What each value is: a bit for each list, and for what its words are."""
    folded = _folded(found.items)
    masks = lists_of(folded).astype(np.uint16)
    spaced = b"\n".join(folded).replace(b",", b" ")
    several = [(place, text.split()) for place, text in enumerate(spaced.split(b"\n")) if b" " in folded[place]]
    ends = lists_of([word for _, words in several for word in (words[0], words[-1])])
    given, family = ends & _BIT["given_name"] != 0, ends & _BIT["family_name"] != 0
    named = (given[::2] & family[1::2]) | (family[::2] & given[1::2])
    masks[np.array([place for place, _ in several], np.int64)[named]] |= _FULL_NAME
    masks[np.array([place for place, words in several if _is_firm(words)], np.int64)] |= _FIRM_NAME
    for place, word in _medical(spaced):
        masks[place] |= (word.endswith(_DRUG) and _DRUG_NAME) | (word.endswith(_ILLNESS) and _ILLNESS_NAME)
    return masks


def _is_firm(words: list[bytes]) -> bool:
    """Do these words name a firm? `kraus gmbh`, `sarl petit`, `perez y hijos`, `hall & co kg`."""
    return words[-1] in _FIRM_LAST or words[0] in _FIRM_FIRST or (words[-1] in _OWNERS and len(words) > 2 and words[-2] in _AND)


def _medical(lines: bytes) -> Iterator[tuple[int, bytes]]:
    """Line and word of those among the first words of each line that end as medicines and illnesses may."""
    text = np.frombuffer(lines + b"\n", np.uint8)
    between = np.concatenate(([-1], np.flatnonzero((text == 32) | (text == 10))))
    starts, ends = between[:-1] + 1, between[1:]
    line = np.cumsum(text == 10)[starts - 1] * (starts > 0)
    keep = ends > starts
    starts, ends, line = starts[keep], ends[keep], line[keep]
    rank = np.arange(len(line)) - np.searchsorted(line, line)
    tail = text[ends - 3].astype(np.int64) << 16 | text[ends - 2].astype(np.int64) << 8 | text[ends - 1]
    fits = (ends - starts >= _SHORTEST) & (rank < _MOST_WORDS)
    fits &= _LAST[np.minimum(np.searchsorted(_LAST, tail), len(_LAST) - 1)] == tail
    for place in np.flatnonzero(fits).tolist():
        yield int(line[place]), lines[starts[place] : ends[place]]


def _is(bit: int) -> Callable[[Found], Mask]:
    def holds(found: Found) -> Mask:
        masks: Any = found.once("vocabulary", _read)  # type: ignore[arg-type]
        mask: Mask = (masks & bit) != 0
        return mask

    return holds


def _detector(name: str, bit: int, doc: str) -> Detector:
    return Detector(name, (WORDS,), doc, _is(bit), weak=True, most=_SEEN, least=_TOLD)


DETECTORS = (
    _detector("given_name", _BIT["given_name"], "a given name"),
    _detector("family_name", _BIT["family_name"], "a family name"),
    _detector("full_name", _FULL_NAME, "a given name and a family name, at the two ends in either order"),
    _detector("firm_name", _FIRM_NAME, "a firm, by its legal form or by who owns it beside the one who is named"),
    _detector("city_name", _BIT["city_name"], "a city of 15,000 people and more"),
    _detector("country_name", _BIT["country_name"], "a country, in five languages, or its code of three letters"),
    _detector("region_name", _BIT["region_name"], "a state, province or canton"),
    _detector("region_code", _BIT["region_code"], "the short form of a state or province"),
    _detector("occupation", _BIT["occupation"], "a profession, in four languages"),
    _detector("nationality", _BIT["nationality"], "a nationality, in three languages"),
    _detector("drug_name", _DRUG_NAME, "a medicine, by the stem of its name"),
    _detector("illness_name", _ILLNESS_NAME, "an illness, by the ending of its name"),
)
