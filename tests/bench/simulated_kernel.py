"""The benchmark of the kernels, small, where numba interprets CUDA; as a program."""

from __future__ import annotations

from bench.kernel import measure

if __name__ == "__main__":
    figures = measure(symbols=3, batch=100, ticks=200, repeats=1, device="cuda:0")
    print({name: figures[name] for name in ("symbols", "batch", "ticks")}, figures["ticks_per_s"] > 0)
