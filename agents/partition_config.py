"""What a partition is told once."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from agents.features import FeatureSpec
from agents.frames import CPU, Backend
from agents.kernels.config import KernelConfig
from agents.live.library import Library
from agents.micro_prices import MicroPriceTable, fingerprint
from agents.selection import Selection, pick, title
from agents.signals import SignalSpec


@dataclass(frozen=True, slots=True)
class PartitionConfig:
    """What a partition needs to know; equal configurations compute equal outputs."""

    partition: int
    partitions: int
    kernel: KernelConfig
    lateness_ns: int
    max_skew_ns: int
    fee_bps: float
    signals: tuple[SignalSpec, ...] = ()
    features: tuple[FeatureSpec, ...] = ()
    micro_prices: dict[str, MicroPriceTable] = field(default_factory=dict)
    backend: Backend = CPU
    indicators: tuple[str, ...] = ()
    model_window_ms: int = 0
    library: Library | None = None

    def describe(self) -> str:
        """What a checkpoint must have been written under to be of use."""
        own = ",".join(f"{spec.name}@{spec.window_ms}" for spec in self.features)
        return (
            f"{self.kernel.describe()}, lateness_ns={self.lateness_ns}, "
            f"micro_prices={fingerprint(self.micro_prices)}" + (f", features={own}" if own else "")
        )

    @property
    def selection(self) -> Selection:
        """What else is computed, and may change while the state goes on."""
        titles = tuple(title(spec) for spec in self.signals)
        return Selection(titles, self.indicators, self.fee_bps, self.model_window_ms)

    def select(self, wanted: Selection) -> PartitionConfig:
        """The same configuration for another selection.

        Raises
        ------
        CheckpointError
            When it has signals that are not among those of this configuration.
        """
        return replace(
            self,
            signals=pick(self.signals, wanted.signals),
            indicators=wanted.indicators,
            fee_bps=wanted.fee_bps,
            model_window_ms=wanted.model_window_ms,
        )
