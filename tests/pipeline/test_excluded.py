"""Whom a run leaves out: the list as editors and spreadsheets save it, and the requests that hold."""

from __future__ import annotations

import codecs
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pytest
from apache_beam.io.filesystem import BeamIOError
from apache_beam.io.filesystems import FileSystems

from pipeline import tables
from pipeline.errors import RunError
from pipeline.excluded import digest, load_excluded, requested

LINES = ["+12015550100", "u-1", "anon é"]
WANTED = frozenset(LINES)


def load(tmp_path: Path, content: bytes) -> frozenset[str]:
    (tmp_path / "list.txt").write_bytes(content)
    return load_excluded(str(tmp_path / "list.txt"))


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r", "\n\n", " \t\r\n", ",\r\n", ";\n"])
@pytest.mark.parametrize("quote", ["", '"', "'", "“"])
@pytest.mark.parametrize(
    "encode",
    [
        lambda text: text.encode(),
        lambda text: codecs.BOM_UTF8 + text.encode(),
        lambda text: text.encode("utf-16"),
        lambda text: codecs.BOM_UTF16_BE + text.encode("utf-16-be"),
        lambda text: text.encode("utf-16-le"),
        lambda text: text.encode("utf-16-be"),
        lambda text: text.encode("utf-32"),
    ],
)
def test_ids_are_read_from_every_kind_of_list(tmp_path: Path, end: str, quote: str, encode: object) -> None:
    text = end.join(f"{quote}{line}{quote}" for line in LINES) + end
    assert load(tmp_path, encode(text)) == WANTED
    assert load(tmp_path, encode(text.rstrip("\r\n"))) == WANTED


def test_a_heading_and_words_for_nobody_are_no_ids(tmp_path: Path) -> None:
    assert load(tmp_path, b"distinct_id\nnull\n\n0\nundefined\nu-1\n") == frozenset({"u-1"})
    assert load(tmp_path, b"") == load(tmp_path, codecs.BOM_UTF8) == frozenset()


def test_what_is_no_text_is_told_without_its_content(tmp_path: Path) -> None:
    for content in (b"secret-\xff", codecs.BOM_UTF16_LE + b"s\x00\x00\xd8"):
        with pytest.raises(RunError, match="not UTF-8") as caught:
            load(tmp_path, content)
        assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (b'["u-1", "u-2"]', "is JSON"),
        (b'{"ids":\n["u-1"]\n}\n', "is JSON"),
        (b"u-1\tasked on Monday\n", "tabs"),
        ("u-1\nu-2\n".encode("utf-32-le"), "control characters"),
        (b'"distinct_id","note"\r\n"u-1","asked on Monday"\r\n', "is a table of several columns"),
        (b"name;email\nu-1;a@example.com\n", "is a table of several columns"),
    ],
)
def test_what_is_no_list_of_ids_leaves_nobody_in_by_mistake(tmp_path: Path, content: bytes, what: str) -> None:
    with pytest.raises(RunError, match=f"it .*{what}.*: give one id a line") as caught:
        load(tmp_path, content)
    assert "u-1" not in str(caught.value)


def test_ids_may_have_commas_and_brackets(tmp_path: Path) -> None:
    assert load(tmp_path, b"[team] a\nb, c\n{d}e\n") == frozenset({"[team] a", "b, c", "{d}e"})
    assert load(tmp_path, b"[object Object]\nu-1\n[object Object]") == frozenset({"u-1"})


NOW = datetime(2026, 1, 5, tzinfo=UTC)
LATER = NOW + timedelta(microseconds=1)


def rows(*values: tuple[str | None, str | None, datetime | None]) -> pa.Table:
    names = tables.DELETION_REQUESTS.schema.names
    content = [dict(zip(names, row, strict=True)) for row in values]
    return pa.Table.from_pylist(content, schema=tables.DELETION_REQUESTS.bare)


def test_requests_that_hold_by_now() -> None:
    found = requested(
        rows(
            ("u-1", " +1 201 ", None),
            ("u-1", None, NOW),
            (None, "anon", NOW),
            ("u-later", None, LATER),
            ("undefined", "", LATER),
            (None, None, None),
        ),
        NOW,
    )
    assert found.ids == {"u-1", "+1 201", "anon"}
    assert dict(found.counts) == {"deletion.waiting": 1, "deletion.incomplete": 2}
    assert requested(rows(), NOW).ids == frozenset()
    assert requested(rows(("u-later", None, LATER)), LATER).ids == {"u-later"}


def test_a_table_in_which_no_row_names_anybody_is_wrong() -> None:
    with pytest.raises(RunError, match="no row of deletion_requests"):
        requested(rows((None, None, NOW), ("null", "0", NOW)), NOW)


def test_excluded_users_from_a_file_a_bucket_and_a_secret(
    tmp_path: Path, secrets: dict[str, bytes | Exception], monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "excluded.txt"
    file.write_bytes(b" a \n\nb\r\n")
    monkeypatch.setattr(FileSystems, "open", lambda path: file.open("rb") if path == "gs://b/list" else None)
    secrets["projects/p/secrets/list/versions/2"] = b"a\nb"
    expected = frozenset({"a", "b"})
    for reference in (str(file), "gs://b/list", "secret://list/versions/2"):
        assert load_excluded(reference, "p") == expected
    assert load_excluded(None) == frozenset()
    assert digest(expected) == digest(frozenset(["b", "a"])) != digest(frozenset())


def test_excluded_users_that_cannot_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(path: str) -> None:
        raise BeamIOError("not found")

    monkeypatch.setattr(FileSystems, "open", missing)
    with pytest.raises(RunError, match="gs://b/list: cannot be read; check its name, and grant roles/storage"):
        load_excluded("gs://b/list")
    with pytest.raises(RunError, match="No such file"):
        load_excluded(str(tmp_path / "none"))
    (tmp_path / "binary").write_bytes(b"\xff")
    with pytest.raises(RunError, match="not UTF-8"):
        load_excluded(str(tmp_path / "binary"))
