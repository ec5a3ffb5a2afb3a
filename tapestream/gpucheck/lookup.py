"""What a name of an installed package is, and whether a call fits it, without calling anything."""

from __future__ import annotations

import importlib
import inspect
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cache
from types import ModuleType
from typing import Any

UNKNOWN = None
"""In place of a value of which nothing is known; what is done with it is not checked."""


@dataclass(frozen=True, slots=True)
class Instance:
    """Some object of a class."""

    cls: type


@dataclass(frozen=True, slots=True)
class Bound:
    """A method of some object of a class."""

    function: Any
    owner: type


class Absent(Exception):
    """There is no such name; the message says where it was looked for."""


class Misfit(Exception):
    """The arguments do not fit; the message has the signature."""


def module(name: str) -> ModuleType:
    """Import a module.

    Raises
    ------
    Absent
        When it cannot be.
    """
    try:
        return importlib.import_module(name)
    except ImportError as exc:
        raise Absent(f"no module {name}: {exc}") from exc


def member(of: Any, name: str) -> Any:
    """``of.name``, where ``of`` is a module, a class, a function or an :class:`Instance`.

    Raises
    ------
    Absent
        When there is none.
    """
    if isinstance(of, Instance):
        return _attribute(of.cls, name)
    if isinstance(of, Bound):
        return UNKNOWN
    try:
        return _seen(getattr(of, name))
    except AttributeError:
        if not isinstance(of, ModuleType):
            raise Absent(f"{_called(of)} has no {name}") from None
    try:
        return importlib.import_module(f"{of.__name__}.{name}")
    except ImportError:
        raise Absent(f"{of.__name__} has no {name}") from None


def _seen(found: Any) -> Any:
    """An object as some object of its class: its properties might ask the driver, and are not looked at."""
    return found if isinstance(found, ModuleType) or callable(found) else Instance(type(found))


def _attribute(cls: type, name: str) -> Any:
    found = inspect.getattr_static(cls, name, UNKNOWN)
    if isinstance(found, property):
        return _result(found.fget, cls) if found.fget else UNKNOWN
    if isinstance(found, classmethod | staticmethod):
        return getattr(cls, name)
    if inspect.isroutine(found):
        return Bound(found, cls)
    if found is UNKNOWN and not hasattr(cls, "__getattr__") and name not in _own(cls):
        raise Absent(f"{_called(cls)} has no {name}")
    return UNKNOWN


@cache
def _own(cls: type) -> frozenset[str]:
    """What the methods of a class set on their object; all that can be known of these is that they are."""
    names: set[str] = set()
    for base in cls.__mro__:
        names.update(getattr(base, "__annotations__", {}))
        try:
            names.update(re.findall(r"\bself\.(\w+)", inspect.getsource(base)))
        except (OSError, TypeError):
            continue
    return frozenset(names)


def call(function: Any, positional: int, keywords: Iterable[str], more: bool) -> Any:
    """What a call returns, as far as that is known.

    Parameters
    ----------
    positional, keywords
        How many arguments by place, and which by name.
    more
        Whether there are others, unpacked, of which neither is known.

    Raises
    ------
    Misfit
        When the arguments cannot fit.
    """
    target, owner = (function.function, function.owner) if isinstance(function, Bound) else (function, None)
    if not callable(target):
        raise Misfit(f"{_called(target)} is not callable")
    try:
        signature = inspect.signature(target)
    except (ValueError, TypeError):
        signature = None  # of compiled code that tells none
    if signature is not None:
        bind: Callable[..., Any] = signature.bind_partial if more else signature.bind
        # The compiler itself gives an intrinsic of numba its first argument, as an object a method's.
        given = owner is not None or type(target).__name__ == "_Intrinsic"
        places = [object()] * (positional + given)
        try:
            bind(*places, **dict.fromkeys(keywords))
        except TypeError as exc:
            raise Misfit(f"{_called(target)}{signature}: {exc}") from exc
    return Instance(target) if inspect.isclass(target) else _result(target, owner)


def _result(function: Any, owner: type | None) -> Any:
    """An instance of what a function says it returns, when that is a class at hand."""
    function = inspect.unwrap(function)
    said = getattr(function, "__annotations__", {}).get("return")
    if said == "Self" and owner is not None:
        return Instance(owner)
    if isinstance(said, str):
        said = getattr(function, "__globals__", {}).get(said)
    return Instance(said) if inspect.isclass(said) and said.__module__ != "builtins" else UNKNOWN


def _called(thing: Any) -> str:
    return f"{getattr(thing, '__module__', '')}.{getattr(thing, '__qualname__', thing)}".lstrip(".")
