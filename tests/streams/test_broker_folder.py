"""Whose data a broker's folder holds, and that one broker at a time uses it."""

import os
import re
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from schemas.errors import BrokerStartError
from streams.broker import EmbeddedBroker, folder, ports


def test_a_new_folder_is_claimed_and_the_claim_is_found_again(tmp_path: Path) -> None:
    first = folder.claim(tmp_path, "4.3.1", 1)
    assert folder.claim(tmp_path, "4.3.1", 1) == first
    assert len(first.cluster_id) == 22


def test_the_data_of_another_kafka_is_refused_with_a_way_out(tmp_path: Path) -> None:
    folder.claim(tmp_path, "4.2.0", 1)
    with pytest.raises(BrokerStartError, match=r"holds data of Kafka 4\.2\.0, and this is 4\.3\.1") as caught:
        folder.claim(tmp_path, "4.3.1", 1)
    assert "--data-dir" in caught.value.remedy


def test_the_data_of_another_number_of_nodes_is_refused(tmp_path: Path) -> None:
    folder.claim(tmp_path, "4.3.1", 3)
    with pytest.raises(BrokerStartError, match="start it with --nodes 3"):
        folder.claim(tmp_path, "4.3.1", 1)


def test_a_folder_with_something_else_in_it_is_refused_and_left_alone(tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    with pytest.raises(BrokerStartError, match="holds photos, which is no data of ours"):
        folder.claim(tmp_path, "4.3.1", 1)
    assert [entry.name for entry in tmp_path.iterdir()] == ["photos"]


@pytest.mark.parametrize("content", ["", "{", "[]", '{"kafka": "4.3.1"}'])
def test_a_damaged_marker_is_named(tmp_path: Path, content: str) -> None:
    folder.Marker.path(tmp_path).write_text(content)
    with pytest.raises(BrokerStartError, match=r"tapestream\.json is damaged"):
        folder.claim(tmp_path, "4.3.1", 1)


def test_a_folder_in_use_names_its_user(tmp_path: Path) -> None:
    held = folder.lock(tmp_path)
    try:
        with pytest.raises(BrokerStartError, match=f"in use by another broker, of process {os.getpid()}"):
            folder.lock(tmp_path)
    finally:
        os.close(held)


def test_a_folder_is_free_again_when_its_holder_ends(tmp_path: Path) -> None:
    code = (
        f"from pathlib import Path; from streams.broker import folder; folder.lock(Path({str(tmp_path)!r}))"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parents[2])
    os.close(folder.lock(tmp_path))


def test_a_node_that_outlasts_its_killed_owner_is_waited_for(tmp_path: Path) -> None:
    held = folder.lock(tmp_path)
    finished = subprocess.Popen([sys.executable, "-c", ""])
    finished.wait()
    os.ftruncate(held, 0)
    os.pwrite(held, str(finished.pid).encode(), 0)  # an owner that is gone, while the lock is still held
    keeper = subprocess.Popen(["cat"], stdin=subprocess.PIPE, pass_fds=(held,))
    os.close(held)
    with pytest.raises(BrokerStartError, match=f"of process {finished.pid}"):
        folder.lock(tmp_path, handover_s=0.1)
    keeper.communicate()
    os.close(folder.lock(tmp_path))


def test_a_taken_port_is_named_before_anything_is_written(tmp_path: Path) -> None:
    with socket.create_server((ports.LOOPBACK, 0)) as server:
        port = server.getsockname()[1]
        with pytest.raises(BrokerStartError, match=f"port {port} of 127.0.0.1 is taken") as caught:
            EmbeddedBroker(tmp_path / "kafka", port=port).start()
    assert f"TAPESTREAM_BROKER=127.0.0.1:{port}" in caught.value.remedy
    assert not (tmp_path / "kafka").exists()


def test_a_taken_port_of_a_later_node_is_seen_too(tmp_path: Path) -> None:
    first = next(port for port in ports.free_ports(50) if ports.is_free(port + 1))
    with (
        socket.create_server((ports.LOOPBACK, first + 1)),
        pytest.raises(BrokerStartError, match=f"port {first + 1} of 127.0.0.1 is taken"),
    ):
        EmbeddedBroker(tmp_path / "kafka", port=first, nodes=2).start()


def test_a_folder_that_cannot_be_made_is_an_error_with_a_remedy(tmp_path: Path, no_download: None) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(BrokerStartError, match=r"file/kafka cannot be used: Not a directory"):
        EmbeddedBroker(tmp_path / "file" / "kafka", port=0).start()


def test_a_comma_in_the_folder_is_refused_since_kafka_would_split_there(tmp_path: Path) -> None:
    with pytest.raises(BrokerStartError, match=re.escape("has a comma")):
        EmbeddedBroker(tmp_path / "a,b")


@pytest.mark.parametrize(("port", "nodes"), [(-1, 1), (65_535, 2), (9092, 0)])
def test_impossible_ports_and_numbers_of_nodes_are_refused(tmp_path: Path, port: int, nodes: int) -> None:
    with pytest.raises(BrokerStartError, match="cannot be"):
        EmbeddedBroker(tmp_path, port=port, nodes=nodes)


@pytest.fixture
def no_download(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("streams.broker.artifacts.class_path", lambda **_: [])


def test_free_ports_differ_and_are_outside_what_outgoing_connections_get() -> None:
    found = ports.free_ports(20)
    assert len(set(found)) == 20
    assert all(port in ports.FREE_PORTS for port in found)
