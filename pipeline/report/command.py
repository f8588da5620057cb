"""The report on the published tables: one HTML file for a browser, without a network.

python -m pipeline.report [--warehouse DIR | --warehouse bigquery --project P] [--output report.html]
"""

from __future__ import annotations

import argparse
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path

from pipeline.asking import PublishedTables, ended, parser_of, tables_of
from pipeline.errors import RunError, UsageError, system_text
from pipeline.extras import is_missing, missing_text
from pipeline.next_steps import this_python
from pipeline.report import questions
from pipeline.report.readers import BigQueryReader, LocalReader, Reader, Rows, can_answer
from pipeline.report.sections import sections
from pipeline.report.verdict import verdict
from pipeline.views.declarations import views
from pipeline.views.published import metrics_of, snapshot_of
from pipeline.warehouse.bigquery.options import WORD as BIGQUERY

#: Why a question may have no answer.
_NEEDS = {
    "funnels": "sequences, of which the metrics file declares none",
    "links": "links with the actions viewed and joined, of which the metrics file declares none",
    "checks": "the view checks, which is made by newer runs",
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the report; the exit code is that of `ended`."""
    return ended("pipeline.report", lambda: _report(arguments))


def _report(arguments: Sequence[str] | None) -> None:
    options = _parser().parse_args(arguments)
    _check_output(options.output)
    if is_missing("report"):
        raise RunError(missing_text("report", this_python()))
    _write(options.output, html(_open(tables_of(options))))
    print(f"{options.output}: open it in a browser")


def _parser() -> argparse.ArgumentParser:
    parser = parser_of("pipeline.report", (__doc__ or "").split("\n")[0])
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


def _open(tables: PublishedTables) -> Reader:
    if tables.warehouse == BIGQUERY:
        if not tables.project:
            raise UsageError(f"--warehouse {BIGQUERY} needs --project")
        return BigQueryReader(tables.project, tables.dataset)
    snapshot = snapshot_of(tables.link)
    return LocalReader(snapshot, views(metrics_of(snapshot, tables.metrics_file)))


def _check_output(path: Path) -> None:
    """Before anything is asked, which BigQuery bills."""
    if path.is_dir():
        raise UsageError(f"--output {path} is a folder: name a file, as --output {path / 'report.html'}")
    if not path.parent.is_dir():
        raise UsageError(f"--output {path}: there is no folder {path.parent}; make it, or name another file")


def _write(path: Path, text: str) -> None:
    """The file is replaced at once: a browser that reloads never sees half of it."""
    try:
        descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        try:
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                file.write(text)
            os.replace(name, path)
        except BaseException:  # a full disk, Ctrl-C
            os.unlink(name)
            raise
    except OSError as error:
        what = system_text(error.errno or 0, None)
        raise RunError(f"{path} is not written: {what}; make room, or name another file with --output") from error
