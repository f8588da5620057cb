"""What goes to a worker process and comes back, over gRPC: as it is, without being joined or measured on the way.

Beam joins all that a step of a worker process is to read, and asks each message for its size, which makes its bytes
anew: ten copies of a shuffle, in memory that nobody has touched yet, while the workers wait. Here a message holds the
pieces as they come, which takes four. The seams are Beam's channels; the messages are those of its protocol.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterator
from typing import Any

from apache_beam.portability.api import beam_fn_api_pb2
from apache_beam.runners.worker import data_plane

#: Bytes of a message to a worker process, from which on no more is added.
_FULL = 8 * 2**20


@contextlib.contextmanager
def sent_as_they_are() -> Iterator[None]:
    """While entered, channels that are made between a runner and worker processes are those of this module."""
    beams = data_plane._GrpcDataChannel, data_plane.GrpcClientDataChannel
    data_plane._GrpcDataChannel, data_plane.GrpcClientDataChannel = RunnersEnd, WorkersEnd
    try:
        yield
    finally:
        data_plane._GrpcDataChannel, data_plane.GrpcClientDataChannel = beams


class _AsTheyAre:
    """One end of a channel; `_pending_send` and `_to_send` are Beam's queues of (message, size) and of messages."""

    _WRITES_FINISHED: Any
    _pending_send: Any
    _to_send: Any

    def _write_outputs(self) -> Iterator[Any]:
        """Messages, one by one."""
        while (sent := self._to_send.get()) is not self._WRITES_FINISHED:
            if isinstance(sent, beam_fn_api_pb2.Elements.Timers):
                sent = beam_fn_api_pb2.Elements(timers=[sent])
            yield sent

    def _get_element_size_bytes(self, element: Any) -> int:
        """Nothing: who reads holds five elements at most, and they are no larger than who sends makes them."""
        return 0


class RunnersEnd(_AsTheyAre, data_plane._GrpcDataChannel):
    """The runner's end."""

    def output_stream(self, instruction_id: str, transform_id: str) -> Any:
        """Takes what a step of a worker process is to read."""
        return _Pieces(self._pending_send, instruction_id, transform_id)


class WorkersEnd(_AsTheyAre, data_plane.GrpcClientDataChannel):
    """The end of a worker process."""

    _data_buffer_time_limit_ms: int

    def output_stream(self, instruction_id: str, transform_id: str) -> Any:
        """Gathers the elements of a step, as Beam does."""
        ids = {"instruction_id": instruction_id, "transform_id": transform_id}

        def send(content: bytes, *, is_last: bool = False) -> None:
            message = beam_fn_api_pb2.Elements()
            if content:
                message.data.add(data=content, **ids)
            if is_last:
                message.data.add(is_last=True, **ids)
            self._pending_send.put((message, len(content)), len(content))

        return data_plane.ClosableOutputStream.create(
            functools.partial(send, is_last=True), send, self._data_buffer_time_limit_ms
        )


class _Pieces:
    """What the runner writes to a step of a worker process."""

    def __init__(self, queue: Any, instruction_id: str, transform_id: str) -> None:
        self._queue, self._ids = queue, {"instruction_id": instruction_id, "transform_id": transform_id}
        self._message, self._size = beam_fn_api_pb2.Elements(), 0

    def write(self, piece: bytes) -> None:
        """Send it, small ones together."""
        if not piece:
            return
        self._message.data.add(data=piece, **self._ids)
        self._size += len(piece)
        if self._size >= _FULL:
            self._send()

    def close(self) -> None:
        """Say that this was all."""
        self._message.data.add(is_last=True, **self._ids)
        self._send()

    def _send(self) -> None:
        # told as nothing: the step that reads it starts when all is written, so this must never wait for room
        self._queue.put((self._message, 0), 0)
        self._message, self._size = beam_fn_api_pb2.Elements(), 0
