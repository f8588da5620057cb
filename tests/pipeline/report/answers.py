"""Rows of answers, as the tests of the report make them, and columns of sections."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

from pipeline.report.section import Section


def column(section: Section, name: str) -> list[Any]:
    position = [known for known, _ in section.columns].index(name)
    return [row[position] for row in section.rows]


def ran(day: int, **values: Any) -> dict[str, Any]:
    notes = {"nulled.$city": 3, "nulled.$x": 4, "posthog_sessions.matched": 90, "posthog_sessions.start_differs": 8}
    return {
        "published_at": datetime(2026, 1, day, 2, 4, 34, tzinfo=UTC),
        "mode": "incremental",
        "seconds": 12.34,
        "rows_read": 1_000,
        "rows_rejected": 20,
        "rows_duplicate": 10,
        "sessions_too_old": 2,
        "filtered": json.dumps({"late": 5}),
        "rejected": json.dumps({"uuid_missing": 15, "event_missing": 5}),
        "notes": json.dumps(notes),
        **values,
    }
