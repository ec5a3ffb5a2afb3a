"""The process that computes on each CUDA device, to see whether one can; ``probe`` runs it.

Talks to ``libcuda.so.1`` directly, since importing a framework takes seconds. Before each step it says what
it is about to do, so that a crash or a hang has a name. Arguments: the first ordinal to probe.

A line of output is ``{"count": n}``, ``{"ordinal": i, "step": …}``,
``{"ordinal": i, "uuid": …, "name": …, "cuda_version": …}``,
``{"ordinal": i, "works": true, "free_bytes": n}`` or ``{"ordinal": i, "problem": …}``; without ordinal the
problem is CUDA's.
"""

from __future__ import annotations

import ctypes
import json
import os
import sys
from typing import Any

N = 1024
"""Elements that the kernel writes: 3 i + 1."""
BLOCK = 128

KERNEL = b"""
.version 6.0
.target sm_50
.address_size 64
.visible .entry tapestream_probe(.param .u64 out)
{
    .reg .b32 %r<6>;
    .reg .b64 %rd<4>;
    ld.param.u64 %rd1, [out];
    cvta.to.global.u64 %rd1, %rd1;
    mov.u32 %r1, %ctaid.x;
    mov.u32 %r2, %ntid.x;
    mov.u32 %r3, %tid.x;
    mad.lo.s32 %r4, %r1, %r2, %r3;
    mad.lo.s32 %r5, %r4, 3, 1;
    mul.wide.u32 %rd2, %r4, 4;
    add.s64 %rd3, %rd1, %rd2;
    st.global.u32 [%rd3], %r5;
    ret;
}
"""


class CudaError(Exception):
    """A call of CUDA failed."""


class Cuda:
    """``libcuda``, whose errors are exceptions."""

    def __init__(self, library: Any) -> None:
        self._library = library

    def __call__(self, name: str, *arguments: Any) -> None:
        """Call a function by its name."""
        code = getattr(self._library, name)(*arguments)
        if code:
            text = ctypes.c_char_p()
            self._library.cuGetErrorName(code, ctypes.byref(text))
            raise CudaError(f"{name}: {(text.value or b'error').decode()} ({code})")


def tell(**answer: Any) -> None:
    """Say it at once, whatever happens next."""
    os.write(1, json.dumps(answer).encode() + b"\n")


def compute(cuda: Cuda, ordinal: int) -> int:
    """Run the kernel on a device and check every number that it wrote; the device's free bytes."""
    tell(ordinal=ordinal, step="asking its name")
    device, context, module, function = (
        ctypes.c_int(),
        ctypes.c_void_p(),
        ctypes.c_void_p(),
        ctypes.c_void_p(),
    )
    uuid, name, address = (ctypes.c_ubyte * 16)(), ctypes.create_string_buffer(256), ctypes.c_uint64()
    version, free, total = ctypes.c_int(), ctypes.c_size_t(), ctypes.c_size_t()
    cuda("cuDriverGetVersion", ctypes.byref(version))
    cuda("cuDeviceGet", ctypes.byref(device), ordinal)
    cuda("cuDeviceGetUuid_v2", uuid, device)
    cuda("cuDeviceGetName", name, 256, device)
    named = name.value.decode(errors="replace")
    tell(ordinal=ordinal, uuid=bytes(uuid).hex(), name=named, cuda_version=version.value)
    tell(ordinal=ordinal, step="making a context")
    cuda("cuDevicePrimaryCtxRetain", ctypes.byref(context), device)
    cuda("cuCtxSetCurrent", context)
    tell(ordinal=ordinal, step="loading a kernel")
    cuda("cuModuleLoadData", ctypes.byref(module), KERNEL)
    cuda("cuModuleGetFunction", ctypes.byref(function), module, b"tapestream_probe")
    tell(ordinal=ordinal, step="taking memory")
    cuda("cuMemAlloc_v2", ctypes.byref(address), ctypes.c_size_t(4 * N))
    tell(ordinal=ordinal, step="running a kernel")
    parameters = (ctypes.c_void_p * 1)(ctypes.addressof(address))
    cuda("cuLaunchKernel", function, N // BLOCK, 1, 1, BLOCK, 1, 1, 0, None, parameters, None)
    cuda("cuCtxSynchronize")
    out = (ctypes.c_uint32 * N)()
    cuda("cuMemcpyDtoH_v2", out, address, ctypes.c_size_t(4 * N))
    cuda("cuMemFree_v2", address)
    if list(out) != [3 * i + 1 for i in range(N)]:
        raise CudaError("the kernel computed wrong numbers")
    cuda("cuMemGetInfo_v2", ctypes.byref(free), ctypes.byref(total))
    cuda("cuDevicePrimaryCtxRelease_v2", device)
    return free.value


def main(first: int) -> None:
    """Probe every device from an ordinal on."""
    try:
        library = ctypes.CDLL("libcuda.so.1")
    except OSError:
        tell(problem="there is no libcuda.so.1")
        return
    cuda, count = Cuda(library), ctypes.c_int()
    try:
        cuda("cuInit", 0)
        cuda("cuDeviceGetCount", ctypes.byref(count))
    except CudaError as exc:
        tell(problem=str(exc))
        return
    tell(count=count.value)
    for ordinal in range(first, count.value):
        try:
            free_bytes = compute(cuda, ordinal)
        except CudaError as exc:
            tell(ordinal=ordinal, problem=str(exc))
        else:
            tell(ordinal=ordinal, works=True, free_bytes=free_bytes)


if __name__ == "__main__":
    main(int(sys.argv[1]))
