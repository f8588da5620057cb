"""The ids to leave out, from a file, a secret, or the table of deletion requests; never from code, never logged."""

from __future__ import annotations

import codecs
import hashlib
from dataclasses import dataclass
from datetime import datetime

import pyarrow as pa
import pyarrow.compute as pc

from pipeline.errors import RunError
from pipeline.references import content_of
from transforms.ids.posthog_rules import is_meaningless
from transforms.machinery.counts import Count, some_of

#: What can stand around an id in a line.
_AROUND = " \t\v\f\u00a0\ufeff\"',;"
#: Counts of requests, see `requested`.
WAITING, INCOMPLETE = "deletion.waiting", "deletion.incomplete"


def load_excluded(reference: str | None, project: str | None = None) -> frozenset[str]:
    """The ids behind `--excluded_users`: one a line.

    Lists come out of spreadsheets and editors, so the text may be UTF-8 or UTF-16, with a byte order mark or without,
    its lines may end in any way, ids may stand between quotes and before a comma or semicolon. Blank lines and words
    that identify nobody, such as the heading `distinct_id`, are ignored.

    Args:
      reference: a file, `gs://BUCKET/OBJECT`, `secret://NAME` (see `pipeline.secrets`), or None for nobody.
      project: of short secret names.

    Raises:
      RunError: the reference cannot be read; the message names it and nothing of its content.
    """
    if reference is None:
        return frozenset()
    label = f"--excluded_users {reference}"
    try:
        text = _decoded(content_of(reference, project, "--excluded_users"))
    except UnicodeDecodeError as error:
        raise RunError(f"{label}: the file is not UTF-8 text (nor UTF-16)") from error
    ids = (line.strip(_AROUND) for line in text.splitlines())
    return frozenset(one for one in ids if not is_meaningless(one))


@dataclass(frozen=True)
class DeletionRequests:
    """What the table of deletion requests says at the time of a run."""

    ids: frozenset[str] = frozenset()
    """Which requests name that hold by now."""
    counts: tuple[Count, ...] = ()
    """Requests that name nobody, and those that do not hold yet."""


def requested(rows: pa.Table, now: datetime) -> DeletionRequests:
    """The requests among rows of `tables.DELETION_REQUESTS`.

    A request holds from `requested_at` on, by the run's clock; without it, always. One that lies ahead waits: it may be
    a grace period, or a wrong clock, and is counted in every run until then. How often a request is there says nothing.

    Raises:
      RunError: there are rows, and none of them names anybody, so that the table is not what it should be.
    """
    holds = pc.less_equal(rows.column("requested_at"), pa.scalar(now, rows.schema.field("requested_at").type))
    holds = holds.fill_null(True)
    names = [rows.column(name).to_pylist() for name in ("user_id", "distinct_id")]
    ids, waiting, incomplete = set[str](), 0, 0
    for one, is_due in zip(zip(*names, strict=True), holds.to_pylist(), strict=True):
        named = {text.strip(_AROUND) for text in one if text is not None and not is_meaningless(text.strip(_AROUND))}
        incomplete += not named
        waiting += bool(named) and not is_due
        ids |= named if is_due else set()
    if rows.num_rows and incomplete == rows.num_rows:
        raise RunError("no row of deletion_requests has a user_id or a distinct_id: what is in the table?")
    return DeletionRequests(frozenset(ids), tuple(some_of({WAITING: waiting, INCOMPLETE: incomplete}).items()))


def digest(excluded: frozenset[str]) -> str:
    """SHA-256 of the list, whatever its order: tells whether it changed, and nothing more."""
    return hashlib.sha256("\n".join(sorted(excluded)).encode()).hexdigest()


def _decoded(content: bytes) -> str:
    """UTF-8 or UTF-16; without a byte order mark, UTF-16 shows by the zeros between letters and digits."""
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return content.decode("utf-16")
    if b"\0" in content:
        return content.decode("utf-16-be" if content.startswith(b"\0") else "utf-16-le")
    return content.decode("utf-8-sig")
