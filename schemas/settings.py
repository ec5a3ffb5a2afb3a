"""Settings: read once from the environment (``TAPESTREAM_*``), validated, frozen, passed down."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from schemas.errors import SettingsError

MAX_MESSAGE_BYTES = 1_048_576
"""Kafka's own limit of a record batch, which no topic of ours raises."""


class Settings(BaseSettings):
    """Where the log is and how the pipeline cuts time.

    Every field is an environment variable: ``broker`` is ``TAPESTREAM_BROKER``.
    Tuples are JSON: ``TAPESTREAM_WINDOWS_MS='[1000, 60000]'``.
    """

    model_config = SettingsConfigDict(
        env_prefix="TAPESTREAM_", frozen=True, extra="ignore", use_attribute_docstrings=True
    )

    broker: str = "127.0.0.1:9092"
    """Bootstrap servers, ``host:port[,host:port]``."""
    data_dir: Path = Path(".tapestream")
    """The data folder: the embedded broker's log, recordings, logs of children."""
    host: str = "127.0.0.1"
    """The address that pages and metrics listen on."""
    api_token: SecretStr | None = Field(default=None, min_length=16)
    """The token that every call of the REST API must bring; 16 characters or more, never shown."""

    security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = "PLAINTEXT"
    """How to speak to the broker: TLS or not, a password or not."""
    sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] = "PLAIN"
    """How the password is given."""
    sasl_username: str | None = None
    """The user, for a ``SASL_`` protocol."""
    sasl_password: SecretStr | None = None
    """The password, for a ``SASL_`` protocol; never shown."""
    ssl_cafile: Path | None = None
    """PEM file of the authorities to trust; the system's when absent."""
    ssl_certfile: Path | None = None
    """PEM file of our certificate, where the broker wants one."""
    ssl_keyfile: Path | None = None
    """PEM file of our certificate's key."""
    ssl_check_hostname: bool = True
    """Whether the broker's certificate must name its host."""

    partitions: int = Field(default=8, ge=1, le=4096)
    """Partitions of each partitioned topic when we create them."""
    replication_factor: int = Field(default=1, ge=1, le=32_767)
    """Copies of each topic when we create them; no more than there are brokers."""
    topic_prefix: str = Field(default="", max_length=128, pattern=r"^[A-Za-z0-9._-]*$")
    """Put before every topic and group name, so that several pipelines can share one Kafka."""
    group: str = Field(default="tapestream-worker", min_length=1, max_length=200)
    """The consumer group of the workers."""
    maven_repository: str | None = None
    """Where the embedded broker's jars come from, when not from Maven's own central repository."""

    windows_ms: tuple[int, ...] = (1_000, 10_000, 60_000)
    """Window lengths, ascending; each a multiple of the first; 100 ms to one day."""
    allowed_lateness_ms: int = Field(default=0, ge=0, le=3_600_000)
    """How far ticks may arrive out of order and still be put in order; 0 keeps arrival order."""
    max_clock_skew_ms: int = Field(default=3_600_000, ge=0)
    """An exchange time further ahead of the capture time than this is a bad tick."""
    impact_horizon_ms: int = Field(default=1_000, ge=1)
    """The horizon of realized spread and price impact."""
    fee_bps: float = Field(default=0.3, ge=0.0)
    """Fee of one side of a trade, in basis points; 0.3 is 30 cents on 10,000, about a US equity taker's."""
    sign_rule: Literal["lee_ready", "emo", "clnv", "tick", "quote"] = "lee_ready"
    """Trade sign where the venue sends no aggressor side."""
    micro_price_table: Path | None = None
    """A table fitted by ``tapestream fit-micro-price``; without one ``micro_price`` is NaN."""
    signals: tuple[str, ...] = ("agents.signals.order_flow:order_flow",)
    """Signals to compute, ``module:function`` each."""
    features: tuple[str, ...] = ()
    """Features of one's own to compute, ``module:function`` each; columns more on ``market.features``."""
    indicators: Annotated[tuple[str, ...], NoDecode] = ()
    """Technical indicators to compute on every bar, also as plain text: ``RSI(14),EMA(20)``."""
    model_window_ms: int = Field(default=0, ge=0)
    """Length of the bars that the promoted model scores, one of the windows; 0 for what its card names."""

    checkpoint_interval_s: float = Field(default=2.0, gt=0.0)
    """Shortest time between two checkpoints of a partition."""
    checkpoint_share: float = Field(default=0.04, gt=0.0, le=0.5)
    """Share of the worker's time that checkpoints may take; the interval stretches to keep it."""
    session_timeout_s: float = Field(default=10.0, ge=6.0, le=300.0)
    """How long a worker may be silent before its partitions go to another."""
    shutdown_timeout_s: float = Field(default=20.0, gt=0.0)
    """Budget to drain, checkpoint, commit and leave the group."""

    def environment(self, inherited: Mapping[str, str]) -> dict[str, str]:
        """The environment in which a child process reads these settings, and no others.

        Parameters
        ----------
        inherited
            What else the child shall see; ``TAPESTREAM_*`` in it does not count.
        """
        found = {name: value for name, value in inherited.items() if not name.startswith("TAPESTREAM_")}
        for name in self.model_fields_set:
            value = getattr(self, name)
            if isinstance(value, SecretStr):
                value = value.get_secret_value()
            found[f"TAPESTREAM_{name.upper()}"] = (
                json.dumps(value) if isinstance(value, tuple) else str(value)
            )
        return found

    @field_validator("indicators", mode="before")
    @classmethod
    def _indicators_as_people_write_them(cls, given: object) -> object:
        if not isinstance(given, str):
            return given
        if given.lstrip().startswith("["):
            return json.loads(given)
        # Commas within the parentheses part the numbers of one indicator.
        return [name for name in (part.strip() for part in re.split(r",(?![^(]*\))", given)) if name]

    @field_validator("windows_ms")
    @classmethod
    def _windows_nest(cls, windows: tuple[int, ...]) -> tuple[int, ...]:
        if not 1 <= len(windows) <= 8:
            raise ValueError("between 1 and 8 window lengths")
        if list(windows) != sorted(set(windows)):
            raise ValueError("window lengths must ascend without repeats")
        for window in windows:
            if not 100 <= window <= 86_400_000:
                raise ValueError(f"{window} ms is outside 100 ms to one day")
            if window % windows[0]:
                raise ValueError(f"{window} ms is no multiple of the shortest window, {windows[0]} ms")
        return windows


def load_settings(**overrides: object) -> Settings:
    """Read the settings once; ``overrides`` (from command-line options) win over the environment.

    Raises
    ------
    SettingsError
        Naming the field, the value's problem and the environment variable to set.
    """
    given = {key: value for key, value in overrides.items() if value is not None}
    try:
        return Settings(**given)  # type: ignore[arg-type]
    except ValidationError as exc:
        error = exc.errors()[0]
        field = ".".join(str(part) for part in error["loc"]) or "settings"
        name = f"TAPESTREAM_{str(error['loc'][0]).upper()}" if error["loc"] else "TAPESTREAM_*"
        raise SettingsError(f"{field}: {error['msg']}", f"set {name} or the option of that name") from exc
