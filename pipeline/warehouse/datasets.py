"""The datasets of a run: options that every warehouse has, and what their values may be."""

from __future__ import annotations

import re
from dataclasses import dataclass

from pipeline.errors import UsageError
from pipeline.option import Option, Values
from pipeline.tables import Source, Table

#: BigQuery allows 1,024, but the form of a launch is checked by RE2, which counts to 1,000.
DATASET = re.compile(r"[A-Za-z0-9_]{1,1000}")
PROJECT = re.compile(r"([a-z0-9.-]{1,100}:)?[a-z][a-z0-9-]{4,28}[a-z0-9]")
_INPUT = re.compile(rf"({PROJECT.pattern}\.)?{DATASET.pattern}")
OPTIONS = (
    Option(
        "posthog_dataset",
        "posthog_etl",
        "Dataset of PostHog's tables events and sessions; with bigquery also PROJECT.DATASET.",
        "DATASET",
        env="POSTHOG_DATASET_ID",
        pattern=f"^{_INPUT.pattern}$",
    ),
    Option(
        "firebase_dataset",
        "firebase_etl_prod",
        "Dataset of Firebase's tables users, events and userinvites; with bigquery also PROJECT.DATASET.",
        "DATASET",
        env="FIREBASE_DATASET_ID",
        pattern=f"^{_INPUT.pattern}$",
    ),
    Option(
        "privacy_dataset",
        "privacy",
        "Dataset of the table deletion_requests, if there is one; with bigquery also PROJECT.DATASET.",
        "DATASET",
        env="PRIVACY_DATASET_ID",
        pattern=f"^{_INPUT.pattern}$",
    ),
    Option(
        "aggregated_dataset",
        "posthog_aggregated",
        "Dataset of the output tables; created when missing.",
        "DATASET",
        env="POSTHOG_AGGREGATED_DATASET_ID",
        pattern=f"^{DATASET.pattern}$",
    ),
)
#: The options of datasets that are read.
INPUTS = ("posthog_dataset", "firebase_dataset", "privacy_dataset")


@dataclass(frozen=True)
class Datasets:
    """Names of datasets; an input may be `project.dataset` where the warehouse has projects."""

    posthog: str
    firebase: str
    aggregated: str
    privacy: str

    @classmethod
    def of(cls, values: Values) -> Datasets:
        """From the options; UsageError names the one that is wrong."""
        own = f"{values['project']}."
        inputs = [_checked(name, values[name], _INPUT).removeprefix(own) for name in INPUTS]
        output = _checked("aggregated_dataset", values["aggregated_dataset"], DATASET)
        if output in inputs:
            raise UsageError(f"--aggregated_dataset {output!r} is an input dataset; choose another")
        posthog, firebase, privacy = inputs
        return cls(posthog, firebase, output, privacy)

    def holding(self, table: Table) -> str:
        """The dataset in which a table is."""
        of_sources: dict[Source, str] = {
            "posthog": self.posthog,
            "firebase": self.firebase,
            "privacy": self.privacy,
            "aggregated": self.aggregated,
        }
        return of_sources[table.source]

    def label(self, table: Table) -> str:
        """A table as users know it, `dataset.table`."""
        return f"{self.holding(table)}.{table.name}"


def _checked(name: str, value: str | None, pattern: re.Pattern[str]) -> str:
    if value is None or not pattern.fullmatch(value):
        also = ", or PROJECT.DATASET" if pattern is _INPUT else ""
        raise UsageError(f"--{name} {value!r} is not a dataset name: letters, digits and _ only{also}")
    return value
