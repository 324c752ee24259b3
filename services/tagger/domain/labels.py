"""What each kind of target allows in a tag, as data, and the conversion into it.

The conversion is a function of one text alone: equal in, equal out, and different texts stay different. A text that is
allowed keeps its form; one that had to be changed or cut gets ten hexadecimal digits of its sha256 behind a dash. An
allowed text that merely looks like that gets them too, so the two groups cannot meet. The way back is the stored map of
what was converted (`Converted.origins`), because no target has room for the whole text.

Our own keys and list words have a fixed short form on lower-case targets: `CostCenter` is `cost_center` on GCP.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from hashlib import sha256
from typing import Any
from unicodedata import category

from services.tagger.domain.vocabulary import CATEGORIES, KEY_ORDER, LIST_SEPARATOR, MANAGED_BY, SENSITIVITIES

HASH_DIGITS = 10
_HASHED = re.compile(rf"-[0-9a-f]{{{HASH_DIGITS}}}\Z")
_WORDS = (*CATEGORIES, *SENSITIVITIES, "GDPR", "CCPA", "HIPAA", "SOC2", "PCI-DSS", MANAGED_BY)


@dataclass(frozen=True, slots=True)
class Form:
    """What one side of a tag may look like. Lengths in UTF-16 units, as the strictest clouds count, and UTF-8 bytes."""

    longest: int
    allowed: Callable[[str], bool]
    bytes: int = 4096
    shortest: int = 0
    first: Callable[[str], bool] = lambda char: char != " "
    last: Callable[[str], bool] = lambda char: char != " "
    reserved: tuple[str, ...] = ()  # prefixes that belong to the provider, in any case
    lower: bool = False  # only lower case exists
    caseless: bool = False  # case is kept but does not distinguish
    prefixed: re.Pattern[str] | None = None  # a text of this form is allowed too


@dataclass(frozen=True, slots=True)
class Rules:
    """The rules of one kind of target."""

    name: str
    key: Form
    value: Form
    most: int  # tags of one resource, those of others included
    joint: str = ":"  # between the operator's prefix and the key


def _letter_or_digit(char: str) -> bool:
    return category(char)[0] in "LN"


def _aws(char: str) -> bool:
    return _letter_or_digit(char) or char in " _.:/=+-@"


def _ascii_word(char: str) -> bool:
    return char.isascii() and char.isalnum()


def _gcp(char: str) -> bool:
    return char in "_-" or (_letter_or_digit(char) and char == char.lower() == char.casefold())


def _azure_key(char: str) -> bool:
    return char not in "<>%&\\?/" and category(char)[0] not in "C"


def _kubernetes(char: str) -> bool:
    return _ascii_word(char) or char in "_.-"


def _azure_name(char: str) -> bool:
    return _azure_key(char) and char != " "


def _not_control(char: str) -> bool:
    return category(char)[0] != "C"


def _encodable(char: str) -> bool:
    return char != "\x00" and category(char) != "Cs"


def _any(_: str) -> bool:
    return True


# A DNS name of at most 253 characters before the slash; those of Kubernetes itself are not ours to use.
_PREFIXED = re.compile(
    r"(?=[^/]{1,253}/)(?!([^/]*\.)?(kubernetes|k8s)\.io/)"
    r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?(\.[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)*/[A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?"
)
_KUBERNETES_KEY: dict[str, Any] = {"shortest": 1, "first": _ascii_word, "last": _ascii_word, "prefixed": _PREFIXED}


def _azure_rules(name: str, *, longest: int = 512, most: int = 50, allowed: Callable[[str], bool] = _azure_key, **key: Any) -> Rules:
    form = Form(longest, allowed, shortest=1, reserved=("microsoft", "azure", "windows"), caseless=True, **key)
    return Rules(name, form, Form(256, _not_control), most, joint=".")


def _aws_rules(name: str, *reserved: str) -> Rules:
    key = Form(128, _aws, shortest=1, reserved=("aws:", *reserved))
    return Rules(name, key, Form(256, _aws, reserved=("aws:",) if reserved else ()), 50)


RULES: dict[str, Rules] = {
    "aws": _aws_rules("aws"),
    "rds": _aws_rules("rds", "rds:"),
    "s3": _aws_rules("s3"),
    "emr": _aws_rules("emr"),
    "gcp": Rules(
        "gcp",
        Form(63, _gcp, bytes=128, shortest=1, first=lambda char: char.isalpha(), reserved=("goog",), lower=True),
        Form(63, _gcp, bytes=128, lower=True),
        64,
        joint="_",
    ),
    "azure": _azure_rules("azure"),
    "azure-storage": _azure_rules("azure-storage", longest=128),
    "azure-few": _azure_rules("azure-few", most=15),  # Automation, CDN
    "azure-dns": _azure_rules("azure-dns", most=15, allowed=_azure_name, first=lambda char: not char.isnumeric()),
    "azure-front-door": _azure_rules("azure-front-door", allowed=lambda char: _azure_key(char) and char not in "#:"),
    "kubernetes": Rules(
        "kubernetes",
        Form(63, _kubernetes, **_KUBERNETES_KEY),
        Form(63, _kubernetes, first=_ascii_word, last=_ascii_word),
        64,
        joint=".",
    ),
    # All annotations of one object have 256 KiB together.
    "kubernetes-annotation": Rules(
        "kubernetes-annotation",
        Form(63, _kubernetes, **_KUBERNETES_KEY),
        Form(4000, _encodable, bytes=4000, first=_any, last=_any),
        64,
        joint=".",
    ),
}


@dataclass(frozen=True, slots=True)
class Converted:
    """Tags in the target's form. `origins` leads each converted key back to our own key and value."""

    tags: dict[str, str]
    origins: dict[str, tuple[str, str]]


def convert(tags: Mapping[str, str], rules: Rules, *, prefix: str = "") -> Converted:
    """All tags in the form of one kind of target, in the same order. Counts are not cut here: see `diff`."""
    pairs = [(convert_key(key, rules, prefix=prefix), convert_value(value, rules), key, value) for key, value in tags.items()]
    return Converted({new: text for new, text, _, _ in pairs}, {new: (key, value) for new, _, key, value in pairs})


def convert_for_object(tags: Mapping[str, str], *, prefix: str = "") -> Converted:
    """All tags for one object of Kubernetes: a label where the value may be one as it is, else an annotation, which keeps it whole.

    >>> convert_for_object({"Domain": "sales", "BusinessTags": "a+b"}).tags
    {'labels/Domain': 'sales', 'annotations/BusinessTags': 'a+b'}
    """
    found = Converted({}, {})
    for key, value in tags.items():
        kind, rules = ("labels", RULES["kubernetes"]) if is_label(value) else ("annotations", RULES["kubernetes-annotation"])
        name = f"{kind}/{convert_key(key, rules, prefix=prefix)}"
        found.tags[name], found.origins[name] = convert_value(value, rules), (key, value)
    return found


def is_label(value: str) -> bool:
    """Whether a value may be a label of Kubernetes as it is."""
    return convert_value(value, RULES["kubernetes"]) == value


def convert_key(key: str, rules: Rules, *, prefix: str = "") -> str:
    """One key in the target's form, behind the operator's prefix.

    >>> convert_key("CostCenter", RULES["gcp"]), convert_key("CostCenter", RULES["rds"], prefix="gov")
    ('cost_center', 'gov:CostCenter')
    """
    plain = _convert(key, rules.key, _KEYS)
    return _convert(under(prefix, rules) + plain, rules.key, _KEYS) if prefix else plain


def under(prefix: str, rules: Rules) -> str:
    """How all our keys begin on this kind of target; empty without a prefix."""
    return f"{prefix}{rules.joint}" if prefix else ""


def convert_value(value: str, rules: Rules) -> str:
    """One value in the target's form.

    >>> convert_value("GDPR+PCI-DSS", RULES["gcp"]), convert_value("GDPR+PCI-DSS", RULES["rds"])
    ('gdpr-pci_dss', 'GDPR+PCI-DSS')
    >>> convert_value("a,b", RULES["rds"])
    'a_b-1eb7c54d52'
    """
    return _convert(value, rules.value, _VALUES)


@lru_cache(maxsize=65536)
def _convert(text: str, form: Form, known: _Known) -> str:
    if form.lower:
        if text in known.short or known.is_listed(text):
            short = known.shorten(text)
            if _fits(short, form):
                return short
        elif known.is_short(text):
            return _hashed(text, form)
    if form.caseless and text != text.casefold() and text not in known.short:
        return _hashed(text, form)
    if form.caseless and text in known.folded and text not in known.short:
        return _hashed(text, form)
    return text if _fits(text, form) and not _HASHED.search(text) else _hashed(text, form)


def _fits(text: str, form: Form) -> bool:
    if not text:
        return form.shortest == 0
    if form.prefixed and form.prefixed.fullmatch(text):
        return True
    size_fits = _units(text) <= form.longest and len(text.encode("utf-8", "surrogatepass")) <= form.bytes
    return size_fits and form.first(text[0]) and form.last(text[-1]) and all(map(form.allowed, text)) and not _is_reserved(text, form)


def _is_reserved(text: str, form: Form) -> bool:
    return bool(form.reserved) and text.casefold().startswith(form.reserved)


def _units(text: str) -> int:
    return len(text.encode("utf-16-le", "surrogatepass")) // 2


def _hashed(text: str, form: Form) -> str:
    """A readable rest of the text and the digest of all of it."""
    digest = sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:HASH_DIGITS]
    rest = "".join(char if form.allowed(char) else "_" for char in (text.lower() if form.lower else text))
    room = min(form.longest, form.bytes) - HASH_DIGITS - 1
    rest = _cut(rest.strip(" "), room)
    if not rest or not form.first(rest[0]) or _is_reserved(rest, form):
        rest = _cut("x" + rest, room)
    return f"{rest}-{digest}"


def _cut(text: str, room: int) -> str:
    """At most `room` UTF-8 bytes, which is never fewer units than the target counts; no character is split."""
    return text.encode("utf-8", "replace")[:room].decode("utf-8", "ignore").rstrip(" ") if not text.isascii() else text[:room].rstrip(" ")


class _Known:
    """A closed set of our own words with their lower-case forms; both ways are functions."""

    def __init__(self, words: Sequence[str], shorten: Callable[[str], str], *, listed: bool) -> None:
        self.short = {word: shorten(word) for word in words}
        self.folded = {word.casefold() for word in words}
        self._shorts = set(self.short.values())
        self._listed = listed

    def is_listed(self, text: str) -> bool:
        return self._listed and all(part in self.short for part in text.split(LIST_SEPARATOR))

    def is_short(self, text: str) -> bool:
        """Is this text already the form of one of our words, or of a list of them?"""
        return text in self._shorts or (self._listed and all(part in self._shorts for part in text.split("-")))

    def shorten(self, text: str) -> str:
        return self.short.get(text) or "-".join(self.short[part] for part in text.split(LIST_SEPARATOR))


def _snake(key: str) -> str:
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", key.replace("PurSight", "Pursight")).lower()


_KEYS = _Known(KEY_ORDER, _snake, listed=False)
_VALUES = _Known(_WORDS, lambda word: word.lower().replace("-", "_"), listed=True)
