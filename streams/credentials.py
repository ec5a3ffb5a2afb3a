"""Who we are and whom we trust: the security options of every Kafka client, from the settings."""

from __future__ import annotations

import logging
import ssl
from typing import Any

from aiokafka.helpers import create_ssl_context

from schemas.errors import SettingsError
from schemas.settings import Settings


def security(settings: Settings) -> dict[str, Any]:
    """The part of a client's options that says who we are and whom we trust.

    Raises
    ------
    SettingsError
        When a name, a password or a certificate that the protocol needs is absent or unreadable.
    """
    options: dict[str, Any] = {"security_protocol": settings.security_protocol}
    if "SASL" in settings.security_protocol:
        if not settings.sasl_username or settings.sasl_password is None:
            raise SettingsError(
                f"{settings.security_protocol} needs a user name and a password",
                "set TAPESTREAM_SASL_USERNAME and TAPESTREAM_SASL_PASSWORD",
            )
        options["sasl_mechanism"] = settings.sasl_mechanism
        options["sasl_plain_username"] = settings.sasl_username
        options["sasl_plain_password"] = settings.sasl_password.get_secret_value()
    if "SSL" in settings.security_protocol:
        options["ssl_context"] = ssl_context(settings)
    return options


def compiled_security(settings: Settings) -> dict[str, Any]:
    """What :func:`security` says, in the words of the compiled client (librdkafka).

    Raises
    ------
    SettingsError
        As there.
    """
    options = security(settings)
    context = options.pop("ssl_context", None)
    compiled = {_COMPILED_NAMES[name]: value for name, value in options.items()}
    if context is not None:
        # The compiled client looks for the system's authorities only when told to.
        compiled["ssl.ca.location"] = str(settings.ssl_cafile or "probe")
        if settings.ssl_certfile is not None:
            compiled["ssl.certificate.location"] = str(settings.ssl_certfile)
        if settings.ssl_keyfile is not None:
            compiled["ssl.key.location"] = str(settings.ssl_keyfile)
        compiled["ssl.endpoint.identification.algorithm"] = "https" if settings.ssl_check_hostname else "none"
    return compiled


_COMPILED_NAMES = {
    "security_protocol": "security.protocol",
    "sasl_mechanism": "sasl.mechanism",
    "sasl_plain_username": "sasl.username",
    "sasl_plain_password": "sasl.password",
}


def ssl_context(settings: Settings) -> ssl.SSLContext:
    """The TLS context of the settings' certificate files; the system's authorities when they name none."""
    for field in ("ssl_cafile", "ssl_certfile", "ssl_keyfile"):
        path = getattr(settings, field)
        if path is not None and not path.is_file():
            raise SettingsError(f"{field}: no file at {path}", f"set TAPESTREAM_{field.upper()}")
    try:
        context: ssl.SSLContext = create_ssl_context(
            cafile=settings.ssl_cafile, certfile=settings.ssl_certfile, keyfile=settings.ssl_keyfile
        )
    except (ssl.SSLError, OSError, ValueError) as exc:
        raise SettingsError(
            f"the TLS files cannot be used: {exc}",
            "TAPESTREAM_SSL_CAFILE, TAPESTREAM_SSL_CERTFILE and TAPESTREAM_SSL_KEYFILE must be PEM files",
        ) from exc
    context.check_hostname = settings.ssl_check_hostname
    return context


class _Discretion(logging.Filter):
    """Keeps passwords out of the client's log, which at DEBUG prints every request that it sends."""

    def __init__(self) -> None:
        super().__init__()
        self._warned = False

    def filter(self, record: logging.LogRecord) -> bool:
        """Drop requests that authenticate, and the warning of each connection but the first."""
        if str(record.msg).startswith("Sending username and password"):
            first, self._warned = not self._warned, True
            return first
        arguments = record.args if isinstance(record.args, tuple) else (record.args,)
        return not any(type(argument).__name__.startswith("SaslAuthenticate") for argument in arguments)


logging.getLogger("aiokafka.conn").addFilter(_Discretion())
