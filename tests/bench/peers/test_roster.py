import subprocess
import sys
import tomllib
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, requires
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from bench.peers.roster import HERE, PEERS, Absent, Peer, python_of
from tests.kafka import ROOT


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


def pins_of(path: Path) -> set[str]:
    """Names of the packages that a file of pins asks for, those of the files that it includes too."""
    names = set()
    for line in path.read_text().splitlines():
        if line.startswith("-r "):
            names |= pins_of(path.parent / line.removeprefix("-r "))
        elif line and not line.startswith("#"):
            names.add(line.split("=")[0].rstrip(">"))
    return names


def with_what_they_need(names: set[str]) -> set[str]:
    """The packages and all that comes with them, as far as they are installed here."""
    found: set[str] = set()
    left = set(names)
    while left:
        name = left.pop()
        found.add(name)
        with suppress(PackageNotFoundError):
            needed = map(Requirement, requires(name) or ())
            left |= {one.name for one in needed if one.marker is None or one.marker.evaluate()} - found
    return found


@pytest.mark.parametrize("peer", [peer for peer in PEERS if peer.requirements], ids=lambda peer: peer.name)
def test_a_peers_environment_has_what_our_computation_imports(peer):
    """Of what we depend on, only what the peer's pins name may be needed."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    ours = {Requirement(line).name for line in project["dependencies"]}
    withheld = ours - with_what_they_need(pins_of(HERE / "requirements" / peer.requirements))
    assert "torch" in withheld
    program = (
        "import sys\n"
        "from importlib.metadata import packages_distributions\n"
        "withheld = set(sys.argv[1].split())\n"
        "for module, packages in packages_distributions().items():\n"
        "    if withheld & set(packages): sys.modules[module] = None\n"
        "import agents.configuration, agents.partition\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, " ".join(withheld)], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
