"""How long work tells how far it got."""

from collections.abc import Callable

# done, total (0 when unknown), and what is being counted.
Progress = Callable[[int, int, str], None]


def silent(_done: int, _total: int, _label: str) -> None:
    """Progress that nobody watches."""
