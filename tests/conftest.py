"""Fixtures that every folder of tests may use."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

from opened import Clock, Memory

# A loaded machine is slow at times; that is no fault of the code under test.
settings.register_profile("cortex", deadline=None)
settings.load_profile("cortex")

Opening = Callable[..., Memory]


@pytest.fixture
def clock() -> Clock:
    """The clock of the memories of a test."""
    return Clock()


@pytest.fixture
def opening(tmp_path: Path, clock: Clock) -> Iterator[Opening]:
    """Opens memories in the test's own folder, and closes them."""
    with ExitStack() as stack:

        def opened(name: str = "memory.db", **options: Any) -> Memory:
            return stack.enter_context(Memory(tmp_path / name, tmp_path / "home", clock, **options))

        yield opened


@pytest.fixture
def memory(opening: Opening) -> Memory:
    """An open memory with a clock that the test moves: `memory.clock`."""
    return opening()
