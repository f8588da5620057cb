"""What a run is made under: the metric definitions, who is left out, and the key of the hashes. Pure.

One table must not mix rows of several terms, and a list of ids that has become shorter brings nobody back by itself. So
the ledger keeps the terms of every run, and the next run compares its own with them.
"""

from __future__ import annotations

import dataclasses
import hashlib
from dataclasses import dataclass

from pipeline.errors import RunError
from pipeline.marks import NO_MARKS, accounts_changed, coming_back, together, without

#: The digest of an empty list of excluded users.
NOBODY = hashlib.sha256(b"").hexdigest()
#: Instead of a digest: days were made under one list of excluded users, and others under another one.
SEVERAL_LISTS = "several"


@dataclass(frozen=True)
class Terms:
    """The terms of a run, by the names that they have in the ledger."""

    metrics_digest: str
    """Of the metric definitions."""
    excluded_digest: str | None = None
    """Of the list of excluded users; None: no list was given."""
    excluded_marks: str = NO_MARKS
    """Of that list and the accounts of today, see `pipeline.marks`."""
    deletion_digest: str | None = None
    """Of the ids of deletion requests; None: there is no table of them."""
    deletion_marks: str = NO_MARKS
    """As of the list."""
    privacy_key_id: str = ""
    """Of the key of the hashes; empty for none."""

    @property
    def digests(self) -> tuple[str, str]:
        """Of the list and of the requests, whether they were given or not."""
        return self.excluded_digest or NOBODY, self.deletion_digest or NOBODY

    @property
    def marks(self) -> str:
        """Of the list and of the requests."""
        return together(self.excluded_marks, self.deletion_marks)

    @property
    def leave_somebody_out(self) -> bool:
        """Whether anybody's events may be missing in the tables."""
        return self.digests != (NOBODY, NOBODY)

    def leave_out_the_accounts_of(self, before: Terms) -> bool:
        """Whether the accounts of who is left out are those of the last run.

        Where they are not, only a full load will do: no table remembers the events that were left out.

        Raises:
          RunError: with that full load, for which nobody has asked, who asked to be deleted would come back.
        """
        if not accounts_changed(before.marks, self.marks):
            return True
        back = coming_back(before.deletion_marks, self.deletion_marks)  # the list leaves less out
        if back:
            raise RunError(
                f"the accounts of excluded users changed, which takes a full load, and {back:,} ids of deletion "
                "requests would come back with it: put the requests back, name the user ids and phone numbers of their "
                "accounts too (what no request names comes back), and run once with --full_load"
            )
        return False

    def check_backfill(self, before: Terms) -> None:
        """Raise RunError when only the list has an id of a request now.

        Some days would bring back sessions in which nothing tells of the id anymore, also when the request is put back.
        """
        if accounts_changed(without(before.deletion_marks, self.deletion_marks), self.excluded_marks):
            raise RunError(
                "sessions of deletion requests would come back with these days, since only the list of excluded users "
                "has their ids now: put the requests back, or run once with --full_load"
            )

    def check_left_out(self, before: Terms) -> None:
        """Raise RunError when a list, or the table of requests, that was there in the run `before` is forgotten."""
        if self.excluded_digest is None and before.digests[0] != NOBODY:
            raise RunError(
                "the last run left out excluded users, and this run has no list of them: give --excluded_users, or an "
                "empty file with --full_load to include everybody"
            )
        if self.deletion_digest is None and before.digests[1] != NOBODY:
            raise RunError(
                "the last run left out who asked to be deleted, and now there is no table deletion_requests in "
                "--privacy_dataset: put it back, or an empty one with --full_load to bring everybody back"
            )

    def check(self, before: Terms, *, full_load: bool) -> None:
        """Raise RunError when tables that were made under the terms of `before` must not be built upon under these."""
        self.check_left_out(before)
        if before.metrics_digest != self.metrics_digest and not full_load:
            raise RunError(
                "the metric definitions changed since the last run, and one table must not mix them: "
                "run once with --full_load"
            )
        if before.privacy_key_id != self.privacy_key_id and not full_load:
            raise RunError(
                "--privacy_key is another key than that of the last run, under which every id has another hash: give "
                "the old one, or run once with --full_load"
            )

    def after(self, before: Terms, *, of_some_days: bool) -> Terms:
        """What the ledger says after a run that was built upon tables with the terms of `before`.

        A run of some days takes a list into account in these days only, so it does not end the work that a changed
        list is; and an id that was taken off is remembered until a full load brings back what it has hidden.
        """
        lists = (
            SEVERAL_LISTS if of_some_days and now != then else now
            for now, then in zip(self.digests, before.digests, strict=True)
        )
        excluded, deletion = lists
        requested = self.deletion_marks
        if of_some_days:  # of an id of the list no row tells which sessions have it: that takes a full load still
            requested = without(requested, before.excluded_marks)
        parts = (self.excluded_marks, before.excluded_marks), (requested, before.deletion_marks)
        kept = (together(now, then) if of_some_days else together(then, now) for now, then in parts)
        excluded_marks, deletion_marks = kept
        return dataclasses.replace(
            self,
            excluded_digest=excluded,
            excluded_marks=excluded_marks,
            deletion_digest=deletion,
            deletion_marks=deletion_marks,
        )
