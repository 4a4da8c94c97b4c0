"""Cortex: memory that AI agents share and anyone can check.

    async with cortex.Cortex("memory.db") as memory:
        fact = await memory.store("Invoices are sent on the 3rd", project="billing")
        hits = await memory.search("when do invoices go out", project="billing")

`cortex.open(...)` is the same for scripts and notebooks, without await. Names load when first used, so that importing
the package costs nothing.
"""

import importlib
from typing import TYPE_CHECKING, Any

from cortex._version import __version__
from cortex.errors import (
    Conflict,
    Corrupt,
    CortexError,
    Forbidden,
    Internal,
    Invalid,
    NotFound,
    RateLimited,
    RevisionConflict,
    TooLarge,
    Unauthenticated,
    Unavailable,
)

if TYPE_CHECKING:
    from cortex.api import Cortex, open  # noqa: A004 - `cortex.open` reads as it should

__all__ = [
    "Conflict",
    "Corrupt",
    "Cortex",
    "CortexError",
    "Forbidden",
    "Internal",
    "Invalid",
    "NotFound",
    "RateLimited",
    "RevisionConflict",
    "TooLarge",
    "Unauthenticated",
    "Unavailable",
    "__version__",
    "open",
]


def __getattr__(name: str) -> Any:
    if name in {"Cortex", "open"}:
        return getattr(importlib.import_module("cortex.api"), name)
    raise AttributeError(f"module 'cortex' has no attribute {name!r}")
