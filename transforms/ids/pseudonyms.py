"""Hashes in place of ids and personal texts, for who may see what was done but not by whom (`[privacy]`).

A hash is HMAC-SHA256 with a key that only the pipeline has: the same id has the same hash wherever it occurs, so a
session still finds its user, and without the key nobody can find an id by trying all phone numbers. It is made of the
id's normal form (`transforms.ids.phones`), so that a number has one hash however it is written. Words for nobody and
blank texts (`transforms.ids.posthog_rules`) stay as they are, because rules ask for them, and nobody hides behind them.

Ids are hashed once, where they enter: everything after that works on hashes and does not know it. `h_` stands in front,
so that nothing takes a hash for a phone number. A hash has 128 bits of the HMAC: that two of ten billion ids have the
same has a chance of less than one in a quintillion.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterable, Sequence
from typing import Any

import pyarrow as pa

from transforms.ids.phones import phone_forms
from transforms.ids.posthog_rules import meaningless_column
from transforms.metrics.privacy import DROP, HASH, Privacy
from transforms.schemas.fields import TEXT

#: What a hash begins with.
PREFIX = "h_"
_HEX_DIGITS = 32
_KEY_ID = b"id of the key"
_KEY_ID_DIGITS = 16
#: Texts whose hash a worker remembers, about 10 MB.
_MOST_KNOWN = 65_536


class Pseudonyms:
    """What `[privacy]` says, with the key; false, and without effect on ids, when it hashes none. Picklable."""

    def __init__(self, privacy: Privacy = Privacy(), key: bytes = b"") -> None:  # noqa: B008 (immutable)
        if privacy.hashes and not key:
            raise ValueError("hashes take a key")
        self.privacy, self.key = privacy, key
        self._keyed = hmac.new(key, digestmod="sha256")  # a copy of it costs half of what a new one does
        self._known = dict[str, str]()

    def __reduce__(self) -> Any:
        """The key travels to workers in its own way (`pipeline.privacy_key`)."""
        return Pseudonyms, (self.privacy, self.key)

    def __bool__(self) -> bool:
        return self.privacy.hides_ids

    def ids(self, texts: pa.Array | pa.ChunkedArray) -> pa.Array | pa.ChunkedArray:
        """A string column of ids → their hashes; as it is when ids are kept."""
        return self._hashed(texts) if self else texts

    def set_of(self, ids: frozenset[str]) -> frozenset[str]:
        """`ids` of a set."""
        return frozenset(self._hashed(pa.array(sorted(ids), TEXT)).to_pylist()) if self else ids

    def pairs(self, rows: Iterable[Sequence[str | None]]) -> list[tuple[str | None, str | None]]:
        """`ids` of rows of two."""
        if not self:
            return [(first, second) for first, second in rows]
        columns = zip(*rows, strict=True)
        return list(zip(*(self.ids(pa.array(column, TEXT)).to_pylist() for column in columns), strict=True))

    def in_column(self, rows: pa.Table, name: str) -> pa.Table:
        """A table with `ids` of one of its columns."""
        if not self:
            return rows
        return rows.set_column(rows.schema.get_field_index(name), name, self._hashed(rows.column(name)))

    def digest(self, text: str) -> str:
        """What stands for a text that may be guessed: its HMAC in full, or SHA-256 when ids are kept."""
        content = text.encode()
        return hmac.digest(self.key, content, "sha256").hex() if self else hashlib.sha256(content).hexdigest()

    def users(self, users: pa.Table) -> pa.Table:
        """Rows of `firebase.users` as they may be published: ids hashed, and profiles as `Privacy.columns` says.

        What must be known of plain text, which of two rows is kept and how complete it is, is known before.
        """
        users = self.in_column(users, "user_id")
        for name, way in self.privacy.columns.items():
            column = users.column(name)
            if way == HASH:
                column = self._hashed(column)
            elif way == DROP:
                column = pa.nulls(len(column), column.type)
            users = users.set_column(users.schema.get_field_index(name), name, column)
        return users

    def _hashed(self, texts: pa.Array | pa.ChunkedArray) -> pa.Array:
        """Each different text is hashed once, not in every batch that has it."""
        encoded = (texts.combine_chunks() if isinstance(texts, pa.ChunkedArray) else texts).dictionary_encode()
        values = encoded.dictionary.to_pylist()
        if len(self._known) > _MOST_KNOWN:
            self._known = {}
        known = self._known  # another thread may begin anew
        new = [text for text in values if text not in known]
        if new:
            known.update(zip(new, self._made(pa.array(new, TEXT)), strict=True))
        return pa.array([known[text] for text in values], TEXT).take(encoded.indices)

    def _made(self, texts: pa.Array) -> list[str]:
        forms = phone_forms(texts)
        stay = meaningless_column(forms).to_pylist()
        shown = zip(texts.to_pylist(), forms.to_pylist(), stay, strict=True)
        return [text if stays else self._hash(form) for text, form, stays in shown]

    def _hash(self, text: str) -> str:
        keyed = self._keyed.copy()
        keyed.update(text.encode())
        return PREFIX + keyed.hexdigest()[:_HEX_DIGITS]


#: Nothing is hidden.
PLAIN = Pseudonyms()


def is_pseudonym(text: str) -> bool:
    """Whether a text is a hash of this module."""
    return text.startswith(PREFIX)


def key_id(key: bytes) -> str:
    """Which key it is, and nothing of what it is: the ledger remembers it. Empty for none."""
    return hmac.digest(key, _KEY_ID, "sha256").hex()[:_KEY_ID_DIGITS] if key else ""
