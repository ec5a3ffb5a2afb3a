"""Ports on the loopback address: is one taken, and which ones are free."""

from __future__ import annotations

import random
import socket

LOOPBACK = "127.0.0.1"
# Below what systems hand to outgoing connections: a client that keeps knocking at the port of a broker that
# is down could otherwise be given that very port, connect to itself and keep the broker from coming back.
FREE_PORTS = range(20_000, 32_000)


def is_free(port: int) -> bool:
    """Whether a server could listen on the port now."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
            probe.listen(1)
        except OSError:
            return False
    return True


def free_ports(count: int, chooser: random.Random | None = None) -> list[int]:
    """So many different ports on which nobody listens at the moment."""
    chooser = chooser or random.Random()
    found: list[int] = []
    while len(found) < count:
        port = chooser.choice(FREE_PORTS)
        if port not in found and is_free(port):
            found.append(port)
    return found
