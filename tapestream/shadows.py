"""A foreign package under the name of one of our top-level folders. Standard library only.

Our folders have plain names, and another distribution may install an ``agents`` or a ``schemas`` too. Python
then takes whichever comes first on its path, which shows as an ImportError far from the cause.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FOLDERS = ("schemas", "streams", "agents", "orchestrator", "tapestream", "bench")


@dataclass(frozen=True, slots=True)
class Shadow:
    """Who else has the name of a folder of ours."""

    problem: str
    remedy: str
    wins: bool
    """Whether Python imports the stranger in our folder's place."""


def find_shadow(
    origin_of: Callable[[str], Path | None] | None = None,
    owners: Mapping[str, Sequence[str]] | None = None,
    root: Path = ROOT,
) -> Shadow | None:
    """The worst shadow on one of our folders, or None.

    Parameters
    ----------
    origin_of
        Where a package would be imported from; Python's own answer when absent.
    owners
        Top-level package to the distributions that install it; the environment's when absent.
    root
        The folder that ours are in.
    """
    origin_of = origin_of or _origin
    for name in FOLDERS:
        origin = origin_of(name)
        if origin is None or root not in origin.parents:
            where = origin or "nothing"
            remedy = f"remove what puts it before {root}: PYTHONPATH, or the package that installs it"
            return Shadow(f"`import {name}` finds {where}", remedy, wins=True)
    owners = metadata.packages_distributions() if owners is None else owners
    for name in FOLDERS:
        strangers = sorted(set(owners.get(name, ())) - {"tapestream"})
        if strangers:
            remedy = f"pip uninstall {strangers[0]}, or keep it in another environment"
            return Shadow(f"{strangers[0]} installs a package `{name}` too", remedy, wins=False)
    return None


def _origin(name: str) -> Path | None:
    spec = importlib.util.find_spec(name)
    if spec is None:
        return None
    places = [spec.origin] if spec.origin else list(spec.submodule_search_locations or ())
    return Path(places[0]).resolve() if places else None
