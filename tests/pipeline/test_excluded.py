"""The list of excluded ids as editors and spreadsheets save it."""

from __future__ import annotations

import codecs
from pathlib import Path

import pytest

from pipeline.errors import RunError
from pipeline.excluded import load_excluded

LINES = ["+12015550100", "u-1", "anon é"]
WANTED = frozenset(LINES)


def load(tmp_path: Path, content: bytes) -> frozenset[str]:
    (tmp_path / "list.txt").write_bytes(content)
    return load_excluded(str(tmp_path / "list.txt"))


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r", "\n\n", " \t\r\n", ",\r\n", ";\n"])
@pytest.mark.parametrize("quote", ["", '"', "'"])
@pytest.mark.parametrize(
    "encode",
    [
        lambda text: text.encode(),
        lambda text: codecs.BOM_UTF8 + text.encode(),
        lambda text: text.encode("utf-16"),
        lambda text: codecs.BOM_UTF16_BE + text.encode("utf-16-be"),
        lambda text: text.encode("utf-16-le"),
        lambda text: text.encode("utf-16-be"),
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
