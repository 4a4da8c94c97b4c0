"""A process that writes and searches for a while, and ends with an error if a search missed anything.

    searching_child.py FOLDER NAME OTHER SECONDS

What was acknowledged and what is embedded it tells in the file NAME of the folder, line by line, once it is so; before
each search it reads what the process OTHER told in its own.
"""

import random
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from cortex import times
from cortex.embed.stub import WordEmbedder
from cortex.ops.facts import ForgetFact, ReviseFact
from cortex.ops.search import SearchFacts
from embedders import contents, embed
from opened import Clock, Memory

RECENT = 6
# So many that the signs of a vector alone tell a few thousand texts apart: with 64 one in some hundreds is missed.
DIMENSION = 256


class _Running(Clock):
    """The clock on the wall."""

    def __call__(self) -> str:
        return times.now()


class Told:
    """What a process told so far: words in facts, those whose vectors are there, and those that were forgotten."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.stored: list[str] = []
        self.embedded: list[str] = []
        self.gone: list[str] = []
        self._read = 0

    def catch_up(self) -> None:
        """Read what was told since."""
        whole, _, _ = self.path.read_text()[self._read :].rpartition("\n")
        self._read += len(whole) + bool(whole)
        for line in filter(None, whole.split("\n")):
            what, _, word = line.partition(" ")
            if what == "gone":
                self.gone.append(word)
                self.stored = [one for one in self.stored if one != word]
                self.embedded = [one for one in self.embedded if one != word]
            else:
                (self.stored if what == "stored" else self.embedded).append(word)


class Searching:
    """A life of writing and searching."""

    def __init__(self, memory: Memory, folder: Path, name: str, other: str) -> None:
        self.memory, self.name = memory, name
        self.log = (folder / name).open("a", buffering=1)
        self.others = [Told(folder / other), Told(folder / name)]
        self.chance = random.Random(name)
        self.mine: dict[str, str] = {}
        self.searches = 0

    def write(self, number: int) -> None:
        """Store a word of its own, now and then revise or forget one."""
        word = f"{self.name}{number}"
        self.mine[word] = self.memory.store(f"{word} was written by {self.name}").id
        self.tell("stored", word)
        if self.chance.random() < 0.3:
            old, new = self.chance.choice(list(self.mine)), f"{self.name}{number}revised"
            self.tell("gone", old)  # before: a search may begin between
            self.mine[new] = self.mine.pop(old)
            self.memory.call(ReviseFact(id=self.mine[new], content=f"{new} was written by {self.name}"))
            self.tell("stored", new)
        if self.chance.random() < 0.1 and len(self.mine) > 5:
            old = self.chance.choice(list(self.mine))
            self.tell("gone", old)
            self.memory.call(ForgetFact(id=self.mine.pop(old)))
        if self.chance.random() < 0.3:
            there = list(self.mine)
            embed(self.memory)
            for word in there[-3 * RECENT :]:
                self.tell("embedded", word)

    def tell(self, what: str, word: str) -> None:
        """Say that it is so."""
        self.log.write(f"{what} {word}\n")

    def search(self) -> None:
        """Search what was told last, by words and by meaning, and some of it twice."""
        for told in self.others:
            told.catch_up()
            for word in told.stored[-RECENT:]:
                self.look(told, "text", word)
            for word in told.embedded[-RECENT:]:
                self.look(told, "semantic", word)
            for word in told.stored[-2:]:
                self.look(told, "hybrid", word)

    def look(self, told: Told, mode: str, word: str) -> None:
        """One search: the fact with this word is there, and first but where lists are fused, unless it went meanwhile."""
        found = contents(self.memory.call(SearchFacts(query=word, mode=mode)))  # type: ignore[arg-type]
        self.searches += 1
        words = [content.split()[0] for content in found]
        if word not in (words if mode == "hybrid" else words[:1]):
            told.catch_up()
            assert word in told.gone, f"{self.name} did not find {word} ({mode}): {found[:3]}"


def main() -> None:
    """Live for so many seconds."""
    folder, name, other, seconds = Path(sys.argv[1]), *sys.argv[2:]
    embedder = WordEmbedder(DIMENSION)
    with Memory(folder / "memory.db", folder / "home", _Running(times.now()), embedder=embedder) as memory:
        living = Searching(memory, folder, name, other)
        until, number = time.monotonic() + float(seconds), 0
        while time.monotonic() < until:
            living.write(number)
            living.search()
            number += 1
        living.log.close()
        print(number, living.searches)


if __name__ == "__main__":
    main()
