"""The policies there are: ours, those that installed packages add, and one that the user names."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from functools import cache
from importlib import import_module
from importlib.metadata import entry_points
from typing import Any, ClassVar

from orchestrator.policies.base import Policy, WaitClass
from schemas import codec
from schemas.errors import SettingsError

ENTRY_POINTS = "tapestream.policies"


class Spread(Policy):
    """The built-in policy, but on the emptiest device: less sharing, more of them warm."""

    name: ClassVar[str] = "spread"
    packs: ClassVar[bool] = False


BUILTIN: tuple[type[Policy], ...] = (Policy, Spread)


@cache
def policies() -> Mapping[str, type[Policy]]:
    """By name; a policy of an installed package goes before ours of the same name."""
    added = [_checked(entry.load(), entry.value) for entry in entry_points(group=ENTRY_POINTS)]
    return {policy.name: policy for policy in (*BUILTIN, *added)}


def named_policy(name: str, options: Mapping[str, Any] | None = None) -> Policy:
    """A policy by its name, or by ``module:Class``, with values of its fields.

    Raises
    ------
    SettingsError
        When there is none, or it has no such option.
    """
    kind = _imported(name) if ":" in name else policies().get(name)
    if kind is None:
        raise SettingsError(
            f"no policy is called {name!r}", f"one of {', '.join(policies())}, or module:Class"
        )
    given = dict(options or {})
    if "classes" in given:
        given["classes"] = tuple(WaitClass(**row) for row in given["classes"])
    try:
        return kind(**given)
    except TypeError as exc:
        raise SettingsError(f"policy {name}: {exc}", "its options are the fields of its class") from exc


def options_of(policy: Policy) -> str:
    """A policy's fields as JSON text, as ``policy_changed`` carries them."""
    return codec.dumps(asdict(policy)).decode()


def recorded_policy(label: str, options: str) -> Policy:
    """The policy that the log names.

    Raises
    ------
    SettingsError
        When this installation has none of that name and version.
    """
    name, _, version = label.rpartition("/")
    policy = named_policy(name, codec.loads(options) if options else None)
    if policy.version != version:
        raise SettingsError(
            f"the log was decided by {label}, here is version {policy.version}",
            "install the version that decided, or name another with --policy",
        )
    return policy


def _imported(address: str) -> type[Policy]:
    module, _, attribute = address.partition(":")
    try:
        found = getattr(import_module(module), attribute)
    except (ImportError, AttributeError, ValueError) as exc:
        raise SettingsError(f"policy {address}: {exc}", "name an importable class as module:Class") from exc
    return _checked(found, address)


def _checked(found: Any, address: str) -> type[Policy]:
    if isinstance(found, type) and issubclass(found, Policy):
        return found
    raise SettingsError(f"policy {address} is no policy", "derive it from orchestrator.policies.Policy")
