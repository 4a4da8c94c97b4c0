"""Facts, hits, briefings and projects as lines for people."""

from collections.abc import Iterator

from msgspec import structs

from cortex.cli import trust
from cortex.cli.listing import details
from cortex.cli.terminal import Screen, Spans, block, cells, one_line, printable
from cortex.ids import short
from cortex.memory.model import Fact, Receipt, Span, StoredFact
from cortex.memory.recall import Briefing, age
from cortex.memory.search import Hit
from cortex.ops.facts import StoredFacts
from cortex.ops.projects import Projects, ProjectSummary
from cortex.ops.search import SearchResult
from cortex.ops.views import FactHistory, FactPage, FactView
from cortex.plurals import counted

_QUOTED = "  | "
_CONTENT_CELLS_MIN = 20
_BEGINNING_CHARS = 100


def line(fact: Fact, screen: Screen, before: str = "", content: Spans | None = None) -> str:
    """A fact on one line: `7f3a9c2e  billing  decision  Invoices are sent on the 3rd  (claude-code, 2d)`."""
    head = f"{before}{short(fact.id)}  {one_line(fact.project)}  {one_line(fact.type)}  "
    retracted = ", retracted" if fact.retired_at is not None else ""
    if fact.verdict != "none":
        retracted += f", {fact.verdict}{' (resolved)' if fact.resolved else ''}"
    tail = f"  ({one_line(fact.actor)}, {age(fact.recorded_at, screen.now)}{retracted})"
    spans = content or [(one_line(fact.content), False)]
    room = None if screen.width is None else screen.width - cells(head) - cells(tail)
    if room is not None and room >= _CONTENT_CELLS_MIN:
        return head + Screen(room, screen.color, screen.now).line(spans) + tail
    return screen.line([(head, False), *spans, (tail, False)])


def stored(fact: StoredFact, screen: Screen) -> Iterator[str]:
    yield line(fact, screen, "already there  " if fact.duplicate else "stored  ")
    yield from near(fact.similar_to, fact.contradicts)


def near(similar_to: list[str], contradicts: list[str], indent: str = "  ") -> Iterator[str]:
    """What stands near a fact, below its line."""
    if similar_to:
        yield f"{indent}similar to {', '.join(map(short, similar_to))}"
    if contradicts:
        yield f"{indent}in the same slot as {', '.join(map(short, contradicts))}, and says otherwise"


def stored_batch(batch: StoredFacts, screen: Screen) -> Iterator[str]:
    for fact in batch.facts:
        yield from stored(fact, screen)
    yield f"{batch.stored} stored, {batch.duplicates} already there"


def changed(fact: Fact, screen: Screen) -> Iterator[str]:
    yield line(fact, screen, "" if fact.retired_at is not None else f"revision {fact.revision}  ")


def view(fact: FactView, screen: Screen) -> Iterator[str]:
    """One fact in full."""
    yield line(fact, screen, content=[(f"revision {fact.revision}", False)])
    yield from block(fact.content, _QUOTED)
    yield from details(_details(fact))
    yield from _votes(fact, screen)
    if fact.revisions:
        yield "revisions:"
        yield from _revisions(fact.revisions, screen)
    if fact.slot:
        yield f"values of {one_line(fact.key or '')}:"
        yield from _slot(fact.slot, screen)


def _votes(fact: FactView, screen: Screen) -> Iterator[str]:
    """Where the fact stands by its votes, what is missing, and each vote with what it weighs."""
    if not fact.votes and fact.verdict == "none":
        return
    settled = " (resolved)" if fact.resolved else ""
    yield f"votes: score {fact.consensus_score:.2f}, verdict {fact.verdict}{settled}"
    if fact.resolution is not None:
        yield from trust.word(fact.resolution, screen)
    if fact.missing:
        yield f"still missing: {'; '.join(fact.missing)}"
    yield from trust.vote_lines(fact.votes, screen)


def page(found: FactPage, screen: Screen) -> Iterator[str]:
    for fact in found.facts:
        yield line(fact, screen)
    if not found.facts:
        yield "no facts"
    if found.next is not None:
        yield f"more: --cursor {found.next}"


def history(found: FactHistory, screen: Screen) -> Iterator[str]:
    yield from _revisions(found.revisions, screen)
    if found.slot:
        yield "values of the slot:"
        yield from _slot(found.slot, screen)


def found(result: SearchResult, screen: Screen) -> Iterator[str]:
    """Hits, best first, with where the words were found."""
    for hit in result.hits:
        yield from _hit(hit, screen)
    if not result.hits:
        words = f" for {one_line(', '.join(result.terms))}" if result.terms else ""
        ignored = f" (left out: {one_line(', '.join(result.ignored))})" if result.ignored else ""
        yield f"nothing found{words}{ignored}"
    for note in result.notes:
        yield f"note: {one_line(note)}"
    if result.pending:
        yield f"note: not embedded yet, and found by words only: {counted(result.pending, 'fact')}"


def briefing(brief: Briefing, screen: Screen) -> Iterator[str]:
    yield from block(brief.text, "")


def receipt(made: Receipt, screen: Screen) -> Iterator[str]:
    yield f"{made.state}  {short(made.id)}  revisions: {made.revisions}, ledger entry: {made.entry}"
    if made.residue:
        yield f"  samples of the text still found in the raw files: {made.residue}"
    yield f"  {one_line(made.note)}"


def projects(listed: Projects, screen: Screen) -> Iterator[str]:
    for summary in listed.projects:
        mark = "* " if summary.name == listed.current else "  "
        yield mark + _project(summary, screen)
    if not any(summary.name == listed.current for summary in listed.projects):
        yield f"* {one_line(listed.current)}  facts: 0"


def project(summary: ProjectSummary, screen: Screen) -> Iterator[str]:
    yield _project(summary, screen)


def _project(summary: ProjectSummary, screen: Screen) -> str:
    changed_at = f"  changed {age(summary.changed_at, screen.now)} ago" if summary.changed_at else ""
    return f"{one_line(summary.name)}  facts: {summary.facts}{changed_at}"


def _details(fact: FactView) -> list[tuple[str, str]]:
    validity = fact.valid_from + (f" to {fact.valid_until}" if fact.valid_until else "")
    return [
        ("id", fact.id),
        ("confidence", fact.confidence),
        *((name, value) for name in ("key", "source", "thread") if (value := getattr(fact, name)) is not None),
        *((("seq", str(fact.seq)),) if fact.seq is not None else ()),
        *((("tags", ", ".join(fact.tags)),) if fact.tags else ()),
        *((name, str(value)) for name, value in (("meta", fact.meta),) if value is not None),
        ("valid from", validity),
        ("recorded", f"{fact.recorded_at} by {fact.actor}"),
        *((("retracted", fact.retired_at),) if fact.retired_at is not None else ()),
        ("ledger", f"{fact.entry.origin} entry {fact.entry.idx}"),
        ("digest", fact.entry.digest),
        *((("similar to", ", ".join(map(short, fact.similar_to))),) if fact.similar_to else ()),
        *((("contradicts", ", ".join(map(short, fact.contradicts))),) if fact.contradicts else ()),
    ]


def _revisions(revisions: list[Fact], screen: Screen) -> Iterator[str]:
    for fact in revisions:
        # All but the last were ended by the one after them; only the last one can have been retracted.
        current = structs.replace(fact, retired_at=None) if fact is not revisions[-1] else fact
        yield line(current, screen, f"  r{fact.revision}  ")


def _slot(slot: list[Span], screen: Screen) -> Iterator[str]:
    for span in slot:
        times = f"  from {span.since}{f' to {span.until}' if span.until else ''}  "
        yield screen.line([(times, False), (one_line(span.content), False), (f"  ({short(span.id)})", False)])


def _hit(hit: Hit, screen: Screen) -> Iterator[str]:
    marked = _marked(hit)
    # Where the snippet is the whole fact, its matches are marked in the line itself.
    whole = one_line(hit.snippet) == one_line(hit.fact.content)
    yield line(hit.fact, screen, content=marked if whole else [(_beginning(hit.fact.content), False)])
    if not whole:
        yield screen.line([("    ", False), *marked])
    yield from near(hit.similar_to, [], "    ")
    for reason in hit.explain:
        yield f"    {one_line(reason.list)}: place {reason.rank}, score {reason.score:g}"
    for turn in hit.context:
        yield line(turn, screen, f"    {turn.seq}  " if turn.seq is not None else "    ")


def _beginning(content: str) -> str:
    """The first words of a text whose snippet says more."""
    flat = one_line(content[: 2 * _BEGINNING_CHARS])
    return flat if len(content) <= _BEGINNING_CHARS else f"{flat[:_BEGINNING_CHARS].rstrip()}…"


def _marked(hit: Hit) -> Spans:
    spans: Spans = []
    done = 0
    for start, end in hit.highlights:
        spans += [(printable(hit.snippet[done:start]), False), (printable(hit.snippet[start:end]), True)]
        done = end
    return [*spans, (printable(hit.snippet[done:]), False)]
