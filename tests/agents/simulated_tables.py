"""Tables over a data frame against those over arrays; as a program, where pandas stands in for cuDF."""

from __future__ import annotations

import numpy as np
from numba import cuda

from agents.frames.device import DeviceTable
from agents.frames.host import HostTable

_HALVES = (slice(0, 90), slice(90, 200))


def main() -> None:
    rng = np.random.default_rng(0)
    columns = {
        "ts_event_ns": np.arange(200) * 10,
        "symbol": rng.integers(0, 5, 200).astype(np.int32) * 3,
        "kind": rng.integers(0, 2, 200).astype(np.uint8),
        "trade_sz": rng.integers(0, 50, 200) / 4.0,
    }
    keep = columns["symbol"] != 6
    ids = np.array([0, 3, 9, 12])
    halves = [{name: column[rows] for name, column in columns.items()} for rows in _HALVES]
    host = HostTable.joined(
        [HostTable.of(half, keep[rows]) for half, rows in zip(halves, _HALVES, strict=True)]
    )
    sent = [{name: cuda.to_device(column) for name, column in half.items()} for half in halves]
    device = DeviceTable.joined(
        [DeviceTable.of(half, keep[rows]) for half, rows in zip(sent, _HALVES, strict=True)]
    )
    host, device = host.between(300, 1500), device.between(300, 1500)
    assert len(host) == len(device) > 50
    for name, column in host.to_host().items():
        assert device.to_host()[name].dtype == column.dtype
        assert device.to_host()[name].tolist() == column.tolist()
    a, b = host.ticks(ids), device.ticks(ids)
    for reduce in ("sum", "mean", "min", "max"):
        for of in (lambda t: t["trade_sz"], lambda t: (t["kind"] == 1) & (abs(t["trade_sz"] - 3) < 2)):
            ours = HostTable.floats(getattr(a, reduce)(of(a)))
            theirs = DeviceTable.floats(getattr(b, reduce)(of(b)))
            assert ours.tolist() == theirs.tolist(), reduce
    print("same values")


if __name__ == "__main__":
    main()
