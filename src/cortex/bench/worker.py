"""The process that a probe runs in: so that its memory, its caches and its peer are its own.

    python -m cortex.bench.worker '{"probe": "stores", ...}'

It answers with one line of JSON on standard output, and ends when its standard input does: a benchmark that is killed
leaves no process behind.
"""

import importlib
import os
import signal
import sys
import threading
from collections.abc import Callable
from types import MappingProxyType

import msgspec

from cortex.bench.figures import Figure
from cortex.bench.task import Answer, Task
from cortex.errors import CortexError

# Where each probe is. Only the module of the one that runs is imported: a process is measured with what it needs.
_PROBES = MappingProxyType(
    {
        "stores": ("cortex.bench.stores", "probe"),
        "slow disk": ("cortex.bench.slow_disk", "probe"),
        "fill": ("cortex.bench.searches", "fill"),
        "searches": ("cortex.bench.searches", "probe"),
        "integrity": ("cortex.bench.integrity", "probe"),
        "processes": ("cortex.bench.processes", "probe"),
        "write": ("cortex.bench.processes", "write"),
        "version": ("cortex.bench.startup", "version"),
        "mcp": ("cortex.bench.startup", "mcp"),
        "store questions": ("cortex.bench.asking", "store"),
        "embed questions": ("cortex.bench.asking", "embed"),
        "ask questions": ("cortex.bench.asking", "ask"),
        "embedder": ("cortex.bench.vectors", "embedder"),
        "make vectors": ("cortex.bench.vectors", "make"),
        "fill vectors": ("cortex.bench.vectors", "fill"),
        "vectors": ("cortex.bench.vectors", "probe"),
        "meaning": ("cortex.bench.meaning", "probe"),
        "first answer": ("cortex.bench.meaning", "first"),
        "mcp memory": ("cortex.bench.meaning", "served"),
        "graph": ("cortex.bench.graph", "probe"),
        "voting": ("cortex.bench.votes", "probe"),
        "fill votes": ("cortex.bench.vote_files", "fill"),
        "vote integrity": ("cortex.bench.vote_ledger", "verification"),
        "attacks": ("cortex.bench.attacks", "probe"),
        "append votes": ("cortex.bench.vote_ledger", "appending"),
        "trust": ("cortex.bench.trust", "probe"),
        "plot trust": ("cortex.bench.trust_plots", "probe"),
        "peer vectors": ("cortex.bench.peer_vectors", "probe"),
        "peer stores": ("cortex.bench.peers", "stores"),
        "peer searches": ("cortex.bench.peers", "searches"),
    }
)


def main() -> None:
    """Run the probe that the argument names."""
    task = msgspec.json.decode(sys.argv[1], type=Task)
    if task.probe == "write":
        _find(task.probe)(task)
        return
    threading.Thread(target=_end_with_parent, daemon=True).start()
    # What a peer prints must not mix with the answer.
    answering = os.dup(1)
    os.dup2(2, 1)
    try:
        answer = Answer(figures=_find(task.probe)(task))
    except CortexError as error:
        answer = Answer(failed=error.message)
    with os.fdopen(answering, "wb") as out:
        out.write(msgspec.json.encode(answer))


def _find(name: str) -> Callable[[Task], list[Figure]]:
    module, function = _PROBES[name]
    found: Callable[[Task], list[Figure]] = getattr(importlib.import_module(module), function)
    return found


def _end_with_parent() -> None:
    os.read(0, 1)  # nothing is ever written there: this returns when the parent is gone
    if os.name == "posix":
        os.killpg(0, signal.SIGKILL)  # with what this process started
    os._exit(1)


if __name__ == "__main__":
    main()
