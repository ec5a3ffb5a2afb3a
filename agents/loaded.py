"""Libraries that somebody else has loaded: what is asked of them must load none."""

from __future__ import annotations

import sys
from types import ModuleType


def loaded(name: str) -> ModuleType | None:
    """The module, if its import has ended; None while another thread is still importing it.

    ``sys.modules`` holds a module from the start of its import, when it has next to no attributes yet.
    """
    module = sys.modules.get(name)
    if module is None or getattr(getattr(module, "__spec__", None), "_initializing", False):
        return None
    return module
