"""What users add to the worker, named as ``module:function`` in a setting."""

from __future__ import annotations

import importlib
from typing import TypeVar

from schemas.errors import SettingsError

T = TypeVar("T")


def import_marked(address: str, kind: type[T], what: str, setting: str, mark: str) -> T:
    """Import an object that a decorator of ours has made.

    Parameters
    ----------
    address
        ``module:name``.
    kind
        What the decorator makes.
    what, setting, mark
        What it is called, the variable that names it, and the decorator; for the error.

    Raises
    ------
    SettingsError
        When there is no such object, or it is another one.
    """
    module, _, name = address.partition(":")
    try:
        found = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError, ValueError) as exc:
        raise SettingsError(
            f"{what} {address!r} cannot be imported: {exc}",
            f"{setting} takes module:function, found on PYTHONPATH",
        ) from exc
    if not isinstance(found, kind):
        raise SettingsError(
            f"{what} {address!r} is a {type(found).__name__}", f"decorate it with {mark}(...)"
        )
    return found
