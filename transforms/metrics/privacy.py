"""What a metrics file says about personal columns: `[privacy]`, where each is kept, dropped, or replaced by a hash."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import msgspec

KEEP, DROP, HASH = "keep", "drop", "hash"
Way = Literal["keep", "drop", "hash"]
PHONE = "phoneNumber"

#: Key of `[privacy]` → what it may be, for messages.
WANTED = {
    "identity": "keep or hash",
    "properties": "a list of property names",
    **dict.fromkeys(("fullName", PHONE, "username", "email"), "keep, drop or hash"),
}


class Privacy(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What becomes of personal columns.

    Ids are one switch: a session finds its user because a distinct id equals a user id or a phone number, so all three
    are hashed, or none. The others are columns of a user's profile, and change nothing but what is published.
    """

    identity: Literal["keep", "hash"] = "keep"
    """Distinct ids, user ids and phone numbers, wherever they are."""
    properties: tuple[str, ...] = ()
    """Properties of events that name a person: their texts are ids too."""
    fullName: Way = "keep"  # noqa: N815 (as the column)
    username: Way = "keep"
    email: Way = "keep"
    phoneNumber: Way | None = None  # noqa: N815
    """None: hashed with the ids, or kept with them."""

    @property
    def hides_ids(self) -> bool:
        """Whether ids are hashed."""
        return self.identity == HASH

    @property
    def columns(self) -> Mapping[str, Way]:
        """Column of a user's profile → what becomes of it."""
        phone: Way = self.phoneNumber or self.identity
        return {"fullName": self.fullName, "username": self.username, "email": self.email, PHONE: phone}

    @property
    def hashes(self) -> bool:
        """Whether anything is hashed, which takes a key."""
        return HASH in (self.identity, *self.columns.values())

    def problem(self) -> str | None:
        """What does not go together, in words; None when all does."""
        if self.hides_ids and self.phoneNumber == KEEP:
            return 'phoneNumber "keep" would tell whose the hashed ids are; leave it out, or write "drop"'
        if self.properties and not self.hides_ids:
            return 'properties are hashed as ids are: write identity = "hash", or leave them out'
        return None
