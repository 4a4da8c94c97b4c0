"""A process that does what it is told, line by line, and answers each line with one of JSON.

    retrieving_child.py FILE HOME

A line is `store TEXT`, `revise ID TEXT`, `retract ID`, `forget ID`, `embed`, `text QUERY` or `semantic QUERY`.
"""

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent))

from cortex.embed.stub import WordEmbedder
from cortex.ops.facts import ForgetFact, RetractFact, ReviseFact
from cortex.ops.search import SearchFacts
from embedders import contents, embed
from opened import Clock, Memory


class Other:
    """Such a process, talked to."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self.process = process

    def __call__(self, *words: str) -> Any:
        """Tell it something; its answer."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(" ".join(words) + "\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())


@contextmanager
def other_process(path: Path, home: Path) -> Iterator[Other]:
    """Such a process on a file; ended in the end."""
    process = subprocess.Popen(
        [sys.executable, __file__, path, home],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={"PYTHONDONTWRITEBYTECODE": "1"},
    )
    try:
        yield Other(process)
        _, _ = process.communicate(timeout=30)
        assert 0 == process.returncode
    finally:
        if process.poll() is None:
            process.kill()
            process.communicate()


def _done(memory: Memory, what: str, rest: str) -> Any:
    match what:
        case "store":
            return memory.store(rest).id
        case "revise":
            fact_id, _, content = rest.partition(" ")
            return memory.call(ReviseFact(id=fact_id, content=content)).revision
        case "retract":
            return memory.call(RetractFact(id=rest)).id
        case "forget":
            return memory.call(ForgetFact(id=rest)).state
        case "embed":
            return embed(memory).pending
        case "text" | "semantic" as mode:
            return contents(memory.call(SearchFacts(query=rest, mode=mode)))
        case _:
            raise ValueError(what)


def main() -> None:
    """Live until standard input ends."""
    path, home = map(Path, sys.argv[1:])
    with Memory(path, home, Clock(), embedder=WordEmbedder(64)) as memory:
        for line in sys.stdin:
            what, _, rest = line.rstrip("\n").partition(" ")
            print(json.dumps(_done(memory, what, rest)), flush=True)


if __name__ == "__main__":
    main()
