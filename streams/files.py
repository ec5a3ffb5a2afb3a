"""Files that are whole or not there at all, and files that a stranger names."""

from __future__ import annotations

import os
from pathlib import Path


def replace_file(path: Path, content: bytes, draft: Path | None = None) -> None:
    """Put ``content`` in the place of ``path`` in one step, after it is on the disk.

    Parameters
    ----------
    draft
        Where it is written first, on the same disk; beside the file when absent.
    """
    draft = draft or path.with_suffix(path.suffix + ".draft")
    with draft.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)


def finish_file(draft: Path, path: Path) -> None:
    """Give a written draft its name, in one step; both are on the disk once this returns."""
    with draft.open("rb+") as file:
        os.fsync(file.fileno())
    draft.replace(path)
    _sync_folder(path.parent)


def create_file(path: Path, content: bytes) -> bool:
    """Make a file that outlives a power cut once this returns; False when there is one, which is left alone.

    Its folder is made too.
    """
    if not path.parent.is_dir():
        path.parent.mkdir(parents=True, exist_ok=True)
        _sync_folder(path.parent.parent)
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with draft.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.link(draft, path)
    except FileExistsError:
        return False
    finally:
        draft.unlink(missing_ok=True)
    _sync_folder(path.parent)
    return True


def _sync_folder(folder: Path) -> None:
    """Have the names in a folder on the disk; a file's own sync does not promise that."""
    number = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(number)
    finally:
        os.close(number)


def path_inside(folder: Path, name: str) -> Path | None:
    """The path ``name`` under the folder, links followed; None where it leads out or is no path."""
    root = folder.resolve()
    try:
        path = (root / name).resolve()
    except (OSError, ValueError, RuntimeError):  # too long, a NUL, links in a circle
        return None
    return path if path != root and path.is_relative_to(root) else None
