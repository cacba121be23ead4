"""Ports of this machine, and whether somebody answers there."""

from __future__ import annotations

import socket
import urllib.request


def free_port(host: str = "127.0.0.1") -> int:
    """A port on which nobody listens at the moment."""
    with socket.create_server((host, 0)) as listener:
        return int(listener.getsockname()[1])


def answers(address: str) -> bool:
    """Whether a server answers at an address of http."""
    try:
        with urllib.request.urlopen(address, timeout=5) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False
