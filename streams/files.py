"""Files that are whole or not there at all."""

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
