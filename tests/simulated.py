"""Runs a module of the tests where Numba interprets CUDA, which is decided when numba is imported."""

from __future__ import annotations

import os
import subprocess
import sys

from tests.kafka import ROOT


def said_by(module: str, *arguments: object, **environment: str) -> str:
    """The last line that the module printed; fails with its traceback when it did."""
    done = subprocess.run(
        [sys.executable, "-W", "error::RuntimeWarning", "-m", module, *map(str, arguments)],
        cwd=ROOT,
        env=os.environ | {"NUMBA_ENABLE_CUDASIM": "1"} | environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()[-1]
