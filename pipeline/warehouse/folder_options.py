"""A folder as a warehouse: what its options may be, and the sample that is written where there is none yet."""

from __future__ import annotations

from pathlib import Path

from apache_beam.options.pipeline_options import PipelineOptions, StandardOptions

from pipeline.errors import RunError, UsageError, system_text
from pipeline.option import Values
from pipeline.runners.engines import is_engine
from pipeline.warehouse.bigquery.options import WORD as BIGQUERY
from pipeline.warehouse.datasets import INPUTS, OPTIONS, Datasets
from pipeline.warehouse.local import LocalWarehouse

DEFAULT_FOLDER = "./warehouse"
#: The dataset of the sample's events: where it is, another name is a mistake, and no reason to write a sample.
SAMPLE = next(option.default for option in OPTIONS if option.name == "posthog_dataset") or ""


def check(values: Values, options: PipelineOptions) -> None:
    """What a folder cannot do; UsageError says what can."""
    runner = options.view_as(StandardOptions).runner or ""
    if "Dataflow" in runner:
        raise UsageError(f"--runner {runner} works on --warehouse {BIGQUERY} only; its workers see no local folder")
    if "://" in (values["warehouse"] or ""):
        raise UsageError(
            f"--warehouse {values['warehouse']!r} is an object store, which can neither switch all tables at once by a "
            f"rename nor keep a second run out by a lock; give a folder (of all workers) or {BIGQUERY}"
        )
    for name in INPUTS:
        if "." in (values[name] or ""):
            raise UsageError(f"--{name} {values[name]!r} names a project, which only --warehouse {BIGQUERY} has")


def open_warehouse(values: Values, options: PipelineOptions) -> LocalWarehouse:
    """The warehouse of checked options; the default one is made with a sample when there is none."""
    root, datasets = Path(values["warehouse"] or DEFAULT_FOLDER), Datasets.of(values)
    if is_engine(options):  # workers have working folders of their own
        root = root.absolute()
    if values["warehouse"] is None and not any((root / name).exists() for name in (datasets.posthog, SAMPLE)):
        _write_sample(root)
    return LocalWarehouse(root, datasets)


def _write_sample(root: Path) -> None:
    """The sample generator stands beside the package in the repository; it is not installed with it."""
    try:
        from sample import write_sample
    except ImportError as error:
        told = f"no warehouse at {DEFAULT_FOLDER}, and the sample generator is not installed; give --warehouse DIR"
        raise UsageError(told) from error
    print(f"No warehouse at {root}: writing a sample of about 50,000 events there first.")
    try:
        write_sample(root)
    except OSError as error:
        told = system_text(error.errno or 0, None)
        raise RunError(f"the sample cannot be written to {root}: {told}; give --warehouse DIR") from error
