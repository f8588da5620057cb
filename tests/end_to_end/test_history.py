"""The machine of `test_history_law` in small, through the whole pipeline, on both warehouses: each run is made on
BigQuery and on a folder, which must publish the same."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from pipeline import tables
from pipeline.plan import Request
from tests import builders
from tests.builders import SMALL_METRICS_FILE, at, ledger, published, run, write_table
from tests.end_to_end.test_history_law import PHONES, Runs

#: The sources that the machine has, in its order.
SOURCES = (
    ("posthog_etl", tables.EVENTS),
    ("firebase_etl_prod", tables.USERS),
    ("firebase_etl_prod", tables.FIREBASE_EVENTS),
    ("posthog_etl", tables.POSTHOG_SESSIONS),
    ("firebase_etl_prod", tables.USER_INVITES),
)


class Warehouse:
    """A warehouse with the interface of `tests.pure.Model`. Its clock is the real one, years after all events."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.excluded: frozenset[str] = frozenset()
        self.requested: frozenset[str] = frozenset()
        self.clock = datetime.now(UTC)

    def run(self, *sources: Sequence[Mapping[str, Any]], request: Request | None = None) -> None:
        """The command on these tables."""
        for (dataset, table), rows in zip(SOURCES, sources, strict=True):
            write_table(self.folder, dataset, table, rows)
        requests = [{"distinct_id": one} for one in sorted(self.requested)]
        write_table(self.folder, "privacy", tables.DELETION_REQUESTS, requests)
        metrics, excluded = self.folder / "metrics.toml", self.folder / "excluded.txt"
        metrics.write_text(SMALL_METRICS_FILE)
        excluded.write_text("\n".join(sorted(self.excluded)))
        ratios = ("--max_rejected_ratio=1", "--max_filtered_ratio=1")  # here a night can be of excluded persons only
        files = ("--metrics_file", str(metrics), "--excluded_users", str(excluded))
        assert run(self.folder, *files, *ratios, *_options(request or Request())) == 0

    @property
    def ledger(self) -> list[dict[str, Any]]:
        """Its rows, oldest first."""
        return ledger(self.folder)

    @property
    def too_old(self) -> list[str]:
        """The sessions that the last run has listed."""
        return list(self.ledger[-1]["too_old_sessions"])

    @property
    def counts(self) -> dict[str, int]:
        """What became of the rows of the last run that the ledger knows."""
        row = self.ledger[-1]
        counts = {"read": row["rows_read"], "kept": row["rows_kept"], "duplicates": row["rows_duplicate"]}
        for group in ("filtered", "rejected"):
            counts |= {f"{group}.{name}": number for name, number in json.loads(row[group]).items()}
        return counts

    def content(self) -> dict[str, list[dict[str, Any]]]:
        """The tables without their run columns."""
        names = [output.name for output in tables.OUTPUTS if not output.append_only]
        return {name: published(self.folder, name).to_pylist() for name in names}


class OnlyAFolder(Warehouse):
    """The same on a folder, whatever the other is on: a run on BigQuery compares the two already."""

    def run(self, *sources: Sequence[Mapping[str, Any]], request: Request | None = None) -> None:
        """See `Warehouse`."""
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(builders, "PLACE", None)
            super().run(*sources, request=request)

    def content(self) -> dict[str, list[dict[str, Any]]]:
        """See `Warehouse`."""
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(builders, "PLACE", None)
            return super().content()


def _options(request: Request) -> list[str]:
    options = [f"--start_date={request.start_date}", f"--end_date={request.end_date}"] if request.start_date else []
    options += ["--full_load"] if request.full_load else []
    return options + ([f"--limit={request.limit}"] if request.limit else [])


@pytest.mark.emulator
@pytest.mark.usefixtures("bigquery")
def test_whatever_happens_a_run_ends_where_a_full_load_would(tmp_path: Path) -> None:
    made = []

    class Played(Runs):
        """Every full load begins in a folder of its own."""

        def published_by_nobody(self) -> Warehouse:
            made.append(OnlyAFolder if made else Warehouse)
            return made[-1](tmp_path / f"{len(made)}")

    it = Played()
    it.begin()
    # an account and its number, an event that comes twice, one without arrival, an invite to a social event
    it.sign_up(user=0, phone=PHONES[0], name="Ann")
    it.arrive(session=3, who="anon-0", name="buy", delay=0, inside=2, arrival="now", twice=True)
    it.arrive(session=4, who=PHONES[0], name="tap", delay=1, inside=24, arrival="unknown", twice=False)
    it.invite(number=0, user=0, session=3, hours=0, status="invited", to="buy")
    it.create(user=0, session=3, document="buy", lead=30)
    it.wait(hours=24)
    it.run(settle=False, pulse=True)
    # late by days, dated wrongly, a corrected event, a second account with the number, PostHog's own session
    it.arrive(session=1, who=PHONES[1], name="x", delay=100, inside=3, arrival="ahead", twice=False)
    it.arrive(session=3, who=PHONES[0], name="buy", delay=0, inside=20, arrival="behind", twice=False)
    it.correct(number=len(it.events) - 2, name="tap", moved=-2)
    it.sign_up(user=1, phone=PHONES[0], name=None)
    it.acquire(session=3, channel="Referral", bounce=True)
    it.answer(number=0, status="accepted")
    it.run(settle=False)
    assert it.model.too_old, "a session that only a backfill settles"
    # the number changes hands, a social event is gone, a sample, and the backfill that the ledger names
    it.sign_up(user=0, phone=PHONES[1], name="Ann")
    it.uncreate(number=0)
    it.limited(rows=5)
    it.wait(hours=100)
    it.run(settle=True, pulse=True)
    # a person is excluded, and comes back with a full load
    it.exclude(PHONES[0])
    it.ask_for_deletion(["anon-0"])
    it.vanish(user=1)
    it.uninvite(number=0)
    it.run(settle=False)
    it.include_everybody()
    it.settle(at(it.begins[1]).date(), days=3)
    it.run(settle=True)
    assert made.count(OnlyAFolder) > 5
