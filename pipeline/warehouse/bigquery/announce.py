"""`published.json`: tells dashboards that cache the tables that there is something new.

One small file a result dataset, replaced after each publish:
`gs://BUCKET/published/<aggregated dataset>/published.json`, in the bucket of `--temp_location`, out of reach of its
lifecycle rule. It is a hint, not the truth (that is the table `runs`): where it cannot be written, the run has been
published all the same.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from apache_beam.io.filesystems import FileSystems

from pipeline.tables import OUTPUTS
from transforms.published.changes import TOUCHED

_LOG = logging.getLogger(__name__)
#: Columns of the ledger that the file repeats: what was published, how far the export has come, and what changed.
_COLUMNS = (
    *("run_id", "mode", "published_at", "watermark", "rows_read", "rows_kept", "rows_rejected", "sessions_too_old"),
    *(output.ledger_columns[change] for output in OUTPUTS if output.in_ledger for change in TOUCHED),
)


def place_of(temp_location: str, dataset: str) -> str:
    """The file's name, for `gs://BUCKET/FOLDER` and a result dataset."""
    bucket = temp_location.removeprefix("gs://").partition("/")[0]
    return f"gs://{bucket}/published/{dataset}/published.json"


def announcement(ledger: Mapping[str, Any]) -> str:
    """The file's content: JSON with columns of the ledger row, times in UTC."""
    return json.dumps({name: _plain(ledger[name]) for name in _COLUMNS}, indent=2) + "\n"


def announce(temp_location: str, dataset: str, ledger: Mapping[str, Any]) -> None:
    """Replace the file; a failure is logged and no more, because the run is published already."""
    place = place_of(temp_location, dataset)
    try:
        with FileSystems.create(place, mime_type="application/json") as file:
            file.write(announcement(ledger).encode())
    except Exception as error:  # whatever the network or the bucket says: nothing is wrong with the tables
        _LOG.warning("%s was not written (%s); the tables are published", place, type(error).__name__)


def _plain(value: Any) -> Any:
    return value.astimezone(UTC).isoformat(timespec="microseconds") if isinstance(value, datetime) else value
