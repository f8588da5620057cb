"""A peer that makes other tables is none: what the benchmarks check before they compare."""

from __future__ import annotations

from pathlib import Path

import duckdb

#: What we make and the peers do not: beside whole tables (links, days, social events, dead letters, the ledger), of
#: `sessions` what no condition on single events gives, and of `persons` what looks at days.
OURS_ALONE = frozenset(
    [
        "quiz_step",
        "quiz_started_at",
        "quiz_finished_at",
        "quiz_duration",
        "quiz_attempts",
        "foreground_duration",
        "is_oversized",
        "start_date",
        "timezone",
        "local_start_hour",
        "local_start_weekday",
        "is_emulator",
        "is_dev_build",
        "has_clock_skew",
        "session_number",
        "is_first_session",
        "previous_session_end",
        "seconds_since_previous_session",
        "quiz_started_sum",
        "quiz_finished_sum",
        "total_foreground_duration",
        "total_events_created",
        "days_to_first_event",
        "active_days",
        "first_active_date",
        "last_active_date",
        "longest_gap_days",
        "times_churned",
        "first_touch_channel",
        "latest_touch_channel",
        "_loaded_at",
        "_run_id",
    ]
)


def check_orders(in_order: Path, shuffled: Path) -> None:
    """The peers' tables are ours, and ours are the same in both orders, row for row."""
    check_peers(in_order)
    check_peers(shuffled)
    for name in ("sessions", "persons"):
        one, other = (
            f"select * exclude (_loaded_at, _run_id) from '{warehouse}/posthog_aggregated/{name}/*.parquet'"
            for warehouse in (in_order, shuffled)
        )
        counts = f"(select count(*) from ({one})), (select count(*) from ({other}))"
        with duckdb.connect() as db:
            rows = db.execute(f"select count(*), {counts} from ({one} except all {other})").fetchall()
        different, mine, theirs = rows[0]
        if different or mine != theirs:
            raise SystemExit(
                f"{different} of {mine} rows of {name} differ from those of {shuffled}, which has {theirs}"
            )


def check_peers(warehouse: Path) -> None:
    """The tables of all peers that ran over a warehouse are ours."""
    for tables in sorted((warehouse / "peers").glob("*")):
        _check_same(warehouse, tables)


def _check_same(warehouse: Path, peer_tables: Path) -> None:
    """A peer that makes other tables is none: values and sums of all columns agree with ours to one in a thousand."""
    for name in ("sessions", "persons"):
        mine = duckdb.read_parquet(str(warehouse / "posthog_aggregated" / name / "*.parquet"))
        other = duckdb.read_parquet(str(peer_tables / f"{name}*.parquet"))
        asked = ["count(*)"]
        for column, kind in zip(mine.columns, mine.types, strict=True):
            if column not in OURS_ALONE:
                asked.append(f'count("{column}")')
                if str(kind) in ("BIGINT", "DOUBLE", "BOOLEAN"):
                    asked.append(f'sum("{column}"::double)')
        results = [table.aggregate(", ".join(asked)).fetchall()[0] for table in (mine, other)]
        for what, ours, theirs in zip(asked, *results, strict=True):
            same = ours is theirs if ours is None or theirs is None else abs(ours - theirs) <= abs(ours) / 1_000
            if not same:  # NaN is never the same
                raise SystemExit(f"{what} of {name} in {peer_tables} is {theirs}, ours is {ours}")
