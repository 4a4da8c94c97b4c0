"""Everything that Cortex can do, on one page and in the order of the help."""

from typing import Any

from cortex.ops import (
    commands,
    doctor,
    embed,
    facts,
    graph,
    ledger,
    model,
    node,
    projects,
    resolving,
    search,
    transfer,
    views,
    votes,
)
from cortex.ops.journal import Command
from cortex.ops.registry import Operation

OPERATIONS: tuple[Operation, ...] = (
    node.init,
    node.status,
    doctor.doctor,
    facts.store,
    facts.store_batch,
    transfer.import_files,
    transfer.export_facts,
    search.find,
    search.brief,
    views.show,
    views.list_facts,
    views.history,
    facts.revise,
    facts.retract,
    facts.forget,
    graph.relate,
    graph.entities,
    graph.show,
    graph.path,
    projects.list_projects,
    projects.rename,
    votes.cast,
    votes.cast_batch,
    votes.read,
    resolving.resolve,
    ledger.checkpoint,
    ledger.verify,
    ledger.accept,
    ledger.export_ledger,
    ledger.ledger_history,
    ledger.prove,
    ledger.verify_external,
    node.make_backup,
    node.reindex,
    embed.embed,
    model.pull,
    model.status,
)

COMMANDS: tuple[type[Command[Any]], ...] = (
    commands.FactsStored,
    commands.FactRevised,
    commands.FactRetracted,
    commands.FactErased,
    commands.ProjectRenamed,
    commands.ImportAdvanced,
)

BY_REQUEST = {operation.request: operation for operation in OPERATIONS}
BY_NAME = {operation.name: operation for operation in OPERATIONS}

assert len(BY_REQUEST) == len(OPERATIONS), "a request belongs to one operation"
assert len({operation.method for operation in OPERATIONS}) == len(OPERATIONS), "a method belongs to one operation"
