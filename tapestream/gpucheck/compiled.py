"""Every CUDA kernel to PTX, with a device that only says its compute capability. Needs NVVM, no driver.

Run as a program, one process an architecture: what is compiled for one is kept by numba and would be taken
for the next.
"""

from __future__ import annotations

import importlib
import importlib.util
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from schemas.codec import dumps, loads
from schemas.errors import SettingsError

ARCHITECTURES = (80, 90, 100)
"""A100, H100 and H200, B200."""

_KERNELS = Path(__file__).parents[2] / "agents" / "kernels"
_TIMEOUT_S = 300


def ptx_of(architecture: int) -> dict[str, str]:
    """Name of each kernel to its PTX.

    Raises
    ------
    SettingsError
        When numba-cuda or NVVM is not installed, or a kernel does not compile.
    """
    if importlib.util.find_spec("numba_cuda") is None:
        raise SettingsError("numba-cuda is not installed", "make setup EXTRAS=dev")
    done = subprocess.run(
        [sys.executable, "-m", __name__, str(architecture)],
        capture_output=True,
        text=True,
        timeout=_TIMEOUT_S,
        check=False,
    )
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise SettingsError(f"sm_{architecture}: the kernels do not compile: {last}", done.stderr[-4000:])
    found: dict[str, str] = loads(done.stdout.encode())
    return found


def kernels() -> dict[str, Any]:
    """Every kernel that a module ``agents/kernels/cuda*.py`` defines, by name."""
    found: dict[str, Any] = {}
    for path in sorted(_KERNELS.glob("cuda*.py")):
        module = importlib.import_module(f"agents.kernels.{path.stem}")
        found |= {name: value for name, value in vars(module).items() if _is_kernel(value)}
    return found


def _is_kernel(value: Any) -> bool:
    return type(value).__name__ == "CUDADispatcher" and not value.targetoptions.get("device")


def signatures() -> dict[str, tuple[Any, ...]]:
    """Types of each kernel's arguments, as the launches have them."""
    from numba import boolean, float64, int8, int32, int64, uint8

    i2, f2 = int64[:, ::1], float64[:, ::1]
    i1, f1, flags = int64[::1], float64[::1], boolean[::1]
    record = (f2, i2, f2, i2, f2)
    columns = (i1, int32[::1], uint8[::1], i1, i1, i1, f1, f1, f1, int8[::1], i1)
    constants, rows = (f1, i1, f1), (i2, f2, i2, f2, flags)
    return {
        "advance": (*record, i1, f1, int64, i1, i1, *columns, boolean, boolean, i1, i1, i1),
        "close_base": (*record, f2, i2, f2, i2, *constants, i1, int64, *rows),
        "close_longer": (f2, i2, f2, f2, i2, f2, i2, *constants, i1, int64, int64, *rows),
    }


def compile_here(architecture: int) -> dict[str, str]:
    """:func:`ptx_of` in this process, which is of no more use to CUDA afterwards.

    Raises
    ------
    SettingsError
        When the table of signatures and the kernels are not the same names.
    """
    from numba import cuda, types
    from numba.cuda import dispatcher

    capability = divmod(architecture, 10)
    # Device functions ask the current device for its architecture; there is none here.
    dispatcher.get_current_device = lambda: SimpleNamespace(compute_capability=capability)
    found, known = kernels(), signatures()
    if differ := sorted(found.keys() ^ known.keys()):
        raise SettingsError(f"kernels and signatures differ: {', '.join(differ)}", f"mend {__file__}")
    return {
        name: cuda.compile_ptx(kernel.py_func, types.void(*known[name]), cc=capability)[0]
        for name, kernel in found.items()
    }


if __name__ == "__main__":
    sys.stdout.write(dumps(compile_here(int(sys.argv[1]))).decode())
