"""Start-up: `python -m benchmarks.first_event WAREHOUSE` runs the pipeline until the first batch of events is decoded.

The process ends there, so that its wall time is the time from nothing to the first event, on one worker.
"""

from __future__ import annotations

import os
import sys
from typing import Any

from pipeline.launcher import main
from transforms.events.decoder import EventDecoder


def stop(decoder: EventDecoder, batch: Any) -> None:
    """Instead of decoding."""
    os._exit(0)


if __name__ == "__main__":
    EventDecoder.decode = stop  # type: ignore[method-assign, assignment]
    sys.exit(main(["--runner", "DirectRunner", "--quiet", "--full_load", "--warehouse", sys.argv[1]]))
