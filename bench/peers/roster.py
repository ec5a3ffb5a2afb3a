"""The peers, and the environment of each: made once, beside our own, because pins contradict."""

from __future__ import annotations

import shutil
import subprocess
import sys
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

HERE = Path(__file__).parent
INSTALL_S = 900.0


@dataclass(frozen=True, slots=True)
class Peer:
    """One of those that we are measured beside.

    Attributes
    ----------
    requirements
        Name of its file of pins; empty when it runs in our own environment.
    tuning
        What of its settings is not the default, for the report.
    """

    name: str
    requirements: str
    licence: str
    tuning: str = "defaults"

    @property
    def module(self) -> str:
        """The script, as ``python -m`` takes it."""
        return f"bench.peers.with_{self.name}"


@dataclass(frozen=True, slots=True)
class Absent:
    """A peer that could not be measured, and why: never a number."""

    reason: str


PEERS = (
    Peer("faust", "", "BSD-3-Clause"),
    Peer("quixstreams", "quixstreams.txt", "Apache-2.0", "linger.ms 20, larger fetches and queues"),
    Peer("bytewax", "bytewax.txt", "Apache-2.0", "frames: batch_size 16; JSON: windows by event time alone"),
    Peer("csp", "csp.txt", "Apache-2.0", "bursts of messages a cycle, linger.ms 20"),
    Peer("pathway", "pathway.txt", "BSL-1.1", "static mode; timed with the start and the end of its engine"),
)


def python_of(peer: Peer, folder: Path, pins: Path = HERE / "requirements") -> Path | Absent:
    """The interpreter that has the peer installed; made on first use, and anew when its pins change.

    Parameters
    ----------
    folder
        Where environments are kept.
    pins
        Where the files of requirements are.
    """
    if not peer.requirements:
        return Path(sys.executable)
    wanted = sha256(b"".join(path.read_bytes() for path in sorted(pins.glob("*.txt")))).hexdigest()
    home = folder / peer.name
    python, stamp = home / "bin" / "python", home / "pins"
    if stamp.exists() and stamp.read_text() == wanted:
        return python
    shutil.rmtree(home, ignore_errors=True)
    uv = (sys.executable, "-m", "uv")
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    for command in (
        (*uv, "venv", "--quiet", "--python", version, str(home)),
        (*uv, "pip", "install", "--quiet", "--python", str(python), "-r", str(pins / peer.requirements)),
    ):
        reason = _failure(command)
        if reason:
            return Absent(f"cannot be installed: {reason}")
    stamp.write_text(wanted)
    return python


def _failure(command: tuple[str, ...]) -> str:
    """Why the command did not succeed; empty when it did."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=INSTALL_S)
    except (OSError, subprocess.TimeoutExpired) as exc:
        return str(exc)
    if not done.returncode:
        return ""
    return last_line(done.stderr) or f"{command[2]} ended with {done.returncode}"


def last_line(text: str) -> str:
    """The last line that says something."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else ""
