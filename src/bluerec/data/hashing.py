"""Numbers that a name decides: what is drawn by them is the same on every machine, in every order, in every batch."""

from __future__ import annotations

import hashlib


def hash_name(name: str) -> int:
    """64 bits that depend on a name alone."""
    return int.from_bytes(hashlib.blake2b(name.encode(), digest_size=8).digest(), "big")
