"""Progress of long work, drawn on a terminal and nowhere else."""

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from cortex.cli import terminal
from cortex.progress import Progress, silent

if TYPE_CHECKING:
    from rich.progress import Progress as Bars
    from rich.progress import TaskID


@contextmanager
def watching() -> Iterator[Progress]:
    """A progress callback for as long as the work lasts; silent where nobody watches."""
    if not terminal.is_terminal(sys.stderr):
        yield silent
        return
    drawn = _Drawn()
    try:
        yield drawn.show
    finally:
        drawn.stop()


class _Drawn:
    """One bar for each label, made with the first report: drawing costs start-up time that short work does not pay."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._bars: Bars | None = None
        self._tasks: dict[str, TaskID] = {}

    def show(self, done: int, total: int, label: str) -> None:
        """Draw how far it is; `total` is 0 where that is unknown."""
        with self._lock:
            bars = self._bars or self._start()
            if label not in self._tasks:
                self._tasks[label] = bars.add_task(terminal.one_line(label), total=total or None)
            bars.update(self._tasks[label], completed=done, total=total or None)

    def stop(self) -> None:
        """Leave the last state on the screen."""
        with self._lock:
            if self._bars is not None:
                self._bars.stop()

    def _start(self) -> "Bars":
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
        from rich.progress import Progress as Bars

        label = TextColumn("{task.description}", markup=False)
        self._bars = Bars(label, BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), console=Console(stderr=True))
        self._bars.start()
        return self._bars
