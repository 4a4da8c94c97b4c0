"""Identifiers: UUIDs of RFC 9562. In a version 7 the first 48 bits are the time in milliseconds."""

import hashlib
import itertools
import os


def uuid7(at_us: int, random: bytes | None = None) -> str:
    """A UUIDv7 of the instant `at_us` (microseconds since the Unix epoch) in its 36-character form."""
    noise = int.from_bytes(random if random is not None else os.urandom(10), "big")
    value = (at_us // 1000 & (1 << 48) - 1) << 80 | 7 << 76 | (noise >> 68 & 0xFFF) << 64
    value |= 0b10 << 62 | noise & (1 << 62) - 1
    return dashed(f"{value:032x}")


def uuid8(name: str) -> str:
    """The UUIDv8 that stands for `name`: from its SHA-256, so the same name has the same one everywhere."""
    value = int.from_bytes(hashlib.sha256(name.encode()).digest()[:16], "big")
    value = value & ~(0xF << 76) & ~(0b11 << 62) | 8 << 76 | 0b10 << 62
    return dashed(f"{value:032x}")


def dashed(digits: str) -> str:
    """32 hex digits, or a prefix of them, with the dashes of a UUID."""
    cuts = (0, 8, 12, 16, 20, 32)
    return "-".join(part for part in (digits[a:b] for a, b in itertools.pairwise(cuts)) if part)


def plain(identifier: str) -> str:
    """The hex digits of an id, lower case, without dashes."""
    return identifier.replace("-", "").lower()


def short(identifier: str) -> str:
    """How people see an id: its last eight hex digits (a UUIDv7 begins with the time, so prefixes barely differ)."""
    return plain(identifier)[-8:]
