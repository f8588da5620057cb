"""What a run ends with: the three things to do next, as commands to be pasted."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Iterable
from pathlib import Path

from pipeline.extras import has_makefile, is_missing
from pipeline.options import WHICH, Settings
from pipeline.warehouse.bigquery.options import WORD as BIGQUERY

#: Options that are of one run only: the next night has none of them.
_ONCE = frozenset({"full_load", "start_date", "end_date", "limit", "plan_only", "verbose"})
_VIEW = "daily_active"


def next_text(settings: Settings, temp_location: str | None, python: str) -> str:
    """Three commands: look at the tables, ask them, and run again for what has come since.

    Args:
      settings: those of the run; a sample is followed by a run on everything.
      temp_location: where load files go, which BigQuery asks for.
      python: how Python is called here.
    """
    steps = (
        ("look", _asking("report", "make report", "", settings, python)),
        ("ask", _ask(settings, python)),
        ("next night", f"{python} -m pipeline --runner DirectRunner" + _again(settings, temp_location)),
    )
    return "\n".join(f"  {name:<10} {command}" for name, command in steps)


def this_python() -> str:
    """How this Python is called: by a path from this folder where it lies below it, as an environment mostly does."""
    found, here = Path(sys.executable), Path.cwd()
    return shlex.quote(str(found.relative_to(here)) if found.is_relative_to(here) else str(found))


def _ask(settings: Settings, python: str) -> str:
    if settings.values["warehouse"] != BIGQUERY:
        return _asking("views", f"make view VIEW={_VIEW}", f" {_VIEW}", settings, python)
    query = f"SELECT * FROM {settings.values['aggregated_dataset']}.{_VIEW} ORDER BY date DESC LIMIT 7"
    return f"bq query --project_id={settings.project} --use_legacy_sql=false {shlex.quote(query)}"


def _asking(name: str, target: str, what: str, settings: Settings, python: str) -> str:
    """A command that needs an extra; `make run` does not install it, so where it is missing make does that first."""
    given = _given(settings, WHICH)
    output = " --output report.html" if name == "report" else ""
    if not (is_missing(name) and has_makefile()):
        return f"{python} -m pipeline.{name}{what}{given}{output}"
    return f"make .venv/report && .venv/bin/python -m pipeline.{name}{what}{given}{output}" if given else target


def _again(settings: Settings, temp_location: str | None) -> str:
    names = [name for name in settings.given if name not in _ONCE]
    bucket = f" --temp_location {shlex.quote(temp_location)}" if temp_location else ""
    return _given(settings, names) + bucket


def _given(settings: Settings, names: Iterable[str]) -> str:
    """What was given of these options, as it was given."""
    parts = []
    for name in names:
        if value := settings.given.get(name):
            parts.append(f" --{name}" if value == "true" else f" --{name} {shlex.quote(value)}")
    return "".join(parts)
