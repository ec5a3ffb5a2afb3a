"""How far a replay has come, in a small file of the data folder.

The position counts ticks of the stream that the broker has acknowledged. It is written only after that, so
that going on from it never leaves a tick out; ticks sent after it was written are sent again.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from schemas import codec
from schemas.errors import CheckpointError, FrameError
from streams.files import replace_file

_VERSION = 1


@dataclass(frozen=True, slots=True)
class Position:
    """Ticks acknowledged, the highest event time among them, and whether that was all."""

    ticks: int = 0
    ts_event_ns: int = 0
    finished: bool = False


@dataclass(frozen=True, slots=True)
class PositionFile:
    """Where one replay, to one place, keeps its position."""

    path: Path

    @classmethod
    def of(cls, data_dir: Path, identity: str) -> PositionFile:
        """The file of the stream of that identity."""
        return cls(data_dir / "replay" / f"{identity}.json")

    def load(self) -> Position:
        """What was saved last; the beginning when nothing was.

        Raises
        ------
        CheckpointError
            When the file cannot be read or is not ours.
        """
        try:
            value = codec.loads(self.path.read_bytes())
            if value["version"] != _VERSION:
                raise ValueError(f"version {value['version']}")
            return Position(int(value["ticks"]), int(value["ts_event_ns"]), bool(value["finished"]))
        except FileNotFoundError:
            return Position()
        except (OSError, FrameError, ValueError, KeyError, TypeError) as exc:
            raise CheckpointError(
                f"{self.path}: no position of a replay: {exc}", "delete it and replay without --resume"
            ) from exc

    def save(self, position: Position) -> None:
        """Replace what was saved, in one step."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        value = {
            "version": _VERSION,
            "ticks": position.ticks,
            "ts_event_ns": position.ts_event_ns,
            "finished": position.finished,
        }
        replace_file(self.path, codec.dumps(value))
