"""Peer: the pandas job as such jobs are usually written, a row at a time.

`python -m benchmarks.rowwise_pandas WAREHOUSE LIMIT`: a part of the columns only (which favours this peer).
"""

from __future__ import annotations

import json
import sys
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.dataset as ds


def parse(text: Any) -> dict[str, Any]:
    """The properties of a row, empty when they are broken."""
    try:
        content = json.loads(text.replace("\\ud83d", ""))  # a lone surrogate makes pandas fail
    except (AttributeError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def session(rows: pd.DataFrame) -> pd.Series:
    """The columns of a session."""
    rows = rows.drop_duplicates("uuid").sort_values(["timestamp", "uuid"])
    screens = rows["properties"].apply(lambda p: p.get("$screen_name")).dropna()
    touches = rows["properties"].apply(lambda p: p.get("$touch_y")).dropna()
    return pd.Series(
        {
            "person": rows["distinct_id"].iloc[0],
            "seconds": (rows["timestamp"].iloc[-1] - rows["timestamp"].iloc[0]).total_seconds(),
            "events": len(rows),
            "autocaptures": (rows["event"] == "$autocapture").sum(),
            "screens": screens.nunique(),
            "entry": screens.iloc[0] if len(screens) else None,
            "exit": screens.iloc[-1] if len(screens) else None,
            "touches": len(touches),
            "viewed": (rows["event"] == "view_event").any(),
            "joined": (rows["event"] == "join_event").any(),
            "discover": (screens == "Discover").any(),
        }
    )


def main(warehouse: str, limit: int) -> None:
    """Read, aggregate twice."""
    columns = ["uuid", "event", "properties", "distinct_id", "timestamp"]
    events: pa.Table = ds.dataset(f"{warehouse}/posthog_etl/events").head(limit, columns=columns)
    frame = events.to_pandas()
    frame["properties"] = frame["properties"].apply(parse)
    frame["session"] = frame["properties"].apply(lambda p: p.get("$session_id"))
    frame = frame[frame["properties"].apply(lambda p: p.get("$lib") == "posthog-react-native")]
    frame = frame[frame["timestamp"].notna() & frame["distinct_id"].notna()]
    sessions = frame.groupby("session").apply(session, include_groups=False)
    sessions.groupby("person").agg({"seconds": ["count", "mean", "median", "std"], "touches": ["sum", "mean", "max"]})


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
