"""Command lines → Beam options: runners, workers and shuffles, help."""

from __future__ import annotations

import os
import pickle

import pytest
from apache_beam.options.pipeline_options import DebugOptions, DirectOptions

from pipeline.command_line import MANY_ROWS, choose_shuffles, choose_workers, parse
from pipeline.options import OPTIONS


def test_beam_options_pass_and_the_runner_is_the_in_process_one() -> None:
    options = parse(["--runner", "DirectRunner", "--direct_num_workers=2"])
    everything = options.get_all_options()
    assert everything["runner"] == "FnApiRunner"
    assert everything["direct_num_workers"] == 2
    named = {"PrismRunner": "PrismRunner", "dataflowrunner": "DataflowRunner", "directrunner": "FnApiRunner"}
    assert {name: parse(["--runner", name]).get_all_options()["runner"] for name in named} == named


@pytest.mark.parametrize(
    ("argv", "rows", "workers", "mode"),
    [
        ([], MANY_ROWS, 4, "multi_processing"),
        ([], MANY_ROWS - 1, 1, "in_memory"),
        (["--direct_num_workers=3"], MANY_ROWS, 3, "in_memory"),
        (["--direct_num_workers=1", "--direct_running_mode=in_memory"], MANY_ROWS, 1, "in_memory"),
        (["--runner", "PrismRunner"], MANY_ROWS, 1, "in_memory"),
    ],
)
def test_large_runs_use_all_cores_unless_told_otherwise(
    argv: list[str], rows: int, workers: int, mode: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1, 2, 3})
    options = parse(argv)
    assert choose_workers(options, rows) == workers
    assert options.get_all_options()["direct_running_mode"] == mode


def test_only_runs_in_memory_shuffle_in_slices() -> None:
    assert [choose_shuffles(parse([]), rows) for rows in (0, 3_999_999, 4_000_000, 10**12)] == [1, 1, 2, 16]
    assert choose_shuffles(parse(["--runner", "DataflowRunner"]), 10**12) == 1


def test_help_teaches(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        parse(["--help"])
    assert caught.value.code == 0
    told = capsys.readouterr().out
    assert "examples:" in told
    for option in OPTIONS:
        assert f"--{option.name}" in told


def test_a_view_of_the_options_is_made_once_and_shares_its_values() -> None:
    options = parse(["--direct_num_workers=3", "--limit", "7"])
    direct = options.view_as(DirectOptions)
    assert options.view_as(DirectOptions) is direct
    assert direct.direct_num_workers == 3
    direct.direct_num_workers = 2
    assert options.get_all_options()["direct_num_workers"] == 2
    assert parse([]).view_as(DirectOptions).direct_num_workers == 1


def test_options_travel_without_their_views() -> None:
    options = parse(["--direct_num_workers=3"])
    assert options.view_as(DebugOptions)
    assert b"DebugOptions" not in pickle.dumps(options)
    assert pickle.loads(pickle.dumps(options)).view_as(DirectOptions).direct_num_workers == 3
