"""A folder as a warehouse: what it refuses, and when a sample is written into it."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from pipeline.command_line import parse
from pipeline.errors import RunError, UsageError
from pipeline.warehouse import folder_options
from pipeline.warehouse.datasets import OPTIONS, Datasets
from pipeline.warehouse.folder_options import check, open_warehouse

VALUES: dict[str, str | None] = {option.name: option.default for option in OPTIONS} | {"project": None}
FLINK = ["--runner=FlinkRunner", "--job_endpoint=localhost:1"]


@pytest.fixture
def samples(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[Path]:
    """Where samples were written, in a working folder of its own."""
    found: list[Path] = []
    monkeypatch.setattr(folder_options, "_write_sample", found.append)
    monkeypatch.chdir(tmp_path)
    return found


@pytest.mark.parametrize(
    ("argv", "values", "told"),
    [
        (["--runner=DataflowRunner"], {}, "--runner DataflowRunner works on --warehouse bigquery only"),
        ([], {"warehouse": "s3://bucket"}, "--warehouse 's3://bucket' is an object store"),
        ([], {"privacy_dataset": "project-x.data"}, "--privacy_dataset 'project-x.data' names a project"),
    ],
)
def test_what_a_folder_cannot_do(argv: list[str], values: dict[str, str | None], told: str) -> None:
    with pytest.raises(UsageError) as caught:
        check({**VALUES, "warehouse": "DIR", **values}, parse(argv))
    assert str(caught.value).startswith(told)


@pytest.mark.parametrize("argv", [[], FLINK])
def test_what_a_folder_can_do(argv: list[str]) -> None:
    check({**VALUES, "warehouse": None}, parse(argv))
    check({**VALUES, "warehouse": "/mnt/shared"}, parse(argv))


def test_a_sample_is_written_where_no_warehouse_is_named_and_none_is_there(samples: list[Path], tmp_path: Path) -> None:
    assert open_warehouse({**VALUES, "warehouse": None}, parse([])).root == Path("warehouse")
    assert samples == [Path("warehouse")]
    (tmp_path / "warehouse" / "posthog_etl").mkdir(parents=True)
    open_warehouse({**VALUES, "warehouse": None}, parse([]))
    open_warehouse({**VALUES, "warehouse": "elsewhere"}, parse([]))  # a name that is mistyped makes no data
    open_warehouse({**VALUES, "warehouse": None, "posthog_dataset": "posthog"}, parse([]))
    assert len(samples) == 1


def test_where_no_sample_can_be_written_the_line_says_where(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    Path("warehouse").touch()  # as a folder that may not be written
    with pytest.raises(RunError, match=r"^the sample cannot be written to warehouse: .+; give --warehouse DIR$"):
        open_warehouse({**VALUES, "warehouse": None}, parse([]))


def test_workers_of_an_engine_are_told_the_whole_path(samples: list[Path], tmp_path: Path) -> None:
    assert open_warehouse({**VALUES, "warehouse": "data"}, parse(FLINK)).root == tmp_path / "data"
    assert samples == []


def test_the_datasets_have_the_names_that_were_given(samples: list[Path]) -> None:
    named = {"aggregated_dataset": "out", "posthog_dataset": "events", "privacy_dataset": "asked"}
    made = open_warehouse({**VALUES, "warehouse": "data", **named}, parse([]))
    assert made.snapshots.link == Path("data/out")
    assert made._datasets == Datasets("events", "firebase_etl_prod", "out", "asked")


def test_an_installed_package_without_the_generator_says_what_to_give(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setitem(sys.modules, "sample", None)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match=r"^no warehouse at \./warehouse, and the sample .*; give --warehouse DIR$"):
        open_warehouse({**VALUES, "warehouse": None}, parse([]))
    assert list(tmp_path.iterdir()) == []
