import sys
from pathlib import Path

from bench.peers.roster import Absent, Peer, python_of


def test_a_peer_that_cannot_be_installed_is_absent_with_the_reason(tmp_path):
    pins = tmp_path / "pins"
    pins.mkdir()
    (pins / "nobody.txt").write_text(f"{tmp_path}/no-such.whl\n")
    found = python_of(Peer("nobody", "nobody.txt", "none"), tmp_path, pins)
    assert isinstance(found, Absent)
    assert found.reason.startswith("cannot be installed: ")
    assert "no-such.whl" in found.reason


def test_an_environment_is_made_once_and_anew_when_pins_change(tmp_path):
    pins = tmp_path / "pins"
    pins.mkdir()
    (pins / "empty.txt").write_text("# nothing\n")
    peer = Peer("empty", "empty.txt", "none")
    python = python_of(peer, tmp_path, pins)
    mark = tmp_path / "empty" / "mark"
    mark.touch()
    assert (python, python_of(peer, tmp_path, pins), mark.exists()) == (python, python, True)
    (pins / "empty.txt").write_text("# still nothing\n")
    assert (python_of(peer, tmp_path, pins), mark.exists()) == (python, False)


def test_a_peer_without_pins_runs_in_our_own_environment(tmp_path):
    assert python_of(Peer("plain", "", "none"), tmp_path) == Path(sys.executable)
