"""Ids as people and SDKs send them: words that identify nobody, and the one form in which session ids are compared.

Both rules are PostHog's own, so that its sessions and ours are the same: it has a published list of distinct ids that
"stem from a bug or mistake" (`isDistinctIdIllegal` of its ingestion), and lowers session ids that are UUIDs.
"""

from __future__ import annotations

import re

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

_WORDS = "|".join(sorted(MEANINGLESS_IN_ANY_CASE))
_EXACT = "|".join(re.escape(word) for word in sorted(MEANINGLESS - MEANINGLESS_IN_ANY_CASE - {"0"}))
#: The list has "0"; the nil UUID, and zeros of any other length, are the same mistake.
_NOBODY = rf"(?i:{_WORDS})|{_EXACT}|-*0[0-]*|"
_QUOTED = rf"""^(?:{_NOBODY}|"(?:{_NOBODY})"|'(?:{_NOBODY})')$"""
_IS_MEANINGLESS = re.compile(_QUOTED, re.ASCII)
_UUID = "[0-9a-f]{8}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{12}"
_IS_UUID = re.compile(_UUID, re.IGNORECASE | re.ASCII)
_UPPER_UUID = f"^(?i:{_UUID})$"  # RE2's form; only texts with a capital letter are looked at


def is_meaningless(text: str) -> bool:
    """Whether a session id or distinct id identifies nobody.

    That is a word of PostHog's list, with its rule on case, blanks around it not looked at, also between single or
    double quotes (which PostHog lists too); a text of zeros and dashes only; and a blank text.
    """
    return _IS_MEANINGLESS.fullmatch(text.strip()) is not None


def meaningless_column(texts: pa.Array | pa.ChunkedArray) -> pa.Array | pa.ChunkedArray:
    """`is_meaningless` of each text of a string column: all at once takes a quarter of the time; null for null."""
    return pc.match_substring_regex(pc.utf8_trim_whitespace(texts), _QUOTED)


def known_ids(texts: pa.Array | pa.ChunkedArray) -> pa.Array | pa.ChunkedArray:
    """A string column of ids, null where one identifies nobody: two users without a phone number share none."""
    return pc.if_else(meaningless_column(texts), pa.scalar(None, texts.type), texts)


def canonical_session_id(text: str) -> str:
    """A session id in the form in which session ids are compared and published.

    A UUID (32 hexadecimal digits, with or without its dashes) is in lower case, its dashes as given; any other text
    stays as it is, because two texts that differ in case may be two sessions.
    """
    lowered = text.lower()
    return lowered if lowered != text and _IS_UUID.fullmatch(text) else text


def canonical_session_ids(values: list[str]) -> list[str]:
    """`canonical_session_id` of each value of a dictionary; two values can become one. Most need nothing."""
    texts = pa.array(values, pa.string())
    found = canonical_session_column(texts)
    return values if found is texts else found.to_pylist()


def canonical_session_column(texts: pa.Array | pa.ChunkedArray) -> pa.Array | pa.ChunkedArray:
    """`canonical_session_id` of a string column; nulls stay."""
    capitals = pc.match_substring_regex(texts, "[A-F]")
    if not pc.any(capitals).as_py():
        return texts
    return pc.if_else(pc.match_substring_regex(texts, _UPPER_UUID), pc.ascii_lower(texts), texts)
