"""One seed per axis: the weights of layer 3 under seed 0 do not depend on the split of the nodes, or the reverse."""

from __future__ import annotations

import hashlib


def derive(*axis: str | int) -> int:
    """A 63-bit seed for a named axis, such as ``derive("weights", seed, layer)``; the same on every machine."""
    text = "/".join(str(part) for part in axis)
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1
