"""Whether a Kafka answers, speaks our protocol and lets us in; and waiting until it does."""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import Callable
from typing import Any

from aiokafka.conn import create_conn
from aiokafka.errors import (
    AuthenticationFailedError,
    IllegalSaslStateError,
    KafkaConnectionError,
    KafkaError,
    SaslAuthenticationFailed,
    UnsupportedSaslMechanismError,
)
from aiokafka.protocol.metadata import MetadataRequest

from schemas.errors import BrokerError, BrokerUnavailable, SettingsError
from schemas.settings import Settings
from streams.credentials import security

START_BROKER = "start it with `tapestream broker`, or set TAPESTREAM_BROKER"

_REFUSALS = (
    AuthenticationFailedError,
    IllegalSaslStateError,
    SaslAuthenticationFailed,
    UnsupportedSaslMechanismError,
)


async def wait_for_broker(
    settings: Settings, timeout_s: float = 30.0, on_wait: Callable[[str], None] | None = None
) -> None:
    """Return when Kafka answers, speaks our protocol and knows us.

    Parameters
    ----------
    settings
        Where the broker is, and who we are.
    timeout_s
        How long nobody may answer; 0 tries once.
    on_wait
        Told once a distinct reason for which we wait, as a line to show.

    Raises
    ------
    BrokerUnavailable
        When nobody answered in time.
    BrokerError
        At once, when the broker answers and refuses us: waiting would not help.
    """
    deadline = time.monotonic() + timeout_s
    pause_s, told = 0.05, ""
    options = security(settings)
    while True:
        problem = await _first_problem(settings, options)
        if problem is None:
            return
        if time.monotonic() + pause_s >= deadline:
            after = f" after {timeout_s:g} s" if timeout_s else ""
            raise BrokerUnavailable(f"no Kafka answers at {settings.broker}{after}: {problem}", START_BROKER)
        if on_wait is not None and problem != told:
            on_wait(f"waiting for Kafka at {settings.broker}: {problem}")
            told = problem
        await asyncio.sleep(pause_s)
        pause_s = min(2 * pause_s, 1.0)


async def _first_problem(settings: Settings, options: dict[str, Any]) -> str | None:
    """None as soon as one bootstrap server serves us, else what was wrong with the last of them."""
    problem = "no address given"
    for host, port in addresses(settings.broker):
        try:
            await _greet(host, port, options)
        except _REFUSALS as exc:
            raise BrokerError(
                f"{host}:{port} does not let us in: {exc}",
                "check TAPESTREAM_SASL_MECHANISM, TAPESTREAM_SASL_USERNAME and TAPESTREAM_SASL_PASSWORD",
            ) from exc
        except ssl.SSLError as exc:
            raise BrokerError(
                f"{host}:{port}: TLS failed: {exc}",
                "check TAPESTREAM_SECURITY_PROTOCOL and TAPESTREAM_SSL_CAFILE against the broker's listener",
            ) from exc
        except (KafkaConnectionError, ConnectionResetError):
            # A listener that expects another protocol says nothing at all.
            protocol = settings.security_protocol
            problem = f"it hangs up; does its listener speak TAPESTREAM_SECURITY_PROTOCOL={protocol}?"
        except (OSError, KafkaError, TimeoutError) as exc:
            problem = str(exc) or type(exc).__name__
        else:
            return None
    return problem


async def _greet(host: str, port: int, options: dict[str, Any]) -> None:
    # Not the client's own bootstrap: that one logs what went wrong and raises without it.
    connection = await create_conn(host, port, client_id="tapestream", request_timeout_ms=5_000, **options)
    try:
        # A listener that demands a password answers an anonymous greeting; only now does it hang up.
        await connection.send(MetadataRequest([]))
    finally:
        connection.close()


def addresses(bootstrap: str) -> list[tuple[str, int]]:
    """The hosts and ports of a bootstrap list such as ``localhost:9092,[::1]:9093``."""
    found = []
    for part in filter(None, (piece.strip() for piece in bootstrap.split(","))):
        host, colon, port = part.rpartition(":")
        if not colon or not port.isdigit() or not 0 < int(port) < 65_536 or not host:
            raise SettingsError(f"broker: {part!r} is no host:port", "set TAPESTREAM_BROKER=host:port")
        found.append((host.strip("[]"), int(port)))
    return found
