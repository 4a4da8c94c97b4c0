"""Operations on projects: list and rename."""

from typing import Annotated

from msgspec import Meta, Struct

from cortex import limits, projects
from cortex.db.connect import Tx
from cortex.errors import Invalid
from cortex.ops.commands import ProjectRenamed
from cortex.ops.context import Context
from cortex.ops.registry import Cli, Request, Tool, operation


class ProjectSummary(Struct, frozen=True, kw_only=True):
    """A project with the number of its facts that are believed, and when it last changed."""

    name: str
    facts: int
    changed_at: str | None


class Projects(Struct, frozen=True, kw_only=True):
    """The projects by name; `current` is the one that is used when none is given."""

    projects: list[ProjectSummary]
    current: str


class ListProjects(Request[Projects], frozen=True, kw_only=True):
    """List projects."""


@operation(
    "project.list",
    effect="read",
    order="local",
    method="projects",
    cli=(Cli("projects", group="Memory"),),
    mcp=Tool("all", title="List projects"),
)
async def list_projects(ctx: Context, request: ListProjects) -> Projects:
    """The projects in this memory, with their number of facts."""

    def read(tx: Tx) -> Projects:
        rows = tx.execute(
            "SELECT p.name, count(r.id), max(r.recorded_at) FROM project AS p"
            " LEFT JOIN revision AS r ON r.project_id = p.id AND r.retired_at IS NULL GROUP BY p.id ORDER BY p.name"
        )
        return Projects(
            projects=[ProjectSummary(name=name, facts=count, changed_at=at) for name, count, at in rows],
            current=ctx.caller.project,
        )

    return await ctx.database.read(read)


class RenameProject(Request[ProjectSummary], frozen=True, kw_only=True):
    """Rename a project."""

    old: Annotated[str, Meta(description="Its name now.", min_length=1, max_length=limits.NAME_CHARS_MAX)]
    new: Annotated[str, Meta(description="Its new name.", min_length=1, max_length=limits.NAME_CHARS_MAX)]


@operation(
    "project.rename",
    effect="write",
    order="gossip",
    file="needed",
    method="rename_project",
    cli=(Cli("project rename OLD NEW", group="Memory"),),
    mcp=Tool("all", title="Rename a project"),
)
async def rename(ctx: Context, request: RenameProject) -> ProjectSummary:
    """Rename a project.

    Its facts and their history come along.
    """
    old, new = projects.check_name(request.old), projects.check_name(request.new)
    if projects.USER in (old, new):
        raise Invalid(f"the project {projects.USER!r} has a meaning of its own", "choose another name")
    facts = await ctx.journal.commit(ProjectRenamed(actor=ctx.caller.actor, at=ctx.now(), old=old, new=new))
    return ProjectSummary(name=new, facts=facts, changed_at=ctx.now())
