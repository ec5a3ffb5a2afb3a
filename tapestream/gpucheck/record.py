"""``docs/gpu-kernels.json``: what every kernel needs on every architecture, by which tools."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version
from typing import Any

from schemas.codec import dumps_pretty, loads
from tapestream.gpucheck import assembled
from tapestream.gpucheck.compiled import ARCHITECTURES, ptx_of
from tapestream.shadows import ROOT

PATH = ROOT / "docs" / "gpu-kernels.json"

Record = dict[str, Any]
"""``tools`` to versions, ``kernels`` to architecture to name to :class:`assembled.Needs` as plain data."""


def measure() -> tuple[Record, dict[str, int]]:
    """Compile and assemble all of it, two architectures at a time; takes about a minute.

    Returns
    -------
    Record, dict
        And how many fused multiply-adds the PTX of each ``architecture kernel`` has.
    """
    with ThreadPoolExecutor(2) as pool:
        sources = dict(zip(ARCHITECTURES, pool.map(ptx_of, ARCHITECTURES), strict=True))
    table = {
        f"sm_{architecture}": {
            name: assembled.assemble(ptx, architecture).record() for name, ptx in sorted(kernels.items())
        }
        for architecture, kernels in sources.items()
    }
    fused = {
        f"sm_{architecture} {name}": ptx.count("fma.")
        for architecture, kernels in sources.items()
        for name, ptx in kernels.items()
    }
    return {"tools": _tools(), "kernels": table}, fused


def _tools() -> dict[str, str]:
    names = ("numba", "numba-cuda", "nvidia-nvvm")
    return {name: version(name) for name in names} | {"ptxas": assembled.version()}


def read() -> Record:
    """The record as it is kept."""
    found: Record = loads(PATH.read_bytes())
    return found


def write(record: Record) -> None:
    """Keep a record."""
    PATH.write_text(dumps_pretty(record))
