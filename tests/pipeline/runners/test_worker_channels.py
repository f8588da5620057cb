"""Messages between a runner and its worker processes: all that was written, in order, and nobody waits for room."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent import futures
from typing import Any

import grpc
import pytest
from apache_beam.portability.api import beam_fn_api_pb2, beam_fn_api_pb2_grpc
from apache_beam.runners.worker import data_plane
from apache_beam.runners.worker.worker_id_interceptor import WorkerIdInterceptor

from pipeline.runners import worker_channels
from pipeline.runners.worker_channels import RunnersEnd, WorkersEnd, sent_as_they_are

PIECES = [b"a", b"", b"bb", b"c" * 40, b"d"]
WRITTEN = [piece for piece in PIECES if piece]


@pytest.fixture
def ends() -> Iterator[tuple[Any, Any]]:
    """The two ends of a channel over gRPC: the runner's, and the worker process's."""
    server = grpc.server(futures.ThreadPoolExecutor(2))
    with sent_as_they_are():
        servicer = data_plane.BeamFnDataServicer()
        beam_fn_api_pb2_grpc.add_BeamFnDataServicer_to_server(servicer, server)
        port = server.add_insecure_port("localhost:0")
        server.start()
        way = grpc.intercept_channel(grpc.insecure_channel(f"localhost:{port}"), WorkerIdInterceptor("worker"))
        workers = data_plane.GrpcClientDataChannel(beam_fn_api_pb2_grpc.BeamFnDataStub(way))
        runners = servicer.get_conn_by_worker_id("worker")
    yield runners, workers
    workers.close()
    runners.close()
    server.stop(0).wait()


def write(end: Any, instruction: str, *pieces: bytes) -> None:
    stream = end.output_stream(instruction, "step")
    for piece in pieces:
        stream.write(piece)
    stream.close()


def read(end: Any, instruction: str) -> list[bytes]:
    return [element.data for element in end.input_elements(instruction, ["step"])]


def test_whoever_makes_channels_meanwhile_makes_these(ends: tuple[Any, Any]) -> None:
    assert [type(end) for end in ends] == [RunnersEnd, WorkersEnd]
    assert not issubclass(data_plane._GrpcDataChannel, RunnersEnd), "only while it is entered"
    assert not issubclass(data_plane.GrpcClientDataChannel, WorkersEnd)


@pytest.mark.parametrize("full", [1, 3, 10_000])
def test_all_comes_as_it_was_written(ends: tuple[Any, Any], monkeypatch: pytest.MonkeyPatch, full: int) -> None:
    monkeypatch.setattr(worker_channels, "_FULL", full)
    runners, workers = ends
    for instruction in ("one", "two"):
        write(runners, instruction, *PIECES)
    assert read(workers, "two") == read(workers, "one") == WRITTEN
    write(runners, "three")
    assert read(workers, "three") == []


def test_elements_come_back(ends: tuple[Any, Any]) -> None:
    runners, workers = ends
    write(workers, "one", *PIECES)
    write(workers, "two")
    assert b"".join(read(runners, "one")) == b"".join(WRITTEN)
    assert read(runners, "two") == []


def test_timers_go_both_ways(ends: tuple[Any, Any]) -> None:
    for here, there in (ends, ends[::-1]):
        stream = here.output_timer_stream("one", "step", "family")
        stream.write(b"now")
        stream.close()
        [timers] = there.input_elements("one", [("step", "family")])
        assert timers.timers == b"now"


def test_a_message_holds_small_pieces_and_no_large_one_is_joined(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker_channels, "_FULL", 10)
    end = RunnersEnd()
    write(end, "one", *PIECES)
    end.close()
    messages = list(end._write_outputs())
    assert [[(part.data, part.is_last) for part in message.data] for message in messages] == [
        [(b"a", False), (b"bb", False), (b"c" * 40, False)],
        [(b"d", False), (b"", True)],
    ]
    assert {type(message) for message in messages} == {beam_fn_api_pb2.Elements}


def test_to_write_never_waits_for_who_reads(monkeypatch: pytest.MonkeyPatch) -> None:
    """A step starts to read when all that it is to read is written: a bound on bytes would wait for ever."""
    monkeypatch.setattr(worker_channels, "_FULL", 1)
    monkeypatch.setattr(data_plane, "_DEFAULT_SEND_QUEUE_MAX_BYTES", 100)
    end = RunnersEnd()
    writer = threading.Thread(target=write, args=(end, "one", *[b"x" * 50] * 200), daemon=True)
    writer.start()
    writer.join(30)
    assert not writer.is_alive()
    end.close()
    assert sum(len(part.data) for message in end._write_outputs() for part in message.data) == 50 * 200
