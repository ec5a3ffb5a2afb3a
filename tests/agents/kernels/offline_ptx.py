"""Run by test_cuda where numba-cuda and NVVM are installed: the kernels to PTX, without a GPU."""

from __future__ import annotations

import sys
from types import SimpleNamespace

from numba import boolean, cuda, float64, int8, int32, int64, types, uint8
from numba.cuda import dispatcher


def main(major: int) -> None:
    # Device functions ask the current device for its architecture; there is none here.
    dispatcher.get_current_device = lambda: SimpleNamespace(compute_capability=(major, 0))
    from agents.kernels import cuda_kernels

    i2, f2 = int64[:, ::1], float64[:, ::1]
    i1, f1, flags = int64[::1], float64[::1], boolean[::1]
    record = (f2, i2, f2, i2, f2)
    columns = (i1, int32[::1], uint8[::1], i1, i1, i1, f1, f1, f1, int8[::1], i1)
    constants, rows = (f1, i1, f1), (i2, f2, i2, f2, flags)
    signatures = {
        "advance": (*record, i1, f1, int64, i1, i1, *columns, boolean, boolean, i1, i1, i1),
        "close_base": (*record, f2, i2, f2, i2, *constants, i1, int64, *rows),
        "close_longer": (f2, i2, f2, f2, i2, f2, i2, *constants, i1, int64, int64, *rows),
    }
    for name, arguments in signatures.items():
        kernel = getattr(cuda_kernels, name).py_func
        ptx, _ = cuda.compile_ptx(kernel, types.void(*arguments), cc=(major, 0))
        print(name, ptx.count("fma."), ptx.count("mul.rn.f64") > 20, f"sm_{major}0" in ptx)


if __name__ == "__main__":
    main(int(sys.argv[1]))
