"""The GPU's code against the CPU's bits; as a program, in a process where numba interprets CUDA."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import numpy as np
from numba import config

from agents.kernels import KernelConfig, PartitionState, run
from agents.kernels.cuda import IN_FLIGHT, CudaPartition
from agents.kernels.cuda_plan import Columns
from agents.kernels.run import NO_WATERMARK
from tests.agents.kernels.compare import LAST, Collected, fresh, run_all
from tests.agents.kernels.recorded import USDM, in_exchange_time, recorded
from tests.agents.kernels.tapes import CONFIG, STEP, seeded_tape
from tests.oracles.ticks import Tick, columns

MICRO = {0: (STEP, [[0.001 * i for i in range(10)]])}


def messages_of(ticks: list[Tick], cuts: list[int], wm_before: list[int] | None = None) -> Iterator[Columns]:
    """A tape cut into messages; the last closes everything."""
    table = columns(ticks)
    edges = [0, *sorted(cuts), len(ticks)]
    for number, (a, b) in enumerate(pairwise(edges)):
        ts_event, symbol_id, kind, codes, *others = (column[a:b] for column in table.values())
        yield Columns(
            ts_event,
            symbol_id,
            kind,
            codes,
            tuple(others),
            True,
            True,
            None if wm_before is None else np.array(wm_before[a:b], np.int64),
            LAST if number == len(edges) - 2 else NO_WATERMARK,
        )


def run_on_cpu(state: PartitionState, message: Columns) -> Any:
    return run(
        state,
        message.ts_event,
        message.symbol_id,
        message.kind,
        message.codes,
        *message.prices_and_sizes,
        dense_quotes=message.dense_quotes,
        dense_trades=message.dense_trades,
        wm_before=message.wm_before,
        final_wm=message.final_wm,
    )


def frames_and_checkpoints(seed: int) -> None:
    """A tape through the GPU and the CPU in turn, each going on from the other's checkpoint.

    In order of arrival, then under a watermark that runs ahead of the ticks now and then.
    """
    rng = np.random.default_rng(seed)
    ticks = seeded_tape(500, symbols=3, seed=seed)
    ahead = [t.ts + int(rng.integers(0, 30_000)) * int(rng.random() < 0.05) for t in ticks]
    for wm_before in (None, ahead):
        whole, state = run_all(CONFIG, ticks, dense=(True, True), micro=MICRO, wm_before=wm_before)
        saved, out = fresh(CONFIG, 3, MICRO).to_bytes(), Collected()
        cuts = rng.integers(0, len(ticks), 5).tolist()
        for number, message in enumerate(messages_of(ticks, cuts, wm_before)):
            host = PartitionState.from_bytes(CONFIG, saved)
            if number % 3 == 2:
                out.add(run_on_cpu(host, message))
                saved = host.to_bytes()
                continue
            device = CudaPartition(host)
            device.submit([message])
            (computed,) = device.collect()
            out.add(computed.result)
            saved = device.to_bytes()
            run_on_cpu(host, message)
            assert saved == host.to_bytes()
            assert computed.watermark_ns == device.watermark_ns == host.watermark_ns
        assert len(out.rows()) > 50
        assert out.bits() == whole.bits()
        assert saved == state.to_bytes()


def batches_in_flight(seed: int) -> None:
    """Batches that overlap, symbols and a price table added on the way: each message's own result.

    Some messages are empty, and one is a heartbeat in the midst of a batch.
    """
    rng = np.random.default_rng(seed)
    ticks = seeded_tape(400, symbols=5, seed=seed)
    messages = list(messages_of(ticks, [*rng.integers(0, len(ticks), 11).tolist(), 100, 100]))
    heartbeat = next(messages_of([], []))
    late = max(int(message.ts_event.max(initial=0)) for message in messages[:4]) + 45_000
    messages.insert(4, Columns(*(getattr(heartbeat, f) for f in _FRONT), True, True, None, late))
    host, device = fresh(CONFIG, 5, MICRO), CudaPartition(fresh(CONFIG, 2, MICRO))
    device.add_symbols(3)
    waiting = [messages[i : i + 3] for i in range(0, len(messages), 3)]
    expected, found = [], []
    for batch in waiting:
        device.submit(batch)
        if len(found) == 3:
            for state in (host, device):
                state.add_symbols(2)
                state.set_micro_price(6, STEP, [[0.25]])
        while device.in_flight >= IN_FLIGHT:
            found += [one(c.result) for c in device.collect()]
        expected += [one(run_on_cpu(host, message)) for message in batch]
    while device.in_flight:
        found += [one(c.result) for c in device.collect()]
    assert found == expected
    assert device.to_bytes() == host.to_bytes()


_FRONT = ("ts_event", "symbol_id", "kind", "codes", "prices_and_sizes")


def one(result: Any) -> tuple[Any, ...]:
    collected = Collected()
    collected.add(result)
    return collected.bits()


def many_symbols(seed: int) -> None:
    """More symbols than a block has threads: several blocks, the last one not full."""
    ticks = seeded_tape(200, symbols=140, seed=seed, mean_gap_ns=250)
    (message,) = messages_of(ticks, [])
    host, device = fresh(CONFIG, 140), CudaPartition(fresh(CONFIG, 140))
    device.submit([message])
    assert one(device.collect()[0].result) == one(run_on_cpu(host, message))
    assert device.to_bytes() == host.to_bytes()


def recorded_ticks(seed: int) -> None:
    """Recorded Binance ticks, in windows and constants as the worker has them."""
    ticks = in_exchange_time(recorded(USDM)[0])[seed : seed + 400]
    message = next(messages_of(ticks, []))
    host, device = PartitionState(KernelConfig()), CudaPartition(PartitionState(KernelConfig()))
    for state in (host, device):
        state.add_symbols(1)
    device.submit([message])
    assert one(device.collect()[0].result) == one(run_on_cpu(host, message))
    assert device.to_bytes() == host.to_bytes()


CHECKS = {
    "frames": frames_and_checkpoints,
    "batches": batches_in_flight,
    "blocks": many_symbols,
    "recorded": recorded_ticks,
}

if __name__ == "__main__":
    assert config.ENABLE_CUDASIM
    CHECKS[sys.argv[1]](int(sys.argv[2]))
    print("same bits")
