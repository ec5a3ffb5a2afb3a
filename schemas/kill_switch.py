"""``ALLOW_GPU_PROCESS_KILL``: whether a process may be ended for the memory that it holds.

Read once at the start of every service that could ask for it or do it.
"""

from __future__ import annotations

from schemas.errors import SettingsError

SWITCH = "ALLOW_GPU_PROCESS_KILL"
ON = frozenset(("1", "true"))
OFF = frozenset(("", "0", "false"))


def kill_allowed(value: str | None) -> bool:
    """Whether processes may be ended, by the value of the variable; None when it is not set.

    Raises
    ------
    SettingsError
        For a value that is neither on nor off: a typing error must not decide over processes.
    """
    if value in ON:
        return True
    if value is None or value in OFF:
        return False
    raise SettingsError(
        f"{SWITCH}={value!r} is neither on nor off", f"unset {SWITCH}, or set it to exactly 1 or true"
    )
