"""From settings to the configuration of a partition."""

from __future__ import annotations

from collections.abc import Callable

from agents.kernels import config as kernel
from agents.kernels.config import KernelConfig
from agents.micro_prices import read_tables
from agents.partition import PartitionConfig
from agents.signals import load_signals
from schemas.settings import Settings

MS = 1_000_000

SIGN_RULES = {
    "lee_ready": kernel.LEE_READY,
    "emo": kernel.EMO,
    "clnv": kernel.CLNV,
    "tick": kernel.TICK,
    "quote": kernel.QUOTE,
}


def partition_config(settings: Settings) -> Callable[[int], PartitionConfig]:
    """Read what the settings name (signals, tables) once; return the configuration by partition.

    Raises
    ------
    SettingsError
        When a signal cannot be imported or a table not be read.
    """
    signals = load_signals(settings.signals, settings.windows_ms)
    tables = read_tables(settings.micro_price_table)
    kernels = KernelConfig(
        windows_ns=tuple(window * MS for window in settings.windows_ms),
        impact_horizon_ns=settings.impact_horizon_ms * MS,
        sign_rule=SIGN_RULES[settings.sign_rule],
    )

    def config(partition: int) -> PartitionConfig:
        return PartitionConfig(
            partition=partition,
            partitions=settings.partitions,
            kernel=kernels,
            lateness_ns=settings.allowed_lateness_ms * MS,
            max_skew_ns=settings.max_clock_skew_ms * MS,
            fee_bps=settings.fee_bps,
            signals=signals,
            micro_prices=tables,
        )

    return config
