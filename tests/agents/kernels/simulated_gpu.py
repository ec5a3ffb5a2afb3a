"""The GPU's code against the CPU's bits; as a program, in a process where numba interprets CUDA."""

from __future__ import annotations

import sys
from itertools import pairwise

import numpy as np
from numba import config

from agents.kernels import PartitionState
from agents.kernels.cuda import CudaPartition
from agents.kernels.run import NO_WATERMARK
from tests.agents.kernels.compare import LAST, Collected, fresh, run_all
from tests.agents.kernels.tapes import CONFIG, STEP, seeded_tape
from tests.oracles.ticks import columns

MICRO = {0: (STEP, [[0.001 * i for i in range(10)]])}


def assert_same_bits(seed: int, n: int) -> None:
    """A tape in frames through the GPU, with a checkpoint at every cut, and whole through the CPU.

    In order of arrival, then under a watermark that runs ahead of the ticks now and then.
    """
    rng = np.random.default_rng(seed)
    ticks = seeded_tape(n, symbols=3, seed=seed)
    ahead = [t.ts + int(rng.integers(0, 30_000)) * int(rng.random() < 0.05) for t in ticks]
    for wm_before in (None, ahead):
        whole, state = run_all(CONFIG, ticks, dense=(True, True), micro=MICRO, wm_before=wm_before)
        partition, out = CudaPartition(fresh(CONFIG, 3, MICRO)), Collected()
        table = columns(ticks)
        cuts = rng.integers(0, len(ticks), 4).tolist()
        for a, b in pairwise([0, *sorted(cuts), len(ticks)]):
            result = partition.run(
                *[column[a:b] for column in table.values()],
                dense_quotes=True,
                dense_trades=True,
                wm_before=None if wm_before is None else np.array(wm_before[a:b], np.int64),
                final_wm=LAST if b == len(ticks) else NO_WATERMARK,
            )
            out.add(result)
            saved = partition.to_host().to_bytes()
            partition = CudaPartition(PartitionState.from_bytes(CONFIG, saved))
        assert len(out.rows()) > 100
        assert out.bits() == whole.bits()
        assert partition.to_host().to_bytes() == state.to_bytes()


if __name__ == "__main__":
    assert config.ENABLE_CUDASIM
    assert_same_bits(int(sys.argv[1]), 700)
    print("same bits")
