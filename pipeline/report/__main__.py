"""The report on the published tables: one HTML file for a browser, without a network.

python -m pipeline.report [--warehouse DIR | --warehouse bigquery --project P] [--output report.html]
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from pipeline.errors import RunError
from pipeline.options import OPTIONS
from pipeline.report import questions
from pipeline.report.readers import BigQueryReader, LocalReader, Reader, Rows, can_answer
from pipeline.report.sections import sections
from pipeline.report.verdict import verdict
from pipeline.views import views
from pipeline.views.published import metrics_of
from pipeline.warehouse.bigquery.options import WORD as BIGQUERY
from transforms.metrics.definitions import MetricsError

_DEFAULTS = {option.name: option.fallback for option in OPTIONS}
_EXTRA = ("altair", "vl_convert", "duckdb", "sqlglot")
_INSTALL = "this needs the extra `report`: `make report` installs it, as does pip install '.[report]'"
#: Why a question may have no answer.
_NEEDS = {
    "funnels": "sequences, of which the metrics file declares none",
    "links": "links with the actions viewed and joined, of which the metrics file declares none",
    "checks": "the view checks, which is made by newer runs",
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the report; exit code 0, 1 when there is nothing to tell of or no extra, 2 for bad options."""
    options = _parser().parse_args(arguments)
    missing = [name for name in _EXTRA if not importlib.util.find_spec(name)]
    if missing:
        return _failed(_INSTALL, 1)
    try:
        text = html(_open(options))
    except MetricsError as error:
        return _failed(str(error), 2)
    except RunError as error:
        return _failed(str(error), 1)
    _write(options.output, text)
    print(f"{options.output}: open it in a browser")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m pipeline.report", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--warehouse", default=_DEFAULTS["warehouse"], help=f"a folder, or the word {BIGQUERY}")
    parser.add_argument("--project", default=_DEFAULTS["project"], help="of BigQuery")
    parser.add_argument("--aggregated_dataset", default=_DEFAULTS["aggregated_dataset"], metavar="NAME")
    parser.add_argument(
        "--metrics_file", type=Path, metavar="FILE", help="that of the runs; by default the packaged one"
    )
    parser.add_argument("--output", type=Path, default=Path("report.html"), metavar="FILE")
    return parser


def html(reader: Reader) -> str:
    """The report on what is published where a reader asks.

    Raises:
      RunError: nothing is published.
    """
    from pipeline.report.charts import charts, script  # here, because it imports the extra
    from pipeline.report.page import page

    answers = ask(reader)
    found = sections(answers)
    left_out = [f"{name}, which needs {_NEEDS[name]}." for name in _NEEDS if name not in answers]
    drawn = {one.name: charts(one) for one in found}
    return page(answers["runs"][0], verdict(answers), found, left_out, drawn, script())


def ask(reader: Reader) -> dict[str, Rows]:
    """The answers to all questions of which there are the tables; raises RunError when nothing is published."""
    asked = {name: question for name, question in questions.ALL.items() if can_answer(reader, question)}
    answers = {name: reader.rows(question) for name, question in asked.items()}
    if not answers.get("runs"):
        raise RunError("no run is published here: run the pipeline first")
    return answers


def _open(options: argparse.Namespace) -> Reader:
    if options.warehouse == BIGQUERY:
        if not options.project:
            raise RunError(f"--warehouse {BIGQUERY} needs --project")
        return BigQueryReader(options.project, options.aggregated_dataset)
    snapshot = Path(options.warehouse) / options.aggregated_dataset
    if not snapshot.is_dir():
        raise RunError(f"{snapshot} does not exist: run the pipeline first")
    snapshot = snapshot.resolve()  # once, so that all tables are of one run
    return LocalReader(snapshot, views(metrics_of(snapshot, options.metrics_file)))


def _write(path: Path, text: str) -> None:
    """The file is replaced at once: a browser that reloads never sees half of it."""
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
    os.replace(name, path)


def _failed(line: str, code: int) -> int:
    print(f"pipeline.report: {line}", file=sys.stderr)
    return code


if __name__ == "__main__":
    sys.exit(main())
