"""Times as whole microseconds since the epoch, which is how they are compared and summed."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import numpy.typing as npt
import pyarrow as pa

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def micros(moment: datetime) -> int:
    """Microseconds since the epoch."""
    return (moment - _EPOCH) // timedelta(microseconds=1)


def from_micros(value: int) -> datetime:
    """The moment that `micros` was given."""
    return _EPOCH + timedelta(microseconds=value)


def column_micros(times: pa.Array | pa.ChunkedArray) -> npt.NDArray[np.int64]:
    """A timestamp[us] column without nulls, as µs since the epoch."""
    return np.asarray(times.cast(pa.int64()).to_numpy())


def dates(days: npt.NDArray[np.int64]) -> pa.Array:
    """A date32 column of days since the epoch."""
    return pa.array(days.astype(np.int32)).view(pa.date32())


def micros_or_null(times: pa.Array) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.bool_]]:
    """(µs since the epoch, is null) of a timestamp[us] array; 0 where null."""
    if not times.null_count:
        return times.view(pa.int64()).to_numpy(), np.zeros(len(times), bool)
    missing = times.is_null().to_numpy(zero_copy_only=False)
    return times.view(pa.int64()).fill_null(0).to_numpy(), missing
