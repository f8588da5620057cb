"""`python -m pipeline`: parse, plan, run, tell."""

from __future__ import annotations

import sys

from pipeline.launcher import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
