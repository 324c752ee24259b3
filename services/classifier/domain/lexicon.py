"""Names taken apart into words, and words put down to concepts: five languages, any naming style."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from operator import itemgetter
from typing import Any, Literal

Role = Literal["term", "person", "organisation", "thing", "deny", "doubt", "neutral", "unknown"]

MAX_NAME = 128  # characters looked at; longer names say no more
MAX_WORDS = 12
_UMLAUTS = str.maketrans(
    {"ä": "ae", "ö": "oe", "ü": "ue", "ß": "ss", "Ä": "Ae", "Ö": "Oe", "Ü": "Ue", "ø": "o", "Ø": "O", "æ": "ae", "ı": "i"}
)
_WORD = re.compile(r"[A-Z]+(?=[A-Z][a-z])|[A-Z]?[a-z]+|[A-Z]+|[0-9]+")
# `strLastName`, `dtmBirth`: the type of a variable, written before its name; `strNr` and `strHaus` are of a street, `lngAtual` of a place
_TYPE_PREFIX = re.compile(
    r"(?:str(?!Nr|No[A-Z]?|Haus)|lng(?!A[ct]?tual|Ori|Dest|Home|Start|End)|int|dtm|dte|bln|ysn|cur|mem|sng|dbl|byt|chr|vch|nvc|obj|bit)"
    r"(?=[A-Z][a-z]|[A-Z]{2})"
)
_SHORTEST_PART, _MOST_PARTS = 4, 4
_VOWELS, _TWICE, _FEWEST_BONES, _FEWEST_VOWELS = re.compile("(?<=.)[aeiouy]"), re.compile(r"(.)\1"), 4, 2
_SHORTEST_CUT, _LEAST_CUT, _SHORTEST_TAIL = 6, 2, 2  # letters that a word which was cut off keeps, that it lost, of a joined second word
_SHORTEST_PARTLY, _LONG_PART = 11, 7
_FAINT = frozenset({"loc", "dir", "dom", "mov", "pre", "hab", "mun"})  # words only where nothing else says what they are
_LONGEST_START, _FEWEST_STARTING, _MOST_STARTING = 4, 5, 0.7  # letters, names, share of a table's names
_SHORTEST_PREFIX, _LONGEST_PREFIX = 2, 3  # letters of a table's own prefix
_KINDS, _FEWEST_KINDS = {"no_": "nome_", "nu_": "num_", "co_": "cod_", "ds_": "ds_", "tp_": "tp_", "sg_": "sg_", "dt_": "dt_"}, 4
_END = re.compile(
    r"(?:end_|end(?=[A-Z])|END_)"
    r"(?!(?i:date|time|user|customer|loc|lat|lon|lng|place|point|port|plan|level|reason|status|code|value|dt|at|on|by|year|month|day|saldo))"
)
_PORTUGUESE = frozenset({"cep", "bairro", "cpf", "cnpj", "uf", "municipio", "cidade", "fone", "telefone"})
_SPELLINGS = {
    part: tuple(other for other in group if other != part)
    for group in (("num", "nr", "nro", "no", "numero", "n"), ("cod", "cd", "codigo", "code"), ("nom", "nome", "nm", "nombre"))
    for part in group
}
_SHORTEST_ROOT = 6  # letters of a word without its ending
_ALIKE = str.maketrans("yk", "ic")
_OF_KIND = re.compile(r"(?:i[sz]ch(?:e[mnrs]?)?|iques?|ic[aoe]s?|icos|ical|ical?es|ichi|iche)$")
_OF_ACTION = re.compile(r"(?:[ct]ion(?:e[ns]|s)?|cao|coes|zion[ei]?|zionen)$")
_OF_GENDER = re.compile(r"(?:[aeio]s?|e[nm]|in|inen|s|n)$")
_DEEDS = re.compile(r"done|drawn|given|held|led|made|paid|read|run|seen|sent|shown|sold|taken|taught|won|written")
_OF_ROWS = frozenset({"sorted", "grouped", "filtered", "partitioned", "keyed", "clustered", "powered", "divided", "multiplied"})
_BY = {
    "by": ("ed",),
    "par": ("e", "i", "u", "it", "is"),
    "por": ("ado", "ada", "ido", "ida", "to", "ta"),
    "durch": ("t", "en", "ung", "gabe", "nahme"),
    "von": ("t",),
}  # who did it, and how deeds end
_ENDINGS = frozenset({"idade", "edad"})  # ages alone, but mostly what `-ity` is in English
_LITTLE = frozenset({"neutral", "deny"})
NUMBER, _OF, _COUNT = frozenset({"no", "num", "nbr", "nr", "number", "numero"}), frozenset({"of", "de"}), "count"
_LINES, _LINE, _ADDRESS = frozenset("1234"), "line", frozenset({"address"})
_COMPOUND = frozenset({"person", "organisation", "thing"})
_JOINABLE = _COMPOUND | {"term", "doubt"}
_IND, _INDIVIDUAL = "ind", "individual"
_NUMBERS = (frozenset({"id"}), frozenset({"number"}))
_SHORTEST_MANY, _SHORTEST_START = 6, 3  # letters of several people, of a word of the table's name
_ISSUED, _ISSUER, _PAPERS = "issued", "issuer", frozenset({"licence", "passport", "id", "identity", "document", "certificate", "card"})
_HALVES = frozenset({"first", "middle", "last", "full"})
_NEAR = frozenset({"member", "guardian", "child", "contact"})  # words of a person that are terms
_CUT_ROLES = frozenset({"term", "person", "organisation"})
_TELLING_ROLES = frozenset({"term", "person", "organisation", "thing", "deny"})
HEAD_UNKNOWN = "?"  # in place of the end of a joined word: it decides what the word is about


@dataclass(frozen=True, slots=True)
class Word:
    """One word of a name: what it is for, and the concepts it says (none where it only colours)."""

    role: Role
    concepts: frozenset[str]


@dataclass(frozen=True, slots=True)
class Lexicon:
    """All known words. `tags`: concept to what it says of a whole table; `light` and `heavy`: terms that weigh
    little or much when a rule leaves them over; `bones`: consonants to the word that alone has them; `roots`: what is left of words
    without their endings to the word that alone has it; `cut`: beginnings to the word that alone has them; `whole`: words of their
    own that look like others cut, bent or joined."""

    words: Mapping[str, Word]
    parts: frozenset[str]
    bones: Mapping[str, str]
    roots: Mapping[str, str]
    cut: Mapping[str, str]
    whole: frozenset[str]
    first: frozenset[str]
    last: frozenset[str]
    tags: Mapping[str, frozenset[str]]
    light: frozenset[str]
    heavy: frozenset[str]

    def understand(self, name: str) -> tuple[Word, ...]:
        """The words of `name` in their order; digits that belong to no word are left out."""
        parts = split(name)
        if "at" in parts[:-1] and len(parts) > 2:  # `created_at` is a time, `age_at_visit` an age
            parts = [part for part in parts[:-1] if part != "at"] + parts[-1:]
        if len(parts) > 1 and parts[-1] in _BY:  # `countersigned_by`: whatever was done, somebody did it
            parts = self._done_by(parts[:-1], parts[-1])
        parts = self._halved(self._counted(self._compounds(parts)))
        words = [self.words.get(part) for part in parts]
        if None in words or any(word and word.role in _LITTLE for word in words):  # the rare case costs, not the usual one
            words = [self.words.get(part) or _unknown(part) for part in self._joined(parts) if not part.isdigit()]
        return tuple(word for word in words if word is not None)

    def _counted(self, parts: list[str]) -> list[str]:
        """`number_of_guests`, `num_employees`: how many; `address1`: a line of it; `ind_surname`: an individual's (`paid_ind` says if)."""
        if len(parts) > 1 and parts[0] == _IND:
            return [_INDIVIDUAL, *parts[1:]]
        counted = parts[2:3] if len(parts) > 2 and parts[1] in _OF else parts[1:2]
        if parts and parts[0] in NUMBER and counted and self._is_many(counted[0]):
            return [_COUNT, *parts[1:]]
        return [
            _LINE if at and part in _LINES and (before := self.words.get(parts[at - 1])) and before.concepts == _ADDRESS else part
            for at, part in enumerate(parts)
        ]

    def _halved(self, parts: list[str]) -> list[str]:
        """`prescriber_last`, `spouse_first`: behind a person's word it is a part of the name."""
        of_person = len(parts) > 1 and parts[-1] in _HALVES and self._is_person(parts[-2])
        return [*parts[:-1], f"{parts[-1]}name"] if of_person else parts

    def _is_many(self, part: str) -> bool:
        word = self.words.get(part)
        return word is not None and word.role == "person" and len(part) >= _SHORTEST_MANY and part.endswith("s")

    def _done_by(self, parts: list[str], by: str) -> list[str]:
        """What is left of `last_edited_by` and `order_taken_by`: what was changed, and that somebody did it. Offices issue papers."""
        deeds = [at for at, part in enumerate(parts) if self._is_deed(part, by)]
        if deeds and deeds[-1] and parts[deeds[-1]] == _ISSUED and self.words.get(parts[deeds[-1] - 1], _UNKNOWN).concepts & _PAPERS:
            return [_ISSUER]
        return [*(parts[deeds[-1] + 1 :] if deeds else parts), "by"]

    def _compounds(self, parts: list[str]) -> list[str]:
        """Two words that together are another one: about whom or which thing it is (`sales_agent`), or more than each says (`job_desc`)."""
        for at in range(len(parts) - 1):
            word = self.words.get(parts[at] + parts[at + 1])
            if word is not None and self._is_another(word, *parts[at : at + 2]):
                return [*parts[:at], parts[at] + parts[at + 1], *self._compounds(parts[at + 2 :])]
        return parts

    def _is_another(self, word: Word, first: str, second: str) -> bool:
        """Not what says little or nobody knows, nor the key or number of any but a thing or firm: `company_no`."""
        one, other = self.words.get(first), self.words.get(second)
        if word.role in _COMPOUND:
            return second not in NUMBER
        if word.role != "term" or one is None or other is None or one.role not in _JOINABLE:
            return False
        if second in NUMBER:
            return one.role in ("thing", "organisation")
        told = one.concepts not in _NUMBERS and other.concepts not in _NUMBERS and other.role in _JOINABLE
        return told and not word.concepts <= one.concepts | other.concepts

    def _is_deed(self, part: str, by: str) -> bool:
        """`opened`, `taken`, `aprobado`: what somebody did, not what it is about; a change is told by itself."""
        if part in _OF_ROWS:
            return False
        if _DEEDS.fullmatch(part) is not None:
            return True
        word = self.words.get(part)
        if by == "by" and word is None:  # `coll_by`, `ackn_by`: cut
            return True
        return part.endswith(_BY[by]) and (word is None or (word.role in _LITTLE and "change" not in word.concepts))

    def without_prefix(self, names: Sequence[str], about: Sequence[str]) -> Sequence[str]:
        """`ARC_PHONE`, `ARC_CITY`: a few letters that nobody knows before most names of a table are its own and left out; so are those that
        somebody knows as something else, where they stand for `about`, the words of the table's name: `ph_city` of a policy holder."""
        least = max(_FEWEST_STARTING, _MOST_STARTING * len(names))
        if max(Counter([name[:_SHORTEST_PREFIX].lower() for name in names]).values(), default=0) < least:  # nearly always, and cheap
            return names
        prefix, count = max(Counter(words[0] for words in map(split, names) if words).items(), key=itemgetter(1), default=("", 0))
        if count < least or not _SHORTEST_PREFIX <= len(prefix) <= _LONGEST_PREFIX or not self._is_own(prefix, about):
            return names
        return [name[len(prefix) :].lstrip("_-. ") if self._has_more(name, prefix) else name for name in names]

    def _is_own(self, prefix: str, about: Sequence[str]) -> bool:
        word = self.words.get(prefix)
        if word is None or prefix in _FAINT:
            return True
        if self._is_person(prefix) or word.role == "organisation" or prefix in NUMBER:
            return False
        if any(word.concepts & self.words[part].concepts for part in about if part in self.words):
            return False
        bones = bones_of(prefix)
        return prefix == "".join(part[0] for part in about) or any(
            part.startswith(prefix) or (len(bones) > 1 and bones_of(part).startswith(bones)) for part in about
        )

    def _has_more(self, name: str, prefix: str) -> bool:
        """A number behind a prefix is the number of the thing, not any."""
        words = split(name)
        return name.lower().startswith(prefix) and len(words) > 1 and not (len(words) == 2 and words[1] in NUMBER)

    def in_words(self, names: Sequence[str]) -> Sequence[str]:
        """`NO_MAE`, `CO_UF` and `NU_CPF`: where registers of Brazil write the kind of a column before it, no is a name and no number.
        `end_cobranca` beside `cep_cobranca`: an address, not an end."""
        kinds = [kind for name in names if (kind := name[:3].lower()) in _KINDS]
        if "nu_" in kinds and len(kinds) >= _FEWEST_KINDS:
            names = [_KINDS.get(name[:3].lower(), name[:3]) + name[3:] for name in names]
        if any(map(_END.match, names)) and any(not _PORTUGUESE.isdisjoint(split(name)) for name in names):
            names = [_END.sub("endereco_", name) for name in names]
        return names

    def spelled_out(self, names: Sequence[str], words: Sequence[str]) -> Sequence[str]:
        """`nm_enf` beside `enfant`: what nobody knows and a person's word among `words` begins with is that word."""
        people = [word for word in words if any(map(self._is_person, self.segment(word)))]
        return [self._begun(name, people) for name in names] if people else names

    def _begun(self, name: str, people: Sequence[str]) -> str:
        parts = split(name)
        full = [
            part if (part in self.words and part not in _FAINT) or len(part) < _SHORTEST_START else _begun(part, people) for part in parts
        ]
        return name if full == parts else "_".join(full)

    def _is_person(self, text: str) -> bool:
        word = self.words.get(text)
        return word is not None and (word.role == "person" or bool(word.concepts & _NEAR))

    def meant(self, name: str) -> list[str]:
        """The words of `name` in their order, by their concepts where they are known, as they stand where they are not."""
        parts = [part for part in self._joined(split(name)) if not part.isdigit() and part != HEAD_UNKNOWN]
        known = [(part, self.words.get(part)) for part in parts]
        return [text for part, word in known for text in (sorted(word.concepts) if word and word.concepts else (part,))]

    def _joined(self, parts: list[str]) -> list[str]:
        """Neighbours that are one known word are put together (`e`, `mail`), unknown ones taken apart (`telefonnummer`)."""
        parts = self._respelled(parts)
        joined: list[str] = []
        at = 0
        while at < len(parts):
            width = self._width(parts, at)
            joined.extend(("".join(parts[at : at + width]),) if width > 1 else self.segment(parts[at]))
            at += width
        return joined

    def _respelled(self, parts: list[str]) -> list[str]:
        """`numero_cracha` where `numcracha` is the word: numbers, codes and names before what nobody knows are cut in many ways."""
        respelled = list(parts)
        for at, (part, following) in enumerate(pairwise(parts)):
            if part in _SPELLINGS and following not in self.words and part + following not in self.words:
                respelled[at] = next((other for other in _SPELLINGS[part] if other + following in self.words), part)
        return respelled

    def _width(self, parts: list[str], at: int) -> int:
        """How many parts from here are one known word: two or three, where one of them alone says nothing."""
        for width in (3, 2):
            piece = parts[at : at + width]
            if len(piece) == width and "".join(piece) in self.words and any(self._says_little(part) for part in piece):
                return width
        return 1

    def _says_little(self, part: str) -> bool:
        return len(part) == 1 or part not in self.words or self.words[part].role in _LITTLE

    def segment(self, word: str) -> tuple[str, ...]:
        """The fewest known words that make up `word`, or the word itself; a linking s between two is allowed, as is a plural s.

        Only whole known words of four letters or more count, the short ones of `first` and `last` at the ends.
        """
        if word in self.words or word in self.whole or word.isdigit():
            return (word,)
        if len(word) < 5:
            return (self._whole(word),)
        for ending in ("s", "es", "n", "en"):
            if word.endswith(ending) and word[: -len(ending)] in self.words:
                return (word[: -len(ending)],)
        if root := self.roots.get(root_of(word)):
            return (root,)
        return self._cover(word, 0, _MOST_PARTS) or self._partly(word) or (self._whole(word),)

    def _whole(self, word: str) -> str:
        """`gndr` and `natnlty`: the word whose consonants these are, where the vowels were left out; `gewerksch`: the word cut off here."""
        bones = bones_of(word)
        if len(bones) >= _FEWEST_BONES and sum(letter in "aeiou" for letter in word[1:]) <= 1 and bones in self.bones:
            return self.bones[bones]
        return self.cut.get(word, word)

    def _partly(self, word: str) -> tuple[str, ...]:
        """`Patientenzimmer`, of which only one end is known: that end, which must be long, and a rest that makes it doubtful."""
        if len(word) < _SHORTEST_PARTLY:
            return ()
        for size in range(len(word) - _SHORTEST_PART, _LONG_PART - 1, -1):
            if word[-size:] in self.parts:
                return (word[:-size], word[-size:])
            if word[:size] in self.parts:
                return (word[:size], HEAD_UNKNOWN)
        return ()

    def _cover(self, word: str, start: int, parts: int) -> tuple[str, ...]:
        best: tuple[str, ...] = ()
        for end in range(len(word), start + 1, -1):
            piece = word[start:end]
            if not self._is_part(piece, at_start=start == 0, at_end=end == len(word)):
                continue
            rest = () if end == len(word) else self._rest(word, end, parts - 1)
            if (end == len(word) or rest) and (not best or len(rest) + 1 < len(best)):
                best = (piece, *rest)
        return best

    def _rest(self, word: str, start: int, parts: int) -> tuple[str, ...]:
        if parts == 0:
            return ()
        linked = self._cover(word, start + 1, parts) if word[start] == "s" and start + 1 < len(word) else ()
        plain = self._cover(word, start, parts)
        return plain or linked

    def _is_part(self, piece: str, *, at_start: bool, at_end: bool) -> bool:
        if len(piece) >= _SHORTEST_PART:
            return piece in self.parts
        return not (at_start and at_end) and ((at_start and piece in self.first) or (at_end and piece in self.last))


def fold(text: str) -> str:
    """Accents off, umlauts spelled out; case kept, because it separates words.

    >>> fold("Geburtsjähr"), fold("contraseña")
    ('Geburtsjaehr', 'contrasena')
    """
    if text.isascii():
        return text
    decomposed = unicodedata.normalize("NFKD", text.translate(_UMLAUTS))
    return "".join(letter for letter in decomposed if not unicodedata.combining(letter))


def split(name: str) -> list[str]:
    """The words of a name in any style, in lower case, without the type of a variable before them.

    >>> split("customerBirthDate"), split("IBAN-Nr"), split("TEL_PRIVAT2"), split("strLastNm")
    (['customer', 'birth', 'date'], ['iban', 'nr'], ['tel', 'privat', '2'], ['last', 'nm'])
    """
    plain = fold(name[:MAX_NAME])
    typed = _TYPE_PREFIX.match(plain)
    return [word.lower() for word in _WORD.findall(plain, typed.end() if typed else 0)][:MAX_WORDS]


def starts_of(names: Sequence[str]) -> tuple[str, ...]:
    """The one to four letters with which most names of a table begin, glued to the rest of it, longest first; not those of which all
    names go on alike.

    >>> starts_of(["CMNAME", "CMADR1", "CMCITY", "CMZIP", "CMPHON", "STAMP"])
    ('CM',)
    """
    least = max(_FEWEST_STARTING, _MOST_STARTING * len(names))
    glued = [name for name in names if name.isalnum() and (name.isupper() or name.islower())]
    if len(glued) < least:
        return ()
    found = {start: sum(name.startswith(start) for name in glued) for start in _starts(glued)}
    counts = list(found.values())
    return tuple(start for place, (start, count) in enumerate(found.items()) if count >= least and count not in counts[:place])


def _starts(names: Sequence[str]) -> Iterator[str]:
    """The commonest beginnings of each size, longest first."""
    for size in range(_LONGEST_START, 0, -1):
        yield Counter(name[:size] for name in names).most_common(1)[0][0]


def _begun(part: str, words: Sequence[str]) -> str:
    return next((word for word in words if word.startswith(part)), part)


def _unknown(part: str) -> Word:
    if part == HEAD_UNKNOWN:
        return _DOUBTFUL
    return _NEUTRAL if len(part) == 1 else _UNKNOWN


_UNKNOWN = Word("unknown", frozenset())
_NEUTRAL = Word("neutral", frozenset())
_DOUBTFUL = Word("doubt", frozenset())


def lexicon_from(document: Mapping[str, Any]) -> Lexicon:
    """The lexicon of a `lexicon.yaml`. Where a word stands twice the earlier section wins: terms, persons, organisations, denying."""
    words: dict[str, Word] = {}
    for text, word in _entries(document):
        words.setdefault(text, word)
    unsplit = document["unsplit"]
    for text in unsplit:
        words.setdefault(text, _UNKNOWN)
    tags: dict[str, frozenset[str]] = {}
    for tag, concepts in document["tags"].items():
        for concept in concepts:
            tags[concept] = tags.get(concept, frozenset()) | {tag}
    return Lexicon(
        words=words,
        parts=frozenset(
            text for text, word in words.items() if len(text) >= _SHORTEST_PART and word.role != "doubt" and text not in _ENDINGS
        ),
        bones=_bones(words),
        roots=_roots(words),
        cut=_cut(words),
        whole=frozenset(document["whole"]),
        first=frozenset(document["joinable_first"]),
        last=frozenset(document["joinable_last"]),
        tags=tags,
        light=frozenset(document["light"]),
        heavy=frozenset(document["heavy"]),
    )


def bones_of(word: str) -> str:
    """The first letter and the consonants behind it, doubled ones once.

    >>> bones_of("employer"), bones_of("ofcr") == bones_of("officer")
    ('emplr', True)
    """
    return _TWICE.sub(r"\1", _VOWELS.sub("", word))


def _unambiguous(made: Iterable[tuple[str, str]], words: Mapping[str, Word]) -> dict[str, str]:
    """What was made of words to the first of them; none where words of different meaning make the same."""
    found: dict[str, str] = {}
    for short, text in made:
        known = found.setdefault(short, text)
        if known and words[known] != words[text]:
            found[short] = ""
    return {short: text for short, text in found.items() if text}


def _bones(words: Mapping[str, Word]) -> dict[str, str]:
    """Consonants of longer words to the word."""
    made = ((bones_of(text), text) for text in words)
    long = ((bones, text) for bones, text in made if len(bones) >= _FEWEST_BONES and len(text) - len(bones) >= _FEWEST_VOWELS)
    return {bones: text for bones, text in _unambiguous(long, words).items() if words.get(bones, words[text]) == words[text]}


def root_of(word: str) -> str:
    """A word without the ending that gender, number or language give it, spelled as its neighbours' languages would share it.

    >>> root_of("diagnostische") == root_of("diagnostiques") == root_of("diagnostica"), root_of("vacinacao") == root_of("vaccination")
    (True, True)
    """
    spelled = _TWICE.sub(r"\1", word.translate(_ALIKE).replace("ph", "f").replace("th", "t").replace("sz", "s"))
    spelled = _OF_ACTION.sub("T", _OF_KIND.sub("ic", spelled))
    return _OF_GENDER.sub("", spelled)


def _roots(words: Mapping[str, Word]) -> dict[str, str]:
    """Roots of longer words to one of them."""
    made = ((root, text) for text in words if len(root := root_of(text)) >= _SHORTEST_ROOT)
    return {root: text for root, text in _unambiguous(made, words).items() if words[text].role in _TELLING_ROLES}


def _cut(words: Mapping[str, Word]) -> dict[str, str]:
    """Beginnings of longer words to the word."""
    made = ((start, text) for text in words for start in _beginnings(text, words))
    found = _unambiguous(made, words)
    return {start: text for start, text in found.items() if start not in words and words[text].role in _CUT_ROLES}


def _beginnings(text: str, words: Mapping[str, Word]) -> Iterator[str]:
    """What may be left of a word that is cut off; what is left of `trackingcookie` says tracking and more."""
    tails = [at for at in range(_SHORTEST_PART, len(text) - _SHORTEST_TAIL + 1) if text[at:] in words]
    least = max(_SHORTEST_CUT, len(text) // 2, max(tails, default=0) + _LEAST_CUT)
    return (text[:size] for size in range(least, len(text) - _LEAST_CUT + 1))


def _entries(document: Mapping[str, Any]) -> Iterator[tuple[str, Word]]:
    for concept, texts in document["terms"].items():
        own = (concept,) if " " not in concept else ()
        yield from _spellings((*own, *texts), Word("term", frozenset(concept.split())))
    for concept, texts in document["persons"].items():
        yield from _spellings((concept, *texts) if " " not in concept else texts, Word("person", frozenset((*concept.split(), "person"))))
    for concept, texts in document["organisations"].items():
        yield from _spellings((concept, *texts), Word("organisation", frozenset((*concept.split(), "organisation"))))
    for concept, texts in document["denying"].items():
        yield from _spellings(texts, Word("deny", frozenset(concept.split())))
    for concept, texts in document["telling_things"].items():
        yield from _spellings(texts, Word("thing", frozenset(concept.split())))
    yield from _spellings(document["things"], Word("thing", frozenset()))
    yield from _spellings(document["doubtful"], Word("doubt", frozenset()))
    yield from _spellings(document["neutral"], _NEUTRAL)


def _spellings(texts: Iterable[str], word: Word) -> Iterator[tuple[str, Word]]:
    return ((fold(text).lower(), word) for text in texts)
