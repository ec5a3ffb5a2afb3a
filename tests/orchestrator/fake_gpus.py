"""A machine with GPUs of our own making: the driver's libraries, and the script they answer from."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

SOURCE = Path(__file__).parent / "fake_gpu.c"
LIBRARIES = ("libnvidia-ml.so.1", "libcuda.so.1")

GIB = 1 << 30


def build(folder: Path) -> Path:
    """Compile the libraries into a folder; skips where nothing can."""
    compiler = os.environ.get("CC") or shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    if compiler is None:
        pytest.skip("no C compiler, so the fake GPU driver cannot be built")
    first, *others = (folder / name for name in LIBRARIES)
    subprocess.run(
        [compiler, "-Wall", "-Wextra", "-Werror", "-O1", "-shared", "-fPIC", "-o", first, SOURCE], check=True
    )
    for other in others:
        other.symlink_to(first)
    return folder


def uuid(number: int, kind: str = "GPU") -> str:
    return f"{kind}-{number:08x}-0000-0000-0000-000000000000"


def bus(number: int) -> str:
    return f"00000000:{number:02X}:00.0"


def lines(**values: object) -> str:
    """Lines of the script; a list is a line an item."""
    return "".join(
        f"{word} {item}\n"
        for word, value in values.items()
        for item in (value if isinstance(value, list) else [value])
    )


def device(number: int, **values: object) -> str:
    """A device that has a value for everything, but for what is given as None."""
    usual: dict[str, object] = {
        "uuid": uuid(number),
        "name": "NVIDIA H100 80GB HBM3",
        "bus": bus(number),
        "total": 80 * GIB,
        "used": 2 * GIB,
        "mig": 0,
        "ecc_volatile": 0,
        "ecc_aggregate": 0,
        "retired": 0,
        "retirement_pending": 0,
        "remapped": "0 0 0 0",
        "throttle": 0,
        "gpu_use": 40,
        "celsius": 51,
        "milliwatts": 310_500,
    }
    return "device\n" + lines(**{w: v for w, v in (usual | values).items() if v is not None})


def instance(number: int, **values: object) -> str:
    usual: dict[str, object] = {
        "uuid": uuid(number, "MIG"),
        "name": "NVIDIA H100 MIG 3g.40gb",
        "total": 40 * GIB,
        "used": GIB,
    }
    return "instance\n" + lines(**(usual | values))


class FakeGpus:
    """The script and the environment in which a process finds it."""

    def __init__(self, libraries: Path, script: Path) -> None:
        self._script = script
        self.environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("CUDA_")},
            "LD_LIBRARY_PATH": str(libraries),
            "FAKE_GPU_SCRIPT": str(script),
        }
        self.has()

    def has(self, *blocks: str, **driver: object) -> None:
        """From now on the machine is this; whoever reads meanwhile reads the one or the other."""
        draft = self._script.with_suffix(".draft")
        draft.write_text(lines(**({"driver": "580.65.06"} | driver)) + "".join(blocks))
        draft.rename(self._script)
