"""Names, passwords and certificates: the settings against an embedded Kafka that demands them."""

import logging
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from pydantic import SecretStr

from schemas.errors import BrokerError, SettingsError
from schemas.settings import Settings
from streams import admin, clients, lag, topics
from streams.broker import EmbeddedBroker, ListenerSecurity
from streams.feed import Feed
from tests.feeds import first_of

USERS = {"ada": "correct horse", "bob": "battery staple"}
needs_openssl = pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl makes the certificates")


@dataclass(frozen=True)
class Certificates:
    authority: Path
    broker: Path  # key and certificate in one file
    stranger: Path  # an authority that signed nothing


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    folder = tmp_path_factory.mktemp("certificates")

    def openssl(*words: str) -> None:
        subprocess.run(["openssl", *words], cwd=folder, check=True, capture_output=True)

    for name in ("authority", "stranger"):
        subject = ("-subj", f"/CN={name}", "-days", "2", "-addext", "basicConstraints=critical,CA:TRUE")
        openssl(
            "req",
            "-x509",
            "-newkey",
            "rsa:2048",
            "-nodes",
            "-keyout",
            f"{name}.key",
            "-out",
            f"{name}.pem",
            *subject,
        )
    openssl(
        "req", "-newkey", "rsa:2048", "-nodes", "-keyout", "b.key", "-out", "b.csr", "-subj", "/CN=localhost"
    )
    (folder / "names").write_text("subjectAltName=DNS:localhost,IP:127.0.0.1\n")
    signed = (
        "-CA",
        "authority.pem",
        "-CAkey",
        "authority.key",
        "-CAcreateserial",
        "-extfile",
        "names",
        "-days",
        "2",
    )
    openssl("x509", "-req", "-in", "b.csr", "-out", "b.pem", *signed)
    (folder / "broker.pem").write_text((folder / "b.key").read_text() + (folder / "b.pem").read_text())
    return Certificates(folder / "authority.pem", folder / "broker.pem", folder / "stranger.pem")


@pytest.fixture(scope="module")
def sasl(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedBroker]:
    """A Kafka that demands a name and a password."""
    security = ListenerSecurity("SASL_PLAINTEXT", users=USERS)
    with EmbeddedBroker(tmp_path_factory.mktemp("sasl") / "kafka", port=0, security=security) as broker:
        yield broker


@pytest.fixture(scope="module")
def tls(tmp_path_factory: pytest.TempPathFactory, certificates: Certificates) -> Iterator[EmbeddedBroker]:
    """A Kafka that speaks TLS only and demands a name and a password in a challenge."""
    security = ListenerSecurity("SASL_SSL", "SCRAM-SHA-256", USERS, certificates.broker)
    with EmbeddedBroker(tmp_path_factory.mktemp("tls") / "kafka", port=0, security=security) as broker:
        yield broker


def as_ada(broker: EmbeddedBroker, protocol: str = "SASL_PLAINTEXT", **more: object) -> Settings:
    given = {"sasl_username": "ada", "sasl_password": SecretStr(USERS["ada"])} | more
    return Settings(broker=broker.address, security_protocol=protocol, partitions=1, **given)  # type: ignore[arg-type]


async def round_trip(settings: Settings) -> bytes:
    """Every kind of client does its part: topics, a record out and in, a group's lag, a worker's feed."""
    await admin.ensure_topics(settings, topics.TICKS)
    async with clients.started(settings, clients.producer(settings)) as producer:
        await producer.send_and_wait(topics.TICKS, b"tick", key=b"A")
    group = topics.group(settings)
    async with clients.started(
        settings, clients.consumer(settings, topics.TICKS, group_id=group)
    ) as consumer:
        record = await consumer.getone()
        await consumer.commit()
    [row] = await lag.group_lag(settings, group)
    assert row.messages == 0
    feed = Feed(settings, group=group, client_id="feed")
    try:
        await feed.read({(topics.TICKS, 0): record.offset})
        assert [message.value() for message in await first_of(feed, (topics.TICKS, 0))] == [record.value]
    finally:
        await feed.close()
    return bytes(record.value)


@pytest.mark.kafka
async def test_the_right_password_lets_every_client_in_and_is_logged_by_none(
    sasl: EmbeddedBroker, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    settings = as_ada(sasl)
    assert await round_trip(settings) == b"tick"
    assert USERS["ada"] not in caplog.text
    assert USERS["ada"] not in repr(settings)
    assert caplog.text.count("password in the clear") <= 1


@pytest.mark.kafka
async def test_a_wrong_password_is_told_at_once_and_not_waited_out(sasl: EmbeddedBroker) -> None:
    with pytest.raises(BrokerError, match="does not let us in") as caught:
        await clients.wait_for_broker(as_ada(sasl, sasl_password=SecretStr("guess")), timeout_s=3_600)
    assert "TAPESTREAM_SASL_PASSWORD" in caught.value.remedy
    assert "guess" not in str(caught.value)


@pytest.mark.kafka
async def test_another_mechanism_than_the_brokers_is_told(sasl: EmbeddedBroker) -> None:
    with pytest.raises(BrokerError, match="TAPESTREAM_SASL_MECHANISM"):
        await clients.wait_for_broker(as_ada(sasl, sasl_mechanism="SCRAM-SHA-512"), timeout_s=3_600)


@pytest.mark.kafka
@needs_openssl
async def test_tls_and_a_challenged_password_let_every_client_in(
    tls: EmbeddedBroker, certificates: Certificates
) -> None:
    settings = as_ada(tls, "SASL_SSL", sasl_mechanism="SCRAM-SHA-256", ssl_cafile=certificates.authority)
    assert await round_trip(settings) == b"tick"


@pytest.mark.kafka
@needs_openssl
async def test_a_broker_signed_by_a_stranger_is_not_talked_to(
    tls: EmbeddedBroker, certificates: Certificates
) -> None:
    settings = as_ada(tls, "SASL_SSL", sasl_mechanism="SCRAM-SHA-256", ssl_cafile=certificates.stranger)
    with pytest.raises(BrokerError, match=r"TLS failed: .*certificate verify failed"):
        await clients.wait_for_broker(settings, timeout_s=3_600)


@pytest.mark.kafka
@needs_openssl
async def test_tls_towards_a_broker_that_speaks_none_is_told(
    sasl: EmbeddedBroker, certificates: Certificates
) -> None:
    with pytest.raises(BrokerError, match="TAPESTREAM_SECURITY_PROTOCOL"):
        await clients.wait_for_broker(
            as_ada(sasl, "SASL_SSL", ssl_cafile=certificates.authority), timeout_s=0.5
        )


@pytest.mark.kafka
async def test_no_password_towards_a_broker_that_demands_one_is_told(sasl: EmbeddedBroker) -> None:
    with pytest.raises(BrokerError, match=r"it hangs up; .*TAPESTREAM_SECURITY_PROTOCOL=PLAINTEXT"):
        await clients.wait_for_broker(Settings(broker=sasl.address), timeout_s=0.5)


@pytest.mark.kafka
@needs_openssl
async def test_tls_alone_is_enough_where_no_password_is_demanded(
    tmp_path: Path, certificates: Certificates
) -> None:
    security = ListenerSecurity("SSL", keystore=certificates.broker)
    with EmbeddedBroker(tmp_path / "kafka", port=0, security=security) as broker:
        settings = Settings(
            broker=broker.address, security_protocol="SSL", ssl_cafile=certificates.authority, partitions=1
        )
        assert await round_trip(settings) == b"tick"


def test_a_protocol_with_passwords_needs_both_halves() -> None:
    for half in ({"sasl_username": "ada"}, {"sasl_password": SecretStr("pw")}, {}):
        with pytest.raises(SettingsError, match="TAPESTREAM_SASL_USERNAME and TAPESTREAM_SASL_PASSWORD"):
            clients.security(Settings(security_protocol="SASL_SSL", **half))


def test_a_certificate_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    settings = Settings(security_protocol="SSL", ssl_cafile=tmp_path / "no.pem")
    with pytest.raises(
        SettingsError, match=r"ssl_cafile: no file at .*no\.pem \(set TAPESTREAM_SSL_CAFILE\)"
    ):
        clients.security(settings)


def test_a_certificate_file_that_is_none_is_told(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("hello")
    with pytest.raises(SettingsError, match="must be PEM files"):
        clients.security(Settings(security_protocol="SSL", ssl_cafile=tmp_path / "ca.pem"))


def test_the_host_name_is_checked_unless_the_settings_say_otherwise() -> None:
    assert clients.ssl_context(Settings()).check_hostname
    assert not clients.ssl_context(Settings(ssl_check_hostname=False)).check_hostname
