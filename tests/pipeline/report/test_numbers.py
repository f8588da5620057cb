"""The numbers of the report are those of SQL on the published files, and nobody is in it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import duckdb
import pytest

from pipeline import launcher, publish, tables
from pipeline.report.command import ask
from pipeline.report.page import page
from pipeline.report.readers import LocalReader, Rows
from pipeline.report.section import Section
from pipeline.report.sections import WEEKDAYS, sections
from pipeline.report.verdict import verdict
from pipeline.views.declarations import views
from tests.builders import METRICS, OUTPUTS, event, run, write_events
from tests.pipeline.report.conftest import metrics_of
from transforms.metrics.file import load_metrics

pytestmark = pytest.mark.slow


class Ahead(datetime):
    """A clock that is years ahead."""

    YEAR = 2045

    @classmethod
    def now(cls, tz: Any = None) -> datetime:
        return datetime(cls.YEAR, 1, 1, tzinfo=tz)


def reader_of(warehouse: Path) -> LocalReader:
    """Its tables and their views."""
    return LocalReader((warehouse / "posthog_aggregated").resolve(), views(load_metrics(metrics_of(warehouse))))


@pytest.fixture(scope="module")
def answers(warehouse: Path) -> dict[str, Rows]:
    return ask(reader_of(warehouse))


@pytest.fixture(scope="module")
def found(answers: dict[str, Rows]) -> dict[str, Section]:
    return {one.name: one for one in sections(answers)}


@pytest.fixture(scope="module")
def sql(warehouse: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    """The files of the tables, and `finished` sessions: those of the days before that of the watermark."""
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        for name in OUTPUTS:
            files = warehouse / "posthog_aggregated" / name / "*.parquet"
            connection.execute(f"CREATE VIEW {name} AS FROM '{files}'")
        connection.execute(
            "CREATE VIEW finished AS FROM sessions WHERE start_date < (SELECT max(watermark)::DATE FROM runs)"
        )
        yield connection


def test_the_last_run_is_the_one_that_no_other_follows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_events(tmp_path, [event(number, f"s{number}") for number in range(5)])
    with monkeypatch.context() as patch:
        patch.setattr(launcher, "datetime", Ahead)
        patch.setattr(publish, "datetime", Ahead)
        assert run(tmp_path) == 0
    write_events(tmp_path, [event(9, "s9")], "later")
    for _ in range(2):
        assert run(tmp_path) == 0
    rows = ask(LocalReader((tmp_path / "posthog_aggregated").resolve(), views(METRICS)))["runs"]
    last, *_ = rows
    assert last["run_id"] not in {row["previous_run_id"] for row in rows}
    assert last["published_at"].year < Ahead.YEAR == max(row["published_at"] for row in rows).year


def test_days(found: dict[str, Section], sql: duckdb.DuckDBPyConnection) -> None:
    wanted = sql.sql("SELECT start_date, count(*), count(DISTINCT person_id) FROM finished GROUP BY ALL").fetchall()
    shown = {record["date"]: (record["sessions"], record["dau"]) for record in found["days"].records}
    assert len(wanted) > 7
    for day, number, persons in wanted:
        assert shown.pop(day) == ((number, persons) if persons >= 5 else (None, None))
    assert set(shown.values()) <= {(0, 0)}  # days between and after them


@pytest.mark.parametrize(("name", "column"), [("entry", "entry_screen"), ("exit", "exit_screen")])
def test_screens(found: dict[str, Section], sql: duckdb.DuckDBPyConnection, name: str, column: str) -> None:
    wanted = sql.sql(f"""SELECT {column}, count(*), count(DISTINCT person_id) FROM finished
        WHERE {column} IS NOT NULL GROUP BY 1 HAVING count(DISTINCT person_id) > 4 ORDER BY 2 DESC, 1 LIMIT 10""")
    assert list(found[name].rows) == wanted.fetchall()


def test_versions(found: dict[str, Section], sql: duckdb.DuckDBPyConnection) -> None:
    wanted = sql.sql("""SELECT app_version, count(*), count(DISTINCT person_id), median(session_duration),
        median(foreground_duration) FROM finished WHERE app_version IS NOT NULL GROUP BY 1
        HAVING count(DISTINCT person_id) > 4 ORDER BY 2 DESC, 1 LIMIT 12""").fetchall()
    assert len(wanted) > 1
    for shown, row in zip(found["versions"].rows, wanted, strict=True):
        assert shown[:3] == row[:3]
        assert shown[3:] == pytest.approx(row[3:])


def test_hours(found: dict[str, Section], sql: duckdb.DuckDBPyConnection) -> None:
    wanted = sql.sql("""SELECT local_start_weekday, local_start_hour, count(*), count(DISTINCT person_id)
        FROM finished GROUP BY 1, 2 HAVING count(DISTINCT person_id) > 4 ORDER BY 1, 2""").fetchall()
    assert [(WEEKDAYS.index(row[0]) + 1, *row[1:]) for row in found["hours"].rows] == wanted
    assert min(row[3] for row in found["hours"].rows) >= 5


def test_retention_and_weeks_are_of_the_views(found: dict[str, Section], sql: duckdb.DuckDBPyConnection) -> None:
    """Views have their own tests; here, that weeks add up to persons and that a cohort is a week's new persons."""
    cohorts = dict(
        sql.sql("""SELECT date_trunc('week', first)::DATE, count(*) FROM
        (SELECT min(start_date) AS first FROM finished GROUP BY person_id) GROUP BY 1""").fetchall()
    )
    for record in found["retention"].records:
        assert record["cohort_size"] == cohorts[record["cohort_week"]]
    for record in found["weeks"].records:
        assert record["new_persons"] == cohorts[record["week"]]


def test_funnels(found: dict[str, Section], sql: duckdb.DuckDBPyConnection) -> None:
    [(started, finished, median)] = sql.sql("""
        SELECT count(*) FILTER (step >= 1), count(*) FILTER (step = 2), median(seconds) FROM (
          SELECT max(quiz_in_order_step) AS step, min(quiz_in_order_duration) AS seconds
          FROM sessions GROUP BY person_id)""").fetchall()
    shown = [row[1:] for row in found["funnels"].rows if row[0] == "quiz_in_order"]
    assert [row[:2] for row in shown] == [(1, started), (2, finished)]
    assert shown[1][2:] == pytest.approx((finished / started, median))


def test_a_step_that_nobody_reached_is_told_too(tmp_path: Path) -> None:
    """Without its row the step before would be taken for the last, which all of them reached."""
    write_events(tmp_path, [event(n, f"s{n}", name="start_quiz", distinct_id=f"p{n}") for n in range(8)])
    assert run(tmp_path) == 0
    answers = ask(LocalReader((tmp_path / "posthog_aggregated").resolve(), views(METRICS)))
    shown = {one.name: one for one in sections(answers)}["funnels"]
    assert shown.rows == (("quiz", 1, 8, 1.0, None), ("quiz", 2, 0, 0.0, None))
    assert shown.told == "Of quiz too few persons reached the last step to tell."


def test_links_are_of_the_same_object(found: dict[str, Section], sql: duckdb.DuckDBPyConnection) -> None:
    wanted = sql.sql("""
        WITH viewed AS (SELECT link, value, person_id, min(first_viewed_at) AS at FROM session_links
            JOIN finished USING (session_id) WHERE first_viewed_at IS NOT NULL GROUP BY ALL),
        joined AS (SELECT link, value, person_id, max(first_joined_at) AS at FROM session_links
            JOIN finished USING (session_id) WHERE first_joined_at IS NOT NULL GROUP BY ALL)
        SELECT link, count(DISTINCT person_id), count(DISTINCT person_id) FILTER (joined.at >= viewed.at), count(*),
            count(*) FILTER (joined.at >= viewed.at)
        FROM viewed LEFT JOIN joined USING (link, value, person_id) GROUP BY link ORDER BY link""").fetchall()
    assert wanted[0][4] >= 5
    assert [row[:5] for row in found["links"].rows] == wanted
    assert [row[5] for row in found["links"].rows] == pytest.approx([row[4] / row[3] for row in wanted])


def test_what_a_metrics_file_does_not_declare_is_not_asked(tmp_path: Path) -> None:
    write_events(tmp_path, [event(n) for n in range(3)])
    metrics = tmp_path / "small.toml"
    metrics.write_text('[metrics.screens]\nkind = "count"\nevents = ["$screen"]\ndescription = "Screens."\n')
    assert run(tmp_path, "--metrics_file", str(metrics)) == 0
    answers = ask(LocalReader((tmp_path / "posthog_aggregated").resolve(), views(load_metrics(metrics))))
    assert not {"entry", "versions", "funnels", "links"} & set(answers)
    shown = sections(answers)
    assert [one.name for one in shown if one.rows] == ["quality"]
    assert all(one.told for one in shown)


def test_quality(found: dict[str, Section], sql: duckdb.DuckDBPyConnection) -> None:
    wanted = sql.sql(
        "SELECT rows_read, rows_rejected, rows_duplicate, sessions_too_old FROM runs ORDER BY published_at"
    )
    shown = [
        (record["rows_read"], record["rejected"], record["duplicates"], record["too_old"])
        for record in found["quality"].records
    ]
    assert shown == wanted.fetchall()
    rejected = sql.sql("SELECT sum(rows_rejected) FROM runs").fetchall()[0][0]
    assert sum(rows for _, rows in found["reasons"].rows) == rejected


class Text(HTMLParser):
    """The text of a page and the cells of its tables by section."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.cells: dict[str, list[str]] = {}
        self._section, self._in_cell = "", False
        self.feed(page)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        if tag == "section":
            self._section = dict(attributes)["id"] or ""
        self._in_cell = tag in ("th", "td")

    def handle_data(self, data: str) -> None:
        if self._in_cell:
            self.cells.setdefault(self._section, []).append(data)

    def handle_endtag(self, tag: str) -> None:
        self._in_cell = self._in_cell and tag not in ("th", "td")


def page_of(answers: dict[str, Rows]) -> str:
    return page(answers["runs"][0], verdict(answers), sections(answers), [], {}, "")


def test_the_page_has_every_number_in_a_table(answers: dict[str, Rows], found: dict[str, Section]) -> None:
    cells = Text(page_of(answers)).cells
    assert list(cells) == list(found)
    for name, section in found.items():
        assert len(cells[name]) == len(section.columns) * (1 + len(section.rows))
    assert cells["entry"][3:5] == [found["entry"].rows[0][0], f"{found['entry'].rows[0][1]:,}"]


def test_nobody_is_in_the_page(answers: dict[str, Rows], sql: duckdb.DuckDBPyConnection) -> None:
    text = page_of(answers)
    looked_for = 0
    for table in tables.outputs(METRICS):
        for name in tables.PERSONAL & set(table.schema.names):
            values: list[Any] = [value for (value,) in sql.sql(f"SELECT DISTINCT {name} FROM {table.name}").fetchall()]
            texts = {one for value in values for one in (value if isinstance(value, list) else [value]) if one}
            looked_for += len(texts)
            assert not [one for one in texts if one in text]
    assert looked_for > 1_000
    for row in answers["runs"]:
        assert row["run_id"] not in text


def test_the_page_is_the_same_for_the_same_tables(warehouse: Path, answers: dict[str, Rows]) -> None:
    assert page_of(ask(reader_of(warehouse))) == page_of(answers)
