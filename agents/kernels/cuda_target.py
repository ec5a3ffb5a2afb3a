"""The scalar sources compiled for CUDA: the same files imported as a second package. Imports numba only.

With ``NUMBA_ENABLE_CUDASIM=1`` in the environment numba interprets them instead, so that they are
tested without a GPU.
"""

from __future__ import annotations

import importlib
import sys
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

from numba import config, cuda

_PACKAGE = "agents.kernels.scalar_cuda"


@cache
def scalar(module: str) -> Any:
    """A module of :mod:`agents.kernels.scalar` whose functions are CUDA device functions."""
    if _PACKAGE not in sys.modules:
        _keep_products_apart()
        package = ModuleType(_PACKAGE)
        package.__path__ = [str(Path(__file__).parent / "scalar")]
        target = ModuleType(f"{_PACKAGE}.target")
        vars(target).update(jit=cuda.jit(device=True), jit_call=cuda.jit(device=True))
        sys.modules[_PACKAGE] = package
        sys.modules[target.__name__] = target
    return importlib.import_module(f"{_PACKAGE}.{module}")


def kernel(function: Any) -> Any:
    """Compile a kernel; without link-time optimisation, which would contract what the compiler did not."""
    return cuda.jit(lto=False)(function) if not _simulated() else cuda.jit(function)


def _simulated() -> bool:
    return bool(config.ENABLE_CUDASIM)


def _keep_products_apart() -> None:
    """Tell NVVM not to contract a multiply and an add into one rounding, as on the CPU.

    numba has no option for it, so its compile function is given one.
    """
    if _simulated():
        return
    nvvm: Any = importlib.import_module("numba.cuda.cudadrv.nvvm")
    compile_ir = nvvm.compile_ir

    def without_fma(llvmir: Any, **options: Any) -> Any:
        return compile_ir(llvmir, **{"fma": False, **options})

    nvvm.compile_ir = without_fma
