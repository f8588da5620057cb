"""Atomic publishing into a folder: snapshots, and one link that readers follow.

    DIR/posthog_aggregated               the link: the only path that readers use
    DIR/.posthog_aggregated/
        lock                             held by the one run that may publish, for as long as its launcher lives
        publish.lock                     held while something is switched or removed
        staging-<run id>/<table>/        what a run's workers have written so far
        next-<run id>/<table>/           what of it counts, as links; becomes <run id>/
        <run id>/<table>/*.parquet       a published snapshot

Workers write into the staging folder, and an engine that tries a piece of work again leaves the files of both attempts
there. Publishing so takes only the files that it is told of into a folder of its own, renames that folder (nobody
reads it yet) and then replaces the link, which the file system does atomically: readers see the old tables or the new
ones. It may be tried again wherever it was stopped. The snapshot before stays until the next switch, for readers that
have followed the old link: who resolves the link once reads one run, however many files that takes.

`DIR/.posthog_aggregated` may be a link to a folder on another disk; `DIR/posthog_aggregated` is always made here.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO

from pipeline.errors import RunError

_STAGING, _NEXT = "staging-", "next-"
_LOCK, _PUBLISH_LOCK = "lock", "publish.lock"
#: Seconds that a switch may take while another process waits for it.
_PATIENCE = 60.0
_LOOK_SECONDS = 0.1


class Snapshots:
    """The snapshots of one dataset folder. A pickled copy (in a worker) does not hold the lock."""

    def __init__(self, link: Path) -> None:
        self.link = link
        self.home = link.parent / f".{link.name}"
        self._lock: IO[str] | None = None

    def __getstate__(self) -> dict[str, object]:
        return {**self.__dict__, "_lock": None}

    def lock(self) -> None:
        """Become the only run on this dataset until the process ends, however it ends.

        Raises:
          RunError: another run is at work, or the folder cannot be written.
        """
        self._check_link()
        try:
            self.home.mkdir(parents=True, exist_ok=True)
            self._lock = (self.home / _LOCK).open("a")
        except OSError as error:
            raise RunError(f"cannot write to {self.home}: {error.strerror}") from error
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            self._lock.close()
            self._lock = None
            raise RunError(f"another run is at work on {self.link}: wait for it to end, then run again") from error

    def _check_link(self) -> None:
        """Whatever is in the place of the link and was not made here is somebody's, and stays."""
        if self.link.is_symlink():
            if self.link.resolve().parent != self.home.resolve():
                raise RunError(
                    f"{self.link} is a link to {self.link.readlink()} that this pipeline did not make: move it away "
                    f"(for tables on another disk, link {self.home} there), then run again"
                )
        elif self.link.exists():
            raise RunError(f"{self.link} is a folder, not a link made by this pipeline: move it away, then run again")

    def unlock(self) -> None:
        """Let others run."""
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def current(self) -> Path | None:
        """The published snapshot, None before the first."""
        return self.link.resolve() if self.link.is_symlink() and self.link.exists() else None

    def staging(self, run_id: str) -> Path:
        """Where a run writes."""
        return self.home / f"{_STAGING}{run_id}"

    def next(self, run_id: str) -> Path:
        """Where the snapshot of a run is put together."""
        return self.home / f"{_NEXT}{run_id}"

    @contextlib.contextmanager
    def alone(self) -> Iterator[None]:
        """While entered, no other process switches or removes anything here.

        The job of a launcher that was killed may still be at work on an engine, as may a worker that the engine has
        given up: whoever switches looks and acts without the other in between.

        Raises:
          RunError: another process switches, and does not come to an end.
        """
        with (self.home / _PUBLISH_LOCK).open("a") as lock:
            until = time.monotonic() + _PATIENCE
            while True:
                try:
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError as error:
                    if time.monotonic() > until:
                        raise RunError(f"another process is publishing to {self.link} and does not end") from error
                    time.sleep(_LOOK_SECONDS)
            yield

    def begin(self, run_id: str) -> None:
        """Make the staging folder, and remove what killed runs have left."""
        try:
            with self.alone():
                self._remove([path for path in self._folders() if _is_left(path)] + [self._next_link])
                self.staging(run_id).mkdir()
        except OSError as error:
            raise RunError(f"cannot write to {self.home}: {error.strerror}") from error

    def abandon(self, run_id: str) -> None:
        """Remove what a run that failed has made; one that is published stays."""
        with contextlib.suppress(OSError), self.alone():  # the next run tries again
            if not self.is_published(run_id):
                self._remove_attempt(run_id)
                self._remove([self.staging(run_id)])

    def assemble(self, run_id: str, staged: Iterable[Path]) -> None:
        """Begin the snapshot with these files of the staging folder, and no others that lie there.

        Raises:
          RunError: one of them is not there.
        """
        self._remove_attempt(run_id)  # what an attempt before has begun
        self.next(run_id).mkdir()
        for path in staged:
            target = self.next(run_id) / path.parent.name / path.name
            target.parent.mkdir(exist_ok=True)
            try:
                link_or_copy(path, target)
            except FileNotFoundError as error:
                raise RunError(f"{path} was staged and is gone: nothing is published") from error

    def is_published(self, run_id: str) -> bool:
        """Whether readers see this run."""
        current = self.current()
        return current is not None and current.name == run_id

    def carry_over(self, run_id: str, tables: Iterable[str]) -> None:
        """Take files of published tables into the new snapshot, as hard links (copies where impossible)."""
        current = self.current()
        for table in tables:
            source = current / table if current else None
            if source is None or not source.is_dir():
                continue
            target = self.next(run_id) / table
            target.mkdir(exist_ok=True)
            for file in source.iterdir():
                link_or_copy(file, target / file.name)

    def switch(self, run_id: str) -> None:
        """Publish what was assembled; a kill at any point leaves the old tables or the new ones."""
        before = self.current()
        kept = {run_id, before.name} if before else {run_id}  # names: the same folder has many paths
        snapshot = self.home / run_id
        for path in self.next(run_id).rglob("*"):
            _sync(path)
        os.rename(self.next(run_id), snapshot)
        _sync(self.home)
        # made beside the link, because a rename ends at the border of a disk; renaming it is the switch
        self._next_link.symlink_to(os.path.relpath(snapshot, self.link.parent))
        os.replace(self._next_link, self.link)
        _sync(self.link.parent)
        self._remove(path for path in self._folders() if path.name not in kept)

    @property
    def _next_link(self) -> Path:
        return self.link.parent / f"{self.home.name}-link"

    def _folders(self) -> list[Path]:
        return [path for path in self.home.iterdir() if path.name not in (_LOCK, _PUBLISH_LOCK)]

    def _remove_attempt(self, run_id: str) -> None:
        self._remove([self.next(run_id), self.home / run_id, self._next_link])

    @staticmethod
    def _remove(paths: Iterable[Path]) -> None:
        for path in paths:
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)


def link_or_copy(source: Path, target: Path) -> None:
    """Let a file be in another folder too: as a hard link, or as a copy where that is impossible."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)


def _is_left(path: Path) -> bool:
    return path.name.startswith((_STAGING, _NEXT, "link-"))


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
