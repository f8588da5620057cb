"""Write a sample warehouse: synthetic events, sessions and users, the same for the same arguments.

python -m sample --warehouse DIR [--events 50000] [--seed 7] [--start DAY] [--days N]
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from datetime import date
from pathlib import Path

from sample.timeline import Plan
from sample.write import SAMPLE_EVENTS, write_sample


def main(arguments: Sequence[str] | None = None) -> int:
    """Write a sample warehouse; exit code 0, 1 when there is data already, 2 for bad options."""
    parser = argparse.ArgumentParser(prog="python -m sample", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--warehouse", type=Path, required=True, metavar="DIR")
    parser.add_argument("--events", type=int, default=SAMPLE_EVENTS, metavar="N", help="rows")
    parser.add_argument("--seed", type=int, default=Plan.seed, metavar="N")
    parser.add_argument("--start", type=date.fromisoformat, default=Plan.start, metavar="DAY")
    parser.add_argument("--days", type=int, metavar="N", help="default: by the number of events")
    options = parser.parse_args(arguments)
    begun = time.monotonic()
    try:
        write_sample(options.warehouse, options.events, options.seed, options.start, options.days)
    except ValueError as error:
        print(f"sample: {error}", file=sys.stderr)
        return 2
    except OSError as error:
        what = f"{error.filename}: {error.strerror}" if error.filename else error
        print(f"sample: {what}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("sample: interrupted; nothing is written", file=sys.stderr)
        return 130
    seconds = time.monotonic() - begun
    rate = options.events / seconds
    print(f"{options.events:,} events in {options.warehouse}: {seconds:.1f} s, {rate:,.0f} events/s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
