"""Ids as people and SDKs send them: words that identify nobody, and the one form in which session ids are compared.

Both rules are PostHog's own, so that its sessions and ours are the same: it has a published list of distinct ids that
"stem from a bug or mistake" (`isDistinctIdIllegal` of its ingestion), and lowers session ids that are UUIDs.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

import pyarrow as pa
import pyarrow.compute as pc

#: PostHog's list: these mean nothing in any case …
MEANINGLESS_IN_ANY_CASE = frozenset(
    {
        "anonymous",
        "guest",
        "distinctid",
        "distinct_id",
        "id",
        "not_authenticated",
        "email",
        "undefined",
        "true",
        "false",
    }
)
#: … and these as they are written, so that `NaN` is no id but `nan` is one.
MEANINGLESS = frozenset({"[object Object]", "NaN", "None", "none", "null", "0"}) | MEANINGLESS_IN_ANY_CASE

_UUID = "[0-9a-f]{8}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{12}"
_IS_UUID = re.compile(_UUID, re.IGNORECASE | re.ASCII)
_UPPER_UUID = f"^(?i:{_UUID})$"  # RE2's form; only texts with a capital letter are looked at
#: The list has "0"; the nil UUID, and zeros of any other length, are the same mistake.
_ZEROS = re.compile("[0-]*0[0-]*")
_QUOTES = "'\""


def is_meaningless(text: str) -> bool:
    """Whether a session id or distinct id identifies nobody.

    That is a word of PostHog's list, with its rule on case, blanks around it not looked at, also between single or
    double quotes (which PostHog lists too); a text of zeros and dashes only; and a blank text.
    """
    word = text.strip()
    if len(word) > 1 and word[0] in _QUOTES and word[-1] == word[0]:
        word = word[1:-1]
    if not word or word in MEANINGLESS:
        return True
    return word.lower() in MEANINGLESS_IN_ANY_CASE or (word[0] in "0-" and _ZEROS.fullmatch(word) is not None)


def are_meaningless(values: Iterable[str]) -> list[bool]:
    """`is_meaningless` of each value of a dictionary."""
    return [is_meaningless(value) for value in values]


def canonical_session_id(text: str) -> str:
    """A session id in the form in which session ids are compared and published.

    A UUID (32 hexadecimal digits, with or without its dashes) is in lower case, its dashes as given; any other text
    stays as it is, because two texts that differ in case may be two sessions.
    """
    lowered = text.lower()
    return lowered if lowered != text and _IS_UUID.fullmatch(text) else text


def canonical_session_ids(values: Iterable[str]) -> list[str]:
    """`canonical_session_id` of each value of a dictionary; two values can become one."""
    return [canonical_session_id(value) for value in values]


def canonical_session_column(texts: pa.ChunkedArray) -> pa.ChunkedArray:
    """`canonical_session_id` of a string column; nulls stay."""
    capitals = pc.match_substring_regex(texts, "[A-F]")
    if not pc.any(capitals).as_py():
        return texts
    return pc.if_else(pc.match_substring_regex(texts, _UPPER_UUID), pc.ascii_lower(texts), texts)
