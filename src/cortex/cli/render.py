"""Results for people: a renderer for each type of response that has one, a plain listing for every other."""

from collections.abc import Callable, Iterable
from typing import Any

from msgspec import Struct

from cortex.cli import facts, graph, ledgers, listing, reports, trust, vote_ledgers
from cortex.cli.terminal import Screen
from cortex.ledger.findings import Verification
from cortex.memory.model import Fact, Receipt, StoredFact
from cortex.memory.recall import Briefing
from cortex.ops.admin import AdminChange, AdminStatus
from cortex.ops.agent_changes import AgentChange
from cortex.ops.agents import AgentList, AgentView
from cortex.ops.checking import VotesReport
from cortex.ops.doctor import Diagnosis
from cortex.ops.external import ExternalReport
from cortex.ops.facts import StoredFacts
from cortex.ops.graph import EntityList, EntityPath, Neighbourhood
from cortex.ops.ledger import ExportedLedger, LedgerHead, LedgerHistory, ProofOfFact
from cortex.ops.node import Initialized, Status
from cortex.ops.policies import ClockConfirmed, PolicyView
from cortex.ops.projects import Projects, ProjectSummary
from cortex.ops.resolving import Resolution
from cortex.ops.resubmitting import Resubmitted
from cortex.ops.search import SearchResult
from cortex.ops.submitting import SubmittedEvent
from cortex.ops.transfer import ImportReport
from cortex.ops.views import FactHistory, FactPage, FactView
from cortex.ops.vote_ledger import VoteLogHead
from cortex.ops.vote_records import ExportedVotes, ProofOfVote, VoteExports, VoteHistory
from cortex.ops.votes import CountedVote, CountedVotes, FactVotes

# A renderer answers lines that are printable already: everything that people or models wrote went through `terminal`.
RENDERERS: dict[type[Struct], Callable[[Any, Screen], Iterable[str]]] = {
    StoredFact: facts.stored,
    StoredFacts: facts.stored_batch,
    Fact: facts.changed,
    FactView: facts.view,
    FactPage: facts.page,
    FactHistory: facts.history,
    SearchResult: facts.found,
    Briefing: facts.briefing,
    Receipt: facts.receipt,
    EntityList: graph.entities,
    Neighbourhood: graph.neighbourhood,
    EntityPath: graph.path,
    Projects: facts.projects,
    ProjectSummary: facts.project,
    Status: reports.status,
    Diagnosis: reports.diagnosis,
    ImportReport: reports.imported,
    Verification: ledgers.verification,
    Initialized: ledgers.begun,
    LedgerHead: ledgers.head,
    ProofOfFact: ledgers.proof,
    ExportedLedger: ledgers.exported,
    LedgerHistory: ledgers.history,
    ExternalReport: ledgers.external,
    VotesReport: vote_ledgers.verification,
    VoteLogHead: vote_ledgers.head,
    ProofOfVote: vote_ledgers.proof,
    ExportedVotes: vote_ledgers.exported,
    VoteExports: vote_ledgers.exports,
    VoteHistory: vote_ledgers.history,
    Resubmitted: vote_ledgers.resubmitted,
    CountedVote: trust.counted,
    CountedVotes: trust.counted_batch,
    FactVotes: trust.votes,
    Resolution: trust.resolution,
    AgentList: trust.agents,
    AgentView: trust.agent,
    AgentChange: trust.changed,
    SubmittedEvent: trust.submitted,
    AdminStatus: trust.admin,
    AdminChange: trust.admin_changed,
    PolicyView: trust.policy,
    ClockConfirmed: trust.clock,
}


def lines(result: Struct, screen: Screen) -> list[str]:
    """A result as lines for people."""
    renderer = RENDERERS.get(type(result), listing.plain)
    return list(renderer(result, screen))
