"""Trainings that did not end: what they saved to go on from, and the removal of what nobody comes back to.

``models/.work`` holds an entry a training: a folder of checkpoints, or a task's copy of the topic's bars. An
entry is owned while a live process holds a lock on it; the system frees the lock however the process ends.
What nobody owns is kept for :data:`KEPT_S` after it was last written to, so that the same command or the next
attempt goes on from it, and is then removed by whoever trains next. Owning, removing and finding take place
under the registry's lock, so that nothing vanishes between being found and being owned.
"""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from streams.locks import exclusive_lock, try_lock

FOLDER = ".work"
LOCK = ".lock"
KEPT_S = 7 * 86_400
"""A killed training can be resumed for a week; whoever has not come back by then trains anew."""


def unfinished(models: Path, name: str) -> Path:
    """Where the training of that name keeps what it goes on from."""
    return models / FOLDER / name


@contextmanager
def owned(models: Path, name: str) -> Iterator[Path]:
    """The folder of a training, made if need be, that no sweep removes while the block runs.

    Several processes may own it: the same training begun twice ends in the same bits.
    """
    entry = unfinished(models, name)
    with exclusive_lock(models / LOCK):
        entry.mkdir(parents=True, exist_ok=True)
        descriptor = _held(entry)
    try:
        yield entry
    finally:
        with exclusive_lock(models / LOCK), suppress(OSError):  # where nothing was saved
            entry.rmdir()
        os.close(descriptor)


@contextmanager
def owned_file(models: Path, name: str) -> Iterator[Path | None]:
    """The same of a file, where it exists; None where it does not."""
    entry = unfinished(models, name)
    descriptor: int | None = None
    with exclusive_lock(models / LOCK), suppress(FileNotFoundError):
        descriptor = _held(entry)
    try:
        yield None if descriptor is None else entry
    finally:
        if descriptor is not None:
            os.close(descriptor)


def remove(models: Path, name: str) -> None:
    """Remove what a training that has ended had saved, unless another process trains the same."""
    entry = unfinished(models, name)
    with exclusive_lock(models / LOCK):
        _remove_unowned(entry)


def sweep(models: Path, now_s: float) -> list[str]:
    """Remove what no live process owns and was last written to more than :data:`KEPT_S` before ``now_s``.

    Returns
    -------
    list of str
        The names of what was removed.
    """
    folder = models / FOLDER
    if not folder.is_dir():
        return []
    with exclusive_lock(models / LOCK):
        old = [entry for entry in sorted(folder.iterdir()) if now_s - _written_s(entry) > KEPT_S]
        return [entry.name for entry in old if _remove_unowned(entry)]


def _held(entry: Path) -> int:
    descriptor = os.open(entry, os.O_RDONLY)
    fcntl.flock(descriptor, fcntl.LOCK_SH)
    return descriptor


def _written_s(entry: Path) -> float:
    """When anything of an entry was last written, in seconds since 1970-01-01 UTC."""
    with suppress(FileNotFoundError):
        return max(path.lstat().st_mtime for path in (entry, *entry.rglob("*")))
    return float("inf")  # it ends at this moment


def _remove_unowned(entry: Path) -> bool:
    try:
        descriptor = os.open(entry, os.O_RDONLY)
    except OSError:
        return False
    try:
        if not try_lock(descriptor):
            return False
        if entry.is_dir():
            shutil.rmtree(entry, ignore_errors=True)
        else:
            entry.unlink(missing_ok=True)
    finally:
        os.close(descriptor)
    return True
