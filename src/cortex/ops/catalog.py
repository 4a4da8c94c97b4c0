"""Everything that Cortex can do, on one page and in the order of the help."""

from cortex.ops import commands, facts, projects, search, views
from cortex.ops.journal import Command
from cortex.ops.registry import Operation

OPERATIONS: tuple[Operation, ...] = (
    facts.store,
    facts.store_batch,
    search.find,
    search.brief,
    views.show,
    views.list_facts,
    views.history,
    facts.revise,
    facts.retract,
    facts.forget,
    projects.list_projects,
    projects.rename,
)

COMMANDS: tuple[type[Command], ...] = (
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
