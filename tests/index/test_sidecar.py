"""The graph of vectors beside the file: it answers as without it, and is only ever used as it was made here."""

import math
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import settings
from test_vectors import Searching

from cortex import limits, maintenance
from cortex.db.connect import Tx
from cortex.embed.stub import WordEmbedder
from cortex.index import sidecar
from cortex.index.vector_rows import PASSAGE, WINDOW
from cortex.index.vectors import VectorIndex
from cortex.ops.doctor import Check, Diagnose
from cortex.ops.facts import ForgetFact, NewFact, RetractFact, StoreFacts
from cortex.ops.node import Backup, Reindex
from cortex.progress import silent
from embedders import contents, embed, meant
from opened import Clock, Memory

WORDS = ("red", "green", "blue", "boat", "car", "river", "tree", "house")
FROM = 200

Opening = Callable[..., Memory]

posix = pytest.mark.skipif(os.name != "posix", reason="needs POSIX files")


class SearchingByGraph(Searching):
    """Facts come, change and go beside a graph that names few candidates; what a search finds is right all the same."""

    bounds = {"LIST_DEPTH": 2, "CANDIDATES_MIN": 3, "EXACT_MAX": 2, "SEGMENT_VECTORS": 4, "SIDECAR_CANDIDATES_MIN": 3}

    def __init__(self) -> None:
        super().__init__()
        path, home = self.memory.path, self.memory.home
        self.memory.close()
        self.memory = Memory(path, home, self.clock, embedder=self.embedder, vectors_sidecar_from=4)


TestSearchingByGraph = SearchingByGraph.TestCase
TestSearchingByGraph.settings = settings(max_examples=15, stateful_step_count=25)


@pytest.fixture
def memory(opening: Opening) -> Memory:
    """An open memory that makes a graph from FROM vectors on, when it embeds."""
    return resting(opening(embedder=WordEmbedder(64), vectors_sidecar_from=FROM))


def resting(memory: Memory) -> Memory:
    """A memory whose thread makes no graph, so that a test knows when one is made."""
    memory.app.context.meaning._building._rests_until = math.inf
    return memory


@pytest.fixture
def shared_folder() -> Iterator[Path]:
    """A folder that another user can reach: those of pytest are closed to others."""
    folder = Path(tempfile.mkdtemp(prefix="cortex-test-"))
    folder.chmod(0o755)
    yield folder
    folder.chmod(0o755)
    shutil.rmtree(folder)


def fill(memory: Memory, count: int, start: int = 0, **fields: object) -> list[str]:
    """Store facts of which many are near each other. Returns their ids."""
    given = [f"{WORDS[n % 8]} {WORDS[n % 7]} {WORDS[n % 5]} number{n}" for n in range(start, start + count)]
    facts = [NewFact(content=content, **fields) for content in given]  # type: ignore[arg-type]
    return [fact.id for fact in memory.call(StoreFacts(facts=facts)).facts]


def graph(memory: Memory, kind: int = PASSAGE) -> Path:
    """Where the graph of a memory lies."""
    return sidecar.place(memory.path, kind)


def index(memory: Memory) -> VectorIndex:
    """What a memory holds of its vectors, brought up to date."""
    meant(memory, "red", all_projects=True)
    held = memory.app.context.meaning._index
    assert held is not None
    return held


def used(memory: Memory, kind: int = PASSAGE) -> sidecar.Sidecar | None:
    """The graph that searches ask."""
    graphs = index(memory)._sidecars
    assert graphs is not None
    return graphs.get(kind)


def covered(memory: Memory, kind: int = PASSAGE) -> int:
    """How many vectors that graph has; 0 without one."""
    found = used(memory, kind)
    return 0 if found is None else found.entry.vectors


def beside(memory: Memory) -> list[str]:
    """The names of what lies beside a memory because of its graphs."""
    return sorted(path.name for path in memory.path.parent.iterdir() if ".hnsw" in path.name)


def check(memory: Memory) -> Check:
    """What the doctor says of the graphs."""
    return next(one for one in memory.call(Diagnose()).checks if one.name == "vector graphs")


def answers(memory: Memory) -> list[list[tuple[str, float]]]:
    """What several searches find."""
    queries = ("red boat", "number7", "blue car number12", "a house by the river", "nothing")
    results = [meant(memory, query, top_k=20, all_projects=True) for query in queries]
    return [[(hit.fact.id, hit.score) for hit in result.hits] for result in results]


def built(memory: Memory, kind: int = PASSAGE) -> sidecar.Build:
    """A graph of what the memory holds now, complete, but not published."""

    def source(tx: Tx) -> sidecar.Material | None:
        return opened.sidecar_source(tx, kind)

    opened = VectorIndex("words-1/64", sidecar.Sidecars(memory.path, 1))
    found = memory._runner.run(memory.app.context.database.read(source))
    assert found is not None
    build = sidecar.Build(memory.path, found)
    while build.step():
        pass
    return build


def published(memory: Memory, build: sidecar.Build) -> bool:
    return memory._runner.run(memory.app.context.database.write(build.publish))


def test_searches_with_a_graph_find_what_they_find_without_one(
    opening: Opening, memory: Memory, monkeypatch: pytest.MonkeyPatch
) -> None:
    for bound in ("CANDIDATES_MIN", "SHORTLIST_MIN"):
        monkeypatch.setattr(limits, bound, 400)  # then every candidate is scored by its vector
    fill(memory, 300)
    fill(memory, 80, start=300, project="home")
    embed(memory)

    without = opening(embedder=WordEmbedder(64), vectors_sidecar_from=0)

    assert (380, None) == (covered(memory), used(without))
    assert answers(without) == answers(memory)


def test_most_of_the_nearest_are_found_where_a_graph_names_few(
    opening: Opening, monkeypatch: pytest.MonkeyPatch
) -> None:
    memory = opening(embedder=WordEmbedder(384), vectors_sidecar_from=FROM)
    monkeypatch.setattr(limits, "SIDECAR_CANDIDATES_MIN", 100)
    monkeypatch.setattr(limits, "LIST_DEPTH", 20)
    for start in range(0, 3_000, 1_000):
        fill(memory, 1_000, start=start)
    embed(memory)
    exact = opening(embedder=WordEmbedder(384), vectors_sidecar_from=0)
    monkeypatch.setattr(limits, "CANDIDATES_MIN", 3_000)

    right = sum(
        len({hit.fact.id for hit in meant(memory, query).hits} & {hit.fact.id for hit in meant(exact, query).hits})
        for query in (f"{WORDS[n % 8]} {WORDS[n % 5]} number{n * 31}" for n in range(40))
    )

    assert 3_000 == covered(memory)
    assert right >= 0.9 * 400


def test_below_the_size_and_with_zero_there_is_none(opening: Opening, memory: Memory) -> None:
    fill(memory, FROM - 1)
    embed(memory)
    assert ([], f"none is needed below {FROM} vectors") == (beside(memory), check(memory).found)

    never = opening("never.db", embedder=WordEmbedder(64), vectors_sidecar_from=0)
    fill(never, FROM + 1)
    embed(never)

    assert ([], None, True) == (beside(never), used(never), check(never).ok)
    assert "vectors.sidecar_from is 0" in check(never).found


def test_without_usearch_vectors_are_searched_by_their_bits(opening: Opening, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "usearch", None)
    monkeypatch.setattr(sidecar, "installed", lambda: False)
    memory = opening(embedder=WordEmbedder(64), vectors_sidecar_from=FROM)
    fill(memory, FROM)
    embed(memory)

    hits = meant(memory, "red boat").hits

    assert (10, []) == (len(hits), beside(memory))
    assert (True, True) == (check(memory).ok, "cortex-memory[scale]" in check(memory).found)


def test_a_process_that_only_stores_and_searches_imports_no_usearch(tmp_path: Path) -> None:
    script = (
        "import sys, cortex\n"
        f"with cortex.open({str(tmp_path / 'm.db')!r}) as memory:\n"
        "    memory.store('a red boat')\n"
        "    memory.search('boat', mode='text')\n"
        "    memory.doctor()\n"
        "print([name for name in ('usearch', 'numpy') if name in sys.modules])\n"
    )
    environment = {**os.environ, "HOME": str(tmp_path), "CORTEX_HOME": str(tmp_path)}

    done = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True)

    assert "[]\n" == done.stdout


@posix
def test_the_file_is_its_owners_alone(memory: Memory) -> None:
    before = os.umask(0)
    try:
        fill(memory, FROM)
        embed(memory)
    finally:
        os.umask(before)

    assert ([graph(memory).name], 0o600) == (beside(memory), graph(memory).stat().st_mode & 0o777)


def test_what_is_newer_is_found_at_once_and_taken_in_when_it_is_a_quarter(memory: Memory) -> None:
    fill(memory, 300)
    embed(memory)
    fill(memory, 90, start=300)
    memory.store("a purple submarine")
    embed(memory)
    assert (300, "a purple submarine") == (covered(memory), contents(meant(memory, "purple submarine"))[0])

    fill(memory, 20, start=400)
    embed(memory)

    assert (411, "a purple submarine") == (covered(memory), contents(meant(memory, "purple submarine"))[0])


def test_what_is_retracted_is_found_no_more_though_the_graph_names_it(memory: Memory) -> None:
    ids = fill(memory, 300)
    embed(memory)
    nearest = meant(memory, "red red red number0").hits[0].fact.id

    memory.call(RetractFact(id=nearest))

    assert 300 == covered(memory)
    assert nearest in ids
    assert nearest not in {hit.fact.id for hit in meant(memory, "red red red number0").hits}


def test_a_filter_that_lets_little_through_finds_all_that_there_is(memory: Memory) -> None:
    fill(memory, 400)
    fill(memory, 30, start=400, project="home")
    fill(memory, 250, start=430, project="far")
    embed(memory)

    at_home = meant(memory, "red boat", project="home", top_k=100)
    far = meant(memory, "red boat", project="far", top_k=200)

    assert 680 == covered(memory)
    assert (30, {"home"}) == (len(at_home.hits), {hit.fact.project for hit in at_home.hits})
    assert (200, {"far"}) == (len(far.hits), {hit.fact.project for hit in far.hits})


def test_windows_over_dialogues_have_a_graph_of_their_own(memory: Memory) -> None:
    facts = [NewFact(content=f"{WORDS[n % 8]} turn{n}", thread=f"talk {n // 20}", seq=n) for n in range(300)]
    memory.call(StoreFacts(facts=facts))
    embed(memory)

    hits = meant(memory, "turn41", explain=True).hits

    assert ["memory.db.hnsw-1", "memory.db.hnsw-2"] == beside(memory)
    assert (300, 300) == (covered(memory), covered(memory, WINDOW))
    assert "turn41" in hits[0].fact.content


def test_forgetting_takes_the_file_away_in_every_process_until_it_is_made_anew(memory: Memory) -> None:
    fill(memory, 300)
    secret = memory.store("a purple submarine").id
    embed(memory)
    other = resting(memory.reopen())
    assert (301, 301) == (covered(memory), covered(other))
    signs = signs_of(memory, secret)
    assert signs in graph(memory).read_bytes()

    receipt = memory.call(ForgetFact(id=secret))

    assert "scrubbed" == receipt.state
    assert ([], None, None) == (beside(memory), used(memory), used(other))
    assert "a purple submarine" not in contents(meant(other, "purple submarine"))
    embed(memory)
    assert (300, 300) == (covered(memory), covered(other))
    assert [] == [path.name for path in memory.path.parent.iterdir() if path.is_file() and signs in path.read_bytes()]
    other.close()


def signs_of(memory: Memory, fact_id: str) -> bytes:
    """The signs of a fact's only vector."""
    connection = memory.sql()
    ((codes,),) = connection.execute(
        "SELECT codes FROM vector JOIN revision AS r ON r.id = revision_id WHERE fact_id = ?", (fact_id,)
    ).fetchall()
    connection.close()
    bits = "".join("1" if 0 < code < 128 else "0" for code in codes)
    return int(bits, 2).to_bytes(len(codes) // 8, "big")


def test_a_graph_that_was_being_made_when_a_fact_was_forgotten_never_becomes_the_file(memory: Memory) -> None:
    ids = fill(memory, 300)
    embed(memory)
    memory.call(Reindex())
    half, complete = built(memory), built(memory)
    assert (True, False) == (half.ours, complete.ours)
    assert half.saved()

    memory.call(ForgetFact(id=ids[0]))

    assert (False, False, False) == (half.ours, half.saved(), published(memory, half))
    half.end()
    complete.end()
    assert [] == beside(memory)


def test_a_forgotten_fact_stops_a_graph_that_was_saved_before_and_comes_after(memory: Memory) -> None:
    ids = fill(memory, 300)
    embed(memory)
    memory.call(Reindex())
    build = built(memory)
    memory.call(ForgetFact(id=ids[0]))
    again = built(memory)
    assert again.saved()

    # As if it had been written in the moment after the file was taken away.
    build._identity, build._claimed = again._identity, True

    assert not published(memory, build)
    assert published(memory, again)
    assert 299 == covered(memory)


def test_of_two_that_make_a_graph_one_goes_on_and_a_dead_one_is_relieved(memory: Memory) -> None:
    fill(memory, 300)
    embed(memory)
    memory.call(Reindex())
    first = built(memory)

    second = built(memory)
    os.utime(memory.path.with_name(beside(memory)[0]), (1, 1))
    third = built(memory)

    assert (False, False, True) == (first.ours, second.ours, third.ours)
    assert (False, False, True) == (first.saved(), second.saved(), third.saved())
    first.end()
    assert published(memory, third)
    assert [graph(memory).name] == beside(memory)


def test_making_one_can_be_stopped_and_leaves_nothing(memory: Memory) -> None:
    fill(memory, 300)
    embed(memory)
    memory.call(Reindex())

    made = memory._runner.run(memory.app.context.meaning._building.run(lambda: True, silent))

    assert (0, []) == (made, beside(memory))


def cut(path: Path) -> None:
    with path.open("rb+") as file:
        file.truncate(path.stat().st_size // 2)


def altered(path: Path) -> None:
    at = path.stat()
    with path.open("rb+") as file:
        file.seek(at.st_size // 2)
        byte = file.read(1)[0]
        file.seek(at.st_size // 2)
        file.write(bytes([byte ^ 0xFF]))
    os.utime(path, ns=(at.st_atime_ns, at.st_mtime_ns))


def copied(path: Path) -> None:
    shutil.copy2(path, path.with_name("copy"))
    path.with_name("copy").replace(path)


def emptied(path: Path) -> None:
    path.write_bytes(b"")


def taken(path: Path) -> None:
    path.unlink()


def linked(path: Path) -> None:
    path.rename(path.with_name("elsewhere"))
    path.symlink_to(path.with_name("elsewhere"))


@pytest.mark.parametrize("harm", [cut, altered, copied, emptied, taken, linked], ids=lambda harm: harm.__name__)
def test_a_file_that_is_not_what_was_made_is_told_never_opened_and_made_anew(
    opening: Opening, memory: Memory, harm: Callable[[Path], None]
) -> None:
    fill(memory, 300)
    embed(memory)
    right = answers(memory)
    memory.close()
    harm(graph(memory))

    again = resting(opening(embedder=WordEmbedder(64), vectors_sidecar_from=FROM))
    told = check(again)

    assert (False, True) == (told.ok, str(graph(memory)) in told.found)
    assert "cortex embed" in told.hint
    assert (right, None) == (answers(again), used(again))
    assert {PASSAGE} == set(index(again)._sidecars.told)  # type: ignore[union-attr]
    embed(again)
    assert (300, right, True) == (covered(again), answers(again), check(again).ok)


def test_bytes_that_changed_below_the_file_system_are_noticed(memory: Memory) -> None:
    fill(memory, 300)
    embed(memory)
    known = used(memory)
    assert known is not None
    wrong = sidecar.Known(**{**known.entry.__dict__, "digest": bytes(16)})

    with pytest.raises(sidecar.Corrupt, match="was changed"):
        sidecar.opened(graph(memory), wrong, 64)


def test_reindexing_takes_it_away_and_a_process_that_stays_makes_it_anew(memory: Memory) -> None:
    fill(memory, 300)
    embed(memory)

    memory.call(Reindex())

    assert ([], None) == (beside(memory), used(memory))
    embed(memory)
    assert 300 == covered(memory)


def test_vectors_made_anew_void_it(memory: Memory) -> None:
    fill(memory, 300)
    embed(memory)
    before = used(memory)
    assert before is not None

    embed(memory, anew=True)

    now = used(memory)
    assert now is not None
    assert (300, True) == (covered(memory), now.entry.last_id > before.entry.last_id)


def test_a_backup_has_no_graph_and_restoring_takes_it_away(memory: Memory, tmp_path: Path) -> None:
    fill(memory, 300)
    embed(memory)
    target = tmp_path / "backup" / "copy.db"
    target.parent.mkdir()
    memory.call(Backup(target=str(target)))
    fill(memory, 100, start=300)
    embed(memory)
    assert [target] == list(target.parent.iterdir())

    maintenance.restore(memory.app.context.settings, target, silent)

    assert ([], None) == (beside(memory), used(memory))
    embed(memory)
    assert 300 == covered(memory)


def test_the_background_makes_it_after_embedding(opening: Opening) -> None:
    memory = opening(embedder=WordEmbedder(64), vectors_sidecar_from=FROM)
    fill(memory, 300)
    embed(memory)
    memory.call(Reindex())
    building = memory.app.context.meaning._building

    building.begin()
    thread = building._worker._thread
    while building._rests_until == 0.0:
        assert thread is not None
        thread.join(0.01)

    assert 300 == covered(memory)


READS = """
import asyncio, os, sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from cortex.embed.stub import WordEmbedder
from embedders import contents, meant
from opened import Clock, Memory
from cortex.db import migrate
from cortex.index import vectors

known = migrate.shipped()  # read while this may be read
migrate.shipped = lambda: known
if os.geteuid() == 0:
    os.setgroups([])
    os.setgid(65534)
    os.setuid(65534)
path = Path(sys.argv[1])
memory = Memory(path, path.parent, Clock(), embedder=WordEmbedder(64), vectors_sidecar_from=200)
print(contents(meant(memory, "purple submarine"))[0])
print(memory.app.context.meaning._index._sidecars.get(1))
memory.close()
"""


@posix
def test_in_a_folder_that_is_read_only_it_is_not_used_and_that_is_no_error(shared_folder: Path) -> None:
    with Memory(
        shared_folder / "m.db", shared_folder, Clock(), embedder=WordEmbedder(64), vectors_sidecar_from=200
    ) as m:
        fill(m, 300)
        m.store("a purple submarine")
        embed(m)
    m.path.chmod(0o444)
    shared_folder.chmod(0o555)

    done = subprocess.run(
        [sys.executable, "-c", READS, str(m.path), str(Path(__file__).parent.parent)],
        capture_output=True,
        text=True,
        check=False,
    )
    shared_folder.chmod(0o755)

    assert ("", "a purple submarine\nNone\n") == (done.stderr, done.stdout)
