"""The commands: decided changes as plain data, applied the same way on every machine and on replay."""

from typing import ClassVar

from msgspec import Struct

from cortex import limits
from cortex.db.connect import Tx, integer
from cortex.errors import CortexError
from cortex.ledger.chain import Appending
from cortex.memory import facts, imports, likeness, projects
from cortex.memory.model import Decided, Fact, StoredFact, stored
from cortex.memory.visibility import View
from cortex.ops.journal import Command
from cortex.ops.registry import Order


class FactsStored(Command[list[StoredFact]], frozen=True, kw_only=True, tag="facts_stored"):
    """Facts of one request: all are kept, or none."""

    order: ClassVar[Order] = "gossip"

    facts: tuple[Decided, ...]

    def apply(self, tx: Tx, log: Appending) -> list[StoredFact]:
        # A bulk load does not pay for being compared, nor for what others are compared by.
        few = len(self.facts) <= limits.STORED_COMPARED_MAX
        kept = []
        for number, new in enumerate(self.facts):
            try:
                kept.append(facts.insert(tx, log, new, marked=few))
            except CortexError as error:
                if len(self.facts) > 1:
                    error.message = f"facts[{number}]: {error.message}"
                raise
        # Once all are there, so that facts of one request are told of each other.
        seen = View(as_of=log.ts) if few else None
        return [
            stored(
                fact,
                duplicate=duplicate,
                similar_to=likeness.similar(tx, fact, seen) if seen else [],
                contradicts=likeness.contradicting(tx, fact) if seen else [],
            )
            for fact, duplicate in kept
        ]


class FactRevised(Command[Fact], frozen=True, kw_only=True, tag="fact_revised"):
    """A fact's content replaced, if it is still at `if_revision`."""

    order: ClassVar[Order] = "gossip"

    new: Decided
    if_revision: int | None

    def apply(self, tx: Tx, log: Appending) -> Fact:
        return facts.revise(tx, log, self.new, self.if_revision)


class FactRetracted(Command[Fact], frozen=True, kw_only=True, tag="fact_retracted"):
    """The belief in a fact ended."""

    order: ClassVar[Order] = "gossip"

    fact_id: str
    if_revision: int | None

    def apply(self, tx: Tx, log: Appending) -> Fact:
        return facts.retract(tx, log, self.fact_id, self.if_revision)


class Erased(Struct, frozen=True, kw_only=True):
    """What an erasure came to."""

    revisions: int
    entry: int
    at: str


class FactErased(Command[Erased], frozen=True, kw_only=True, tag="fact_erased"):
    """Text, salt and index rows of a fact deleted."""

    order: ClassVar[Order] = "gossip"

    fact_id: str

    def apply(self, tx: Tx, log: Appending) -> Erased:
        revisions, placed = facts.erase(tx, log, self.fact_id)
        return Erased(revisions=revisions, entry=placed.idx, at=placed.ts)


class ProjectRenamed(Command[int], frozen=True, kw_only=True, tag="project_renamed"):
    """A project's name changed; returns how many facts it has."""

    order: ClassVar[Order] = "gossip"

    old: str
    new: str

    def apply(self, tx: Tx, log: Appending) -> int:
        projects.rename(tx, log, self.old, self.new)
        return integer(
            tx,
            "SELECT count(*) FROM fact AS f JOIN project AS p ON p.id = f.project_id WHERE p.name = ?"
            " AND f.erased_at IS NULL",
            (self.new,),
        )


class ImportAdvanced(Command[imports.Run], frozen=True, kw_only=True, tag="import_advanced"):
    """The next items of an imported file, and how far the import got: both or neither."""

    order: ClassVar[Order] = "gossip"

    run: imports.Run
    facts: tuple[Decided, ...]

    def apply(self, tx: Tx, log: Appending) -> imports.Run:
        return imports.advance(tx, log, self.run, self.facts)
