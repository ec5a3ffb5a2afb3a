"""Kafka's jars: pinned, fetched once, checked."""

import hashlib
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from schemas.errors import BrokerStartError
from streams.broker import KAFKA_VERSION, artifacts
from streams.broker.artifacts import Jar, class_path
from streams.broker.ports import LOOPBACK, free_ports

CONTENT = b"PK not really a jar, but the bytes that were locked"
JAR = Jar("org.example", "thing", "1.0", len(CONTENT), hashlib.sha256(CONTENT).hexdigest())


class QuietHandler(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def remote(tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """A Maven repository with the one jar, and the jar's file in it."""
    served = tmp_path / "remote"
    file = JAR.path(served)
    file.parent.mkdir(parents=True)
    file.write_bytes(CONTENT)
    server = ThreadingHTTPServer((LOOPBACK, 0), partial(QuietHandler, directory=str(served)))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://{LOOPBACK}:{server.server_port}/", file
    server.shutdown()
    thread.join()
    server.server_close()


def test_the_lock_file_pins_kafka_and_a_logging_bridge_that_agrees_with_its_log4j() -> None:
    versions = {f"{jar.group}:{jar.artifact}": jar.version for jar in artifacts.locked_jars()}
    assert versions["org.apache.kafka:kafka_2.13"] == KAFKA_VERSION
    assert versions["org.apache.kafka:kafka-clients"] == KAFKA_VERSION
    assert (
        versions["org.apache.logging.log4j:log4j-slf4j-impl"]
        == versions["org.apache.logging.log4j:log4j-core"]
    )
    assert len(versions) == len(artifacts.locked_jars())


def test_a_missing_jar_is_downloaded_with_its_progress_told_and_then_never_again(
    remote: tuple[str, Path], tmp_path: Path
) -> None:
    address, file = remote
    told: list[tuple[int, int]] = []
    local = tmp_path / "local"
    fetch = partial(class_path, (JAR,), repository=local, remote=address)
    [path] = fetch(on_download=lambda done, total: told.append((done, total)))
    assert path.read_bytes() == CONTENT
    assert told[0] == (0, len(CONTENT))
    assert told[-1] == (len(CONTENT), len(CONTENT))
    file.unlink()
    told.clear()
    assert fetch(on_download=lambda done, total: told.append((done, total))) == [path]
    assert told == []


def test_a_jar_cut_short_by_an_earlier_failure_is_fetched_again(
    remote: tuple[str, Path], tmp_path: Path
) -> None:
    local = tmp_path / "local"
    half = JAR.path(local)
    half.parent.mkdir(parents=True)
    half.write_bytes(CONTENT[:10])
    assert class_path((JAR,), repository=local, remote=remote[0]) == [half]
    assert half.read_bytes() == CONTENT


def test_a_jar_with_other_bytes_than_locked_is_refused_and_removed(
    remote: tuple[str, Path], tmp_path: Path
) -> None:
    address, file = remote
    file.write_bytes(CONTENT[::-1])
    with pytest.raises(
        BrokerStartError, match=r"org\.example:thing:1\.0 is not the file that jars\.lock names"
    ):
        class_path((JAR,), repository=tmp_path / "local", remote=address)
    assert not JAR.path(tmp_path / "local").exists()


def test_a_repository_without_the_jar_is_named_with_a_remedy(
    remote: tuple[str, Path], tmp_path: Path
) -> None:
    address, file = remote
    file.unlink()
    with pytest.raises(BrokerStartError, match=r"org\.example:thing:1\.0 cannot be downloaded: .*not found"):
        class_path((JAR,), repository=tmp_path / "local", remote=address)


def test_without_a_network_the_remedy_names_the_mirror_and_a_kafka_of_ones_own(tmp_path: Path) -> None:
    nobody = f"http://{LOOPBACK}:{free_ports(1)[0]}"
    with pytest.raises(BrokerStartError, match=r"cannot be downloaded: .*refused") as caught:
        class_path(repository=tmp_path / "local", remote=nobody)
    assert "TAPESTREAM_MAVEN_REPOSITORY" in caught.value.remedy
    assert "TAPESTREAM_BROKER" in caught.value.remedy


def test_two_processes_that_want_the_same_jar_fetch_it_once(remote: tuple[str, Path], tmp_path: Path) -> None:
    address, _ = remote
    downloads: list[int] = []
    barrier = threading.Barrier(2)

    def fetch() -> None:
        barrier.wait()
        class_path(
            (JAR,),
            repository=tmp_path / "local",
            remote=address,
            on_download=lambda done, _total: downloads.append(done) if done == 0 else None,
        )

    threads = [threading.Thread(target=fetch) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert downloads == [0]
