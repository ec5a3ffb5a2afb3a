"""What a partition's kernel is told once: windows, horizon, rules. Imports NumPy and the layout only."""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
import numpy.typing as npt

from agents.kernels.scalar import layout as at
from agents.kernels.scalar.layout import RULE_CLNV as CLNV
from agents.kernels.scalar.layout import RULE_EMO as EMO
from agents.kernels.scalar.layout import RULE_LEE_READY as LEE_READY
from agents.kernels.scalar.layout import RULE_QUOTE as QUOTE
from agents.kernels.scalar.layout import RULE_TICK as TICK

__all__ = ["CLNV", "EMO", "LEE_READY", "QUOTE", "TICK", "KernelConfig"]

_RULES = (LEE_READY, EMO, CLNV, TICK, QUOTE)


@dataclass(frozen=True, slots=True)
class KernelConfig:
    """The constants of every feature.

    Attributes
    ----------
    windows_ns
        Window lengths, ascending; each a multiple of the first, the *base* window. Windows are
        aligned to the epoch: window k of length w is [k·w, (k+1)·w).
    impact_horizon_ns
        Δ of realized spread and price impact.
    sign_rule
        Rule for trades whose venue does not send the aggressor: ``LEE_READY``, ``EMO``, ``CLNV``,
        ``TICK`` or ``QUOTE``.
    rolling_windows
        How many closed windows Kyle's λ, Amihud and the regression on order-flow imbalance look
        back on; also the e-folding time, in base windows, of the moments behind the Hawkes
        branching ratio.
    vpin_buckets, vpin_bucket_trades
        Buckets that VPIN averages over, and the number of a symbol's first trades whose volume
        becomes its bucket volume.
    hawkes_decay_per_s
        β of the Hawkes kernel α·exp(−β·t).
    """

    windows_ns: tuple[int, ...] = (1_000_000_000, 10_000_000_000, 60_000_000_000)
    impact_horizon_ns: int = 1_000_000_000
    sign_rule: int = LEE_READY
    rolling_windows: int = 64
    vpin_buckets: int = 50
    vpin_bucket_trades: int = 64
    hawkes_decay_per_s: float = 1.0

    def __post_init__(self) -> None:
        """Refuse what the kernel could not compute with.

        Raises
        ------
        ValueError
            Naming the field, its value and what it must be.
        """
        windows = self.windows_ns
        if not windows or windows[0] <= 0 or list(windows) != sorted(set(windows)):
            raise ValueError(f"windows_ns must be positive and ascending, was {windows}")
        if any(w % windows[0] for w in windows):
            raise ValueError(f"windows_ns must be multiples of the first, were {windows}")
        if len(windows) > at.MAX_WINDOWS or windows[-1] > at.MAX_WINDOW_NS:
            raise ValueError(
                f"windows_ns must be at most {at.MAX_WINDOWS} of at most {at.MAX_WINDOW_NS}, were {windows}"
            )
        if self.sign_rule not in _RULES:
            raise ValueError(f"sign_rule must be one of {_RULES}, was {self.sign_rule}")
        if not at.MIN_HORIZON_NS <= self.impact_horizon_ns <= at.MAX_WINDOW_NS:
            raise ValueError(
                f"impact_horizon_ns must lie in {at.MIN_HORIZON_NS}..{at.MAX_WINDOW_NS} ns,"
                f" was {self.impact_horizon_ns}"
            )
        for name in ("rolling_windows", "vpin_buckets", "vpin_bucket_trades"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, was {getattr(self, name)}")
        if not 0 < self.hawkes_decay_per_s < float("inf"):
            raise ValueError(f"hawkes_decay_per_s must be positive, was {self.hawkes_decay_per_s}")

    @property
    def grid_ns(self) -> int:
        """The grid on which trades wait for their mid Δ later; see ``scalar/impact.py``."""
        return max(1, self.impact_horizon_ns // at.GRID_STEPS)

    def words(self) -> npt.NDArray[np.int64]:
        """The integer constants as the scalar code reads them, ``layout.C_*``."""
        words = np.zeros(at.C_WINDOWS + len(self.windows_ns), np.int64)
        words[at.C_BASE] = self.windows_ns[0]
        words[at.C_N_WINDOWS] = len(self.windows_ns)
        words[at.C_HORIZON] = self.impact_horizon_ns
        words[at.C_GRID] = self.grid_ns
        words[at.C_RULE] = self.sign_rule
        words[at.C_ROLLING] = self.rolling_windows
        words[at.C_BUCKETS] = self.vpin_buckets
        words[at.C_BUCKET_TRADES] = self.vpin_bucket_trades
        words[at.C_WINDOWS :] = self.windows_ns
        return words

    def numbers(self) -> npt.NDArray[np.float64]:
        """The float constants as the scalar code reads them, ``layout.K_*``."""
        numbers = np.zeros(at.K_SIZE, np.float64)
        numbers[at.K_BETA] = self.hawkes_decay_per_s
        numbers[at.K_BETA_NS] = self.hawkes_decay_per_s * 1e-9
        numbers[at.K_FORGET] = 1.0 / self.rolling_windows
        numbers[at.K_BASE_S] = self.windows_ns[0] * 1e-9
        return numbers

    def describe(self) -> str:
        """The fields and their values, as one line; part of a checkpoint's fingerprint."""
        return ", ".join(f"{field.name}={getattr(self, field.name)!r}" for field in fields(self))
