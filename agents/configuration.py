"""From settings to the configuration of a partition."""

from __future__ import annotations

from collections.abc import Callable

from agents.features import load_features
from agents.frames import CPU, Backend
from agents.indicators.requests import parse_all
from agents.kernels import config as kernel
from agents.kernels.config import KernelConfig
from agents.live.library import Library
from agents.live.signals import KIND as MODEL_KIND
from agents.micro_prices import read_tables
from agents.partition_config import PartitionConfig
from agents.signals import load_signals
from schemas.errors import ParameterError, SettingsError
from schemas.settings import Settings

MS = 1_000_000

SIGN_RULES = {
    "lee_ready": kernel.LEE_READY,
    "emo": kernel.EMO,
    "clnv": kernel.CLNV,
    "tick": kernel.TICK,
    "quote": kernel.QUOTE,
}


def partition_config(
    settings: Settings, library: Library | None = None, backend: Backend = CPU
) -> Callable[[int], PartitionConfig]:
    """Read what the settings name (signals, indicators, tables) once; return the configuration by partition.

    Parameters
    ----------
    backend
        What to compute on; it changes no output.

    Raises
    ------
    SettingsError
        When a signal or a feature cannot be imported, an indicator is unknown or a table cannot be read.
    """
    signals = load_signals(settings.signals, settings.windows_ms)
    if any(spec.kind == MODEL_KIND for spec in signals):
        raise SettingsError(f"a signal of kind {MODEL_KIND!r}: that is the promoted model's", "rename it")
    if settings.model_window_ms and settings.model_window_ms not in settings.windows_ms:
        raise SettingsError(
            f"TAPESTREAM_MODEL_WINDOW_MS: {settings.model_window_ms} is none of the windows, "
            f"{list(settings.windows_ms)}",
            f"add {settings.model_window_ms} to TAPESTREAM_WINDOWS_MS",
        )
    indicators = _indicators(settings)
    features = load_features(settings.features, settings.windows_ms)
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
            features=features,
            micro_prices=tables,
            backend=backend,
            indicators=indicators,
            model_window_ms=settings.model_window_ms,
            library=library,
        )

    return config


def _indicators(settings: Settings) -> tuple[str, ...]:
    try:
        return tuple(request.text for request in parse_all(settings.indicators))
    except ParameterError as exc:
        raise SettingsError(f"TAPESTREAM_INDICATORS: {exc.problem}", exc.remedy) from exc
