"""The ids to leave out, from a file, a secret, or the table of deletion requests; never from code, never logged."""

from __future__ import annotations

import codecs
import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import pyarrow as pa
import pyarrow.compute as pc

from pipeline.errors import RunError
from pipeline.references import content_of
from transforms.ids.posthog_rules import is_meaningless
from transforms.machinery.counts import Count, some_of

#: What can stand around an id in a line.
_AROUND = " \t\v\f\u00a0\ufeff\"',;“”„‘’"
#: No id has a control character in it; a table's line has tabs.
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_CELLS = re.compile("[,;]")
#: Counts of requests, see `requested`.
WAITING, INCOMPLETE = "deletion.waiting", "deletion.incomplete"


def load_excluded(reference: str | None, project: str | None = None) -> frozenset[str]:
    """The ids behind `--excluded_users`: one a line.

    Lists come out of spreadsheets and editors, so the text may be UTF-8, UTF-16 or UTF-32, with a byte order mark or
    without, its lines may end in any way, ids may stand between quotes and before a comma or semicolon. Blank lines and
    words that identify nobody, such as the heading `distinct_id`, are ignored. What is no such list (JSON, a table) is
    refused: read as ids it would match nobody, and nobody would be left out.

    Args:
      reference: a file, `gs://BUCKET/OBJECT`, `secret://NAME` (see `pipeline.secrets`), or None for nobody.
      project: of short secret names.

    Raises:
      RunError: the reference cannot be read, or is no list; the message names it and nothing of its content.
    """
    if reference is None:
        return frozenset()
    label = f"--excluded_users {reference}"
    try:
        text = _decoded(content_of(reference, project, "--excluded_users"))
    except UnicodeDecodeError as error:
        raise RunError(f"{label}: the file is not UTF-8 text (nor UTF-16)") from error
    lines = [line.strip(_AROUND) for line in text.splitlines()]
    what = _no_list(lines)
    if what:
        raise RunError(f"{label}: it {what}: give one id a line")
    return frozenset(one for one in lines if not is_meaningless(one))


def _no_list(lines: Sequence[str]) -> str | None:
    """What a text is that is no list of ids; None of a list."""
    content = [line for line in lines if line]
    if content and content[0][0] in "[{" and content[-1][-1] in "]}" and not is_meaningless(content[0]):
        return "is JSON"
    if any(_CONTROL.search(line) for line in content):
        return "has control characters or tabs between words"
    heading = [cell.strip(_AROUND) for cell in _CELLS.split(content[0])] if content else []
    if len(heading) > 1 and any(cell and is_meaningless(cell) for cell in heading):
        return "is a table of several columns"
    return None


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
    """UTF-8, UTF-16 or UTF-32; without a byte order mark, UTF-16 shows by the zeros between letters and digits."""
    if content.startswith((codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE)):  # which begins as the mark of UTF-16 does
        return content.decode("utf-32")
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return content.decode("utf-16")
    if b"\0" in content:
        is_big = content[::2].count(0) > content[1::2].count(0)
        return content.decode("utf-16-be" if is_big else "utf-16-le")
    return content.decode("utf-8-sig")
