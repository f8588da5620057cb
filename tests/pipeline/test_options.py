"""Options: every bad value is refused with the bad and the allowed one, exit code 2."""

from __future__ import annotations

from datetime import date

import pytest

from pipeline.command_line import parse
from pipeline.errors import UsageError
from pipeline.launcher import main
from pipeline.options import Settings, settings_of
from pipeline.warehouse.datasets import Datasets
from pipeline.warehouse.folder_options import DEFAULT_FOLDER


def settings(*argv: str) -> Settings:
    return settings_of(parse(argv))


def test_defaults() -> None:
    found = settings()
    assert (found.values["warehouse"], DEFAULT_FOLDER) == (None, "./warehouse")
    assert Datasets.of(found.values) == Datasets("posthog_etl", "firebase_etl_prod", "posthog_aggregated", "privacy")
    assert not found.request.full_load
    assert found.max_rejected_ratio == 0.05


@pytest.mark.parametrize("flag", ["--full_load", "--full-load", "--full_load=true", "--full_load=True"])
def test_a_flag_in_all_its_forms(flag: str) -> None:
    assert settings(flag).request.full_load
    assert not settings("--full_load=false").request.full_load


def test_values_may_come_empty_as_from_a_template() -> None:
    found = settings("--limit=", "--start_date=", "--excluded_users=", "--metrics_file=")
    assert found.request.limit is None
    assert found.excluded_users is None


def test_environment_is_the_fallback(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POSTHOG_DATASET_ID", "from_env")
    assert settings().values["posthog_dataset"] == "from_env"
    assert settings("--posthog_dataset", "given").values["posthog_dataset"] == "given"


def test_a_backfill() -> None:
    request = settings("--start_date", "2026-01-05", "--end_date", "2026-01-07").request
    assert (request.start_date, request.end_date) == (date(2026, 1, 5), date(2026, 1, 7))


@pytest.mark.parametrize(
    ("argv", "told"),
    [
        (["--full_load=maybe"], ["--full_load", "'maybe'", "true, false"]),
        (["--start_date", "2026-13-01", "--end_date", "2026-12-01"], ["--start_date", "'2026-13-01'"]),
        (["--start_date", "0001-01-01", "--end_date", "2026-12-01"], ["'0001-01-01'", "2000 to 2099"]),
        (["--start_date", "2026-01-05"], ["--start_date", "--end_date", "together"]),
        (["--start_date", "2026-01-05", "--end_date", "2026-01-05"], ["not before"]),
        (["--limit", "0"], ["--limit", "'0'", "from 1"]),
        (["--limit", "ten"], ["'ten'"]),
        (["--limit", "٣"], ["'٣'"]),
        (["--lateness_days", "999999999999"], ["--lateness_days", "0 to 9999"]),
        (["--limit", "5", "--full_load"], ["--full_load and --limit", "exclude"]),
        (["--posthog_dataset", "a`b;--"], ["--posthog_dataset", "a`b;--", "letters"]),
        (["--posthog_dataset", "project-x.a.b"], ["--posthog_dataset", "project-x.a.b", "PROJECT.DATASET"]),
        (["--firebase_dataset", "project-x.data"], ["--firebase_dataset", "project-x.data", "--warehouse bigquery"]),
        (["--aggregated_dataset", "project-x.data"], ["--aggregated_dataset", "project-x.data", "letters"]),
        (["--aggregated_dataset", "posthog_etl"], ["--aggregated_dataset", "input dataset"]),
        (["--max_rejected_ratio", "2"], ["--max_rejected_ratio", "'2'", "0 to 1"]),
        (["--max_rejected_ratio", "nan"], ["'nan'"]),
        (["--overlap_hours", "-1"], ["--overlap_hours"]),
        (["--warehouse", "bigquery"], ["--project is missing", "bigquery needs one"]),
        (["--warehouse", "bigquery", "--project", "Bad_Name"], ["--project 'Bad_Name'"]),
        (["--warehouse", "bigquery", "--project", "my-project"], ["--temp_location gs://BUCKET/FOLDER is missing"]),
        (["--warehouse", "s3://bucket/events"], ["'s3://bucket/events' is an object store", "rename", "lock"]),
        (["--runner", "FlinkRunner", "--warehouse", "gs://bucket"], ["'gs://bucket' is an object store"]),
        (["--runner", "DataflowRunner"], ["--warehouse bigquery only"]),
        (["--read_method", "FAST"], ["'FAST'", "DIRECT_READ"]),
        (["--credentials_path", "a", "--credentials_secret", "b"], ["exclude each other"]),
        (["--ful_load"], ["unknown option '--ful_load'; is --full_load meant? See --help"]),
        (["--limits=5"], ["unknown option '--limits=5'; is --limit meant?"]),
        (["--nothing_of_ours"], ["unknown option '--nothing_of_ours'; see --help"]),
        (["--runner", "SparkRunner"], ["--runner 'SparkRunner' is not one of DirectRunner, DataflowRunner, Flink"]),
        (["--direct_num_workers=-3"], ["--direct_num_workers -3"]),
        (["--limit"], ["--limit"]),
    ],
)
def test_bad_values(argv: list[str], told: list[str], capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(UsageError):
        settings(*argv)
    assert main(argv) == 2
    out, err = capfd.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    for part in told:
        assert part in err
