"""Text that is valid UTF-8, whatever an exporter made of it: what is not becomes U+FFFD.

A column of text in a file need not be UTF-8 (a character cut in the middle), and nothing notices until one value of it
is looked at. Texts of inputs are made valid where they are read; only the JSON of events is not, where it would cost a
tenth of the reading: its decoder checks what it takes, and dead letters are made valid on their way.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa


def valid_text(texts: pa.Array) -> pa.Array:
    """A string array → the same, each part that is no UTF-8 as U+FFFD."""
    offsets, data = string_buffers(texts)
    # almost all text is ASCII, and that is seen three times as fast as that it is UTF-8
    used = data[offsets[0] : offsets[-1]].view(np.int8)
    if not len(used) or used.min() >= 0:
        return texts
    try:
        texts.validate(full=True)
    except pa.ArrowInvalid:
        raw = texts.view(pa.binary()).to_pylist()
        return pa.array([None if value is None else value.decode("utf-8", "replace") for value in raw], pa.string())
    return texts


def string_buffers(texts: pa.Array) -> tuple[npt.NDArray[Any], npt.NDArray[np.uint8]]:
    """(offsets, bytes) of a string or large_string array: row i is `bytes[offsets[i]:offsets[i + 1]]`."""
    width = np.int64 if pa.types.is_large_string(texts.type) else np.int32
    _, offset_buffer, data = texts.buffers()
    if offset_buffer is None or not len(texts):
        return np.zeros(1, width), np.zeros(0, np.uint8)
    offsets = np.frombuffer(offset_buffer, width)[texts.offset : texts.offset + len(texts) + 1]
    return offsets, np.frombuffer(data, np.uint8) if data is not None else np.zeros(0, np.uint8)
