"""What becomes of each row: it is kept, or the first reason that applies says why not.

Reasons are given one after the other, so that the outcome of a row does not depend on the batch that it comes in: in
the order of `REJECTED`, then `FILTERED`; an excluded id is before all of them.
"""

from __future__ import annotations

from collections import Counter

import numpy as np
import numpy.typing as npt
import pyarrow as pa

#: A column of the source, the JSON or the session's id is not as it should be: the row is a dead letter.
REJECTED = (
    "uuid_missing",
    "uuid_too_long",
    "event_missing",
    "distinct_id_missing",
    "distinct_id_too_long",
    "distinct_id_meaningless",
    "timestamp_missing",
    "timestamp_implausible",
    "timestamp_too_old",
    "properties_missing",
    "properties_too_long",
    "properties_invalid",
    "session_id_missing",
    "session_id_invalid",
    "session_id_too_long",
    "session_id_meaningless",
)
#: Rows that are as they should be and do not count. `late`: new, but before the window of an incremental run; its
#: session is listed in the ledger.
FILTERED = ("library", "excluded_user", "late")
_REASONS = (*REJECTED, *FILTERED)
#: The reason of rows that are read with a partition, but not of the window; nobody looks at what they are.
OUTSIDE = "outside_scan"
#: Beginnings of names of counts: values of a property that are null for what they were, rows that match a metric.
NULLED, MATCHING = "nulled.", "matches."
_CODE = {name: code for code, name in enumerate(_REASONS, start=1)}


class Outcomes:
    """The outcome of each row of a batch."""

    def __init__(self, size: int) -> None:
        self._codes = np.zeros(size, np.int8)  # 0: none, i + 1: _REASONS[i]

    def mark(self, name: str, where: npt.NDArray[np.bool_]) -> None:
        """Give this reason to the rows of `where` that have none yet."""
        self._codes[where & (self._codes == 0)] = _CODE[name]

    def mark_before_all(self, name: str, where: npt.NDArray[np.bool_]) -> None:
        """Give this reason to the rows of `where`, instead of any that they have."""
        self._codes[where] = _CODE[name]

    @property
    def kept(self) -> npt.NDArray[np.bool_]:
        """Which rows have none."""
        return self._codes == 0

    def counts(self) -> Counter[str]:
        """Rows by filtered.<reason> and rejected.<reason>, those that occur."""
        numbers = np.bincount(self._codes, minlength=len(_REASONS) + 1)[1:].tolist()
        return Counter(
            {
                f"{'filtered' if name in FILTERED else 'rejected'}.{name}": number
                for name, number in zip(_REASONS, numbers, strict=True)
                if number
            }
        )

    def rejected(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """The source's columns of the rejected rows plus `reason`."""
        rows = np.flatnonzero((self._codes > 0) & (self._codes <= len(REJECTED)))
        reasons = pa.array([_REASONS[code - 1] for code in self._codes[rows].tolist()], pa.string())
        taken = batch.take(pa.array(rows))
        return pa.RecordBatch.from_arrays([*taken.columns, reasons], [*taken.schema.names, "reason"])
