"""What of a table's folder is data: `*.parquet` files in any case, at any depth; what only looks like data is told.

Spark and Hive write folders of day folders, or a folder named `x.parquet`. Names that begin with `.` or `_` are hidden,
as in all of Hadoop's tools: checksums, `_SUCCESS`, side files of a Mac.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

_MAGIC = b"PAR1"
_SUFFIXES = frozenset(
    [
        *(".pq", ".parq", ".csv", ".tsv", ".json", ".jsonl", ".ndjson", ".avro", ".orc", ".arrow", ".feather"),
        *(".gz", ".zst", ".zip"),
    ]
)
#: So many files are named in one line.
_NAMED = 3


def files_of(folder: Path) -> list[Path]:
    """The Parquet files of a table, by path."""
    return [path for path in _visible(folder) if path.suffix.lower() == ".parquet" and not _is_lost(path)]


def unread_text(folder: Path, label: str) -> str | None:
    """One line about files that look like data of this table and are not read; None without any.

    A table that lies beside its folder counts: `users.parquet` instead of `users/`, or a folder `Users`. So does a link
    that leads to nothing: its disk may not be there.
    """
    inside = list(_visible(folder))
    lost = {path for path in inside if _is_lost(path)}
    others = [path for path in inside if path not in lost and path.suffix.lower() != ".parquet"]
    beside = [
        path
        for path in (sorted(folder.parent.iterdir()) if folder.parent.is_dir() else [])
        if path.name.lower().split(".")[0] == folder.name and path.name != folder.name and not _is_hidden(path)
    ]
    found: list[Path | str] = [
        *(f"{path.relative_to(folder)} (a link to nothing)" for path in inside if path in lost),
        *(path.relative_to(folder) for path in others if _looks_like_data(path)),
        *(Path("..", path.name) for path in beside),
    ]
    return f"{label}: not read, only *.parquet files in {folder.name}/ are: {_listed(found)}" if found else None


def _visible(folder: Path, seen: frozenset[Path] = frozenset()) -> Iterator[Path]:
    """The files below a folder that are not hidden, and links to nothing, in order.

    A link back to a folder above is left alone.
    """
    real = folder.resolve()
    if not folder.is_dir() or real in seen:
        return
    for path in sorted(folder.iterdir()):
        if _is_hidden(path):
            continue
        if path.is_dir():
            yield from _visible(path, seen | {real})
        elif path.is_file() or _is_lost(path):
            yield path


def _is_lost(path: Path) -> bool:
    return path.is_symlink() and not path.exists()


def _is_hidden(path: Path) -> bool:
    return path.name.startswith((".", "_"))


def _looks_like_data(path: Path) -> bool:
    if ".parquet" in path.name.lower() or path.suffix.lower() in _SUFFIXES:
        return True
    with path.open("rb") as file:
        return file.read(len(_MAGIC)) == _MAGIC


def _listed(paths: Sequence[Path | str]) -> str:
    named = ", ".join(str(path) for path in paths[:_NAMED])
    return named if len(paths) <= _NAMED else f"{named} and {len(paths) - _NAMED} more"
