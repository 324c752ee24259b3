"""Literals out of SQL: what a default, a check, an enum, a partition bound or a view body compares with stays where it was read.

>>> mask_literals("status in ('new', 'paid') and total > 1e3 -- ask Ann")
'status in (?, ?) and total > ? '
"""

from __future__ import annotations

import re
from typing import Literal

Dialect = Literal["postgresql", "mysql"]

_PLAIN = r"'(?:[^']|'')*(?:'|\Z)"
_ESCAPED = r"'(?:[^'\\]|''|\\.|\\\Z)*(?:'|\Z)"
_ESCAPED_DOUBLE = r'"(?:[^"\\]|""|\\.|\\\Z)*(?:"|\Z)'
_WORD = r"[^\W\d][\w$]*"
_NUMBER = r"\d[\w]*(?:\.\w*)?(?:(?<=[eE])[+\-]\d\w*)?|\.\d\w*(?:(?<=[eE])[+\-]\d\w*)?"
_FLAGS = re.DOTALL

_TOKENS = {
    "postgresql": re.compile(
        rf"""(?P<open>/\*)|(?P<comment>--[^\n\r]*)"""
        rf"""|(?P<dollar>\$(?:[^\W\d]\w*)?\$)"""
        rf"""|(?P<text>[eE]{_ESCAPED}|(?:[bBxXnN]|[uU]&)?{_PLAIN})"""
        rf"""|(?P<name>[uU]&"(?:[^"]|"")*(?:"|\Z)|"(?:[^"]|"")*(?:"|\Z)|{_WORD})"""
        rf"""|(?P<number>{_NUMBER})|(?P<other>.)""",
        _FLAGS,
    ),
    "mysql": re.compile(
        rf"""(?P<open>/\*)|(?P<comment>(?:--(?=[\s\x00-\x1f]|\Z)|\#)[^\n\r]*)"""
        rf"""|(?P<dollar>(?!))"""
        rf"""|(?P<text>(?:_[A-Za-z0-9]+\s*|[bBxXnN])?(?:{_ESCAPED}|{_ESCAPED_DOUBLE}))"""
        rf"""|(?P<name>`(?:[^`]|``)*(?:`|\Z)|{_WORD})"""
        rf"""|(?P<number>{_NUMBER})|(?P<other>.)""",
        _FLAGS,
    ),
}
_COMMENT_EDGE = re.compile(r"/\*|\*/")


def mask_literals(sql: str, *, dialect: Dialect = "postgresql") -> str:
    """`sql` with every literal as `?` and comments gone; names, also quoted ones, and key words stay. Never raises.

    A literal or comment without an end reaches to the end of the text. In MySQL double quotes hold text, as by its default.
    """
    kept: list[str] = []
    place, token = 0, _TOKENS[dialect]
    while match := token.match(sql, place):
        kind, place = match.lastgroup, match.end()
        if kind == "open":
            place = _end_of_comment(sql, place, nested=dialect == "postgresql")
            kept.append(" ")
        elif kind == "dollar":
            place = _after(sql, match.group(), place)
            kept.append("?")
        elif kind in ("text", "number"):
            kept.append("?")
        elif kind != "comment":
            kept.append(match.group())
    return "".join(kept)


def _after(sql: str, mark: str, place: int) -> int:
    found = sql.find(mark, place)
    return len(sql) if found < 0 else found + len(mark)


def _end_of_comment(sql: str, place: int, *, nested: bool) -> int:
    depth = 1
    for edge in _COMMENT_EDGE.finditer(sql, place):
        depth += (1 if nested else 0) if edge.group() == "/*" else -1
        if depth == 0:
            return edge.end()
    return len(sql)
