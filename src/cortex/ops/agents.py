"""Operations on agents: register one, list them, show one."""

import asyncio
from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct

from cortex import limits
from cortex.db.connect import Tx, integer, value
from cortex.errors import Conflict, Invalid, NotFound
from cortex.ops import agent_changes, fields, new_keys, news, rotating
from cortex.ops.agent_changes import GROUP, AgentChange, Globs, Level, Name, ShownKey, keys_of
from cortex.ops.context import Context
from cortex.ops.registry import Cli, Request, Tool, operation
from cortex.trust import events, keyfiles, policy, standing
from cortex.trust import log as logs
from cortex.trust.events import AgentRegistered
from cortex.trust.keyring import EventSigner, sign, signer
from cortex.trust.log import Log


class AddAgent(Request[AgentChange], frozen=True, kw_only=True):
    """Register an agent."""

    name: Name
    trust: (
        Annotated[Level, Meta(description="standard unless given; untrusted where the admin key is not here.")] | None
    ) = None
    key_out: Annotated[fields.FilePath, Meta(description="Write the private key to this new file.")] | None = None
    key: Annotated[fields.FilePath, Meta(description="Register the key in this file; it stays there.")] | None = None
    projects: Globs = []

    def check(self) -> None:
        """Raise Invalid for what the field types alone do not say."""
        keyfiles.check_name(self.name)
        agent_changes.check_globs(self.projects)
        if self.key is not None and self.key_out is not None:
            raise Invalid("both key and key_out are given", "give one: a key that there is, or where to make one")


@operation(
    "agent.add", effect="write", order="consensus", method="add_agent", cli=(Cli("agent add NAME", group=GROUP),)
)
async def add(ctx: Context, request: AddAgent) -> AgentChange:
    """Register an agent with a key of its own, which is made unless it is brought along.

    Where the admin key is at hand the agent gets the trust `standard`, else it is untrusted until an admin vouches
    for it. Agents that vote unregistered are registered by that, with a key that Cortex keeps.
    """
    async with news.beginning(ctx) as began:
        done = await _add(ctx, request)
    return msgspec.structs.replace(done, notes=[*began, *done.notes])


async def _add(ctx: Context, request: AddAgent) -> AgentChange:
    log = await ctx.database.read(lambda tx: _free(tx, request.name))
    admin = await _voucher(ctx, request.trust)
    if request.key is not None:
        path = fields.path_of(request.key)
        brought = await asyncio.to_thread(keyfiles.bring, path, request.name, log.origin)
        return await _register(ctx, request, log, admin, signer(brought, "agent", path))
    if request.key_out is not None:
        path = fields.path_of(request.key_out)
    else:
        path = keyfiles.agent_path(ctx.settings.home, log.origin, request.name)
    # One that an attempt left that did not register is used.
    async with new_keys.made(ctx, log, path, request.name) as (key, _):
        return await _register(ctx, request, log, admin, key)


async def _register(
    ctx: Context, request: AddAgent, log: Log, admin: EventSigner | None, key: EventSigner
) -> AgentChange:
    at = ctx.now()
    event = AgentRegistered(
        admin=None if admin is None else admin.public,
        agent=request.name,
        at=at,
        custody="agent",
        id=ctx.new_id(),
        key=key.public,
        log=log.origin,
        projects=agent_changes.globs(request.projects, agent_changes.ALL),
        trust=request.trust or ("untrusted" if admin is None else "standard"),
        v=events.VERSION,
    )
    told = sign(event, key, *([] if admin is None else [admin]))
    done = await ctx.journal.order(lambda tx: agent_changes.proposal(at, told, "registered", key.path))
    ctx.keyring.forget()
    return done


def _free(tx: Tx, name: str) -> Log:
    """The log. Raises Conflict where it has an agent of that name in any case, before a key is made for it."""
    taken = value(tx, "SELECT name FROM vote_agent WHERE name = ? COLLATE NOCASE", (name,))
    if taken is not None:
        raise Conflict(
            f"there is an agent {taken} already",
            f"choose another name, or `cortex agent key {taken} --out FILE` adds a key to it",
        )
    return logs.needed(tx)


async def _voucher(ctx: Context, trust: str | None) -> EventSigner | None:
    """The admin key, to vouch with. Raises Forbidden where more than untrusted is asked for and it is not here."""
    if trust == "untrusted":
        return None
    return await rotating.admin_at_hand(ctx) if trust is None else (await rotating.admin(ctx))[1]


class AgentSummary(Struct, frozen=True, kw_only=True):
    """An agent in a list. `weight` is what its next vote weighs, `custody` who keeps its valid keys."""

    name: str
    level: str
    reputation: float
    weight: float
    votes: int
    keys: int
    custody: Annotated[str | None, Meta(description="agent, server (Cortex signs for it) or both.")]


class AgentList(Struct, frozen=True, kw_only=True):
    """The agents of the votes log, by name."""

    origin: str | None
    agents: list[AgentSummary]
    next: Annotated[str | None, Meta(description="`cursor` of the next page.")]


class ListAgents(Request[AgentList], frozen=True, kw_only=True):
    """List agents."""

    limit: fields.Limit = limits.PAGE_DEFAULT
    cursor: (
        Annotated[str, fields.form(fields.AGENT, "`next` of the page before as it was", "`next` of the page before.")]
        | None
    ) = None


@operation(
    "agent.list",
    effect="read",
    order="local",
    method="list_agents",
    cli=(Cli("agent list", group=GROUP),),
    mcp=Tool("trust", title="List the agents that vote"),
)
async def list_agents(ctx: Context, request: ListAgents) -> AgentList:
    """List the agents that vote: how far each is trusted, its reputation, and what its next vote weighs."""
    now = ctx.now()

    def run(tx: Tx) -> AgentList:
        log = logs.sound(tx)
        if log is None:
            return AgentList(origin=None, agents=[], next=None)
        rows: list[Any] = tx.execute(
            "SELECT name FROM vote_agent WHERE name > ? ORDER BY name LIMIT ?",
            (request.cursor or "", request.limit + 1),
        ).fetchall()
        names = [name for (name,) in rows[: request.limit]]
        more = names[-1] if len(rows) > request.limit else None
        return AgentList(origin=log.origin, agents=[_summary(tx, log, name, now) for name in names], next=more)

    return await ctx.database.read(run)


def _votes(tx: Tx, name: str) -> int:
    """How many votes of an agent count: on the newest revision of facts that are held, not withdrawn nor revoked."""
    return integer(
        tx,
        "SELECT count(*) FROM vote_current AS c JOIN revision AS r ON r.fact_id = c.fact"
        " AND r.number = (SELECT max(number) FROM revision WHERE fact_id = c.fact)"
        " JOIN transactions AS t ON t.log = r.log AND t.idx = r.idx AND t.digest = c.digest"
        " WHERE c.agent = ? AND c.vote <> 0 AND c.counted <> 0",
        (name,),
    )


def _summary(tx: Tx, log: Log, name: str, now: str) -> AgentSummary:
    found = standing.agent(tx, log, name, now)
    custodies = [key.custody for key in keys_of(tx, name) if key.until is None]
    return AgentSummary(
        name=name,
        level=found.level,
        reputation=found.reputation,
        weight=found.weight,
        votes=_votes(tx, name),
        keys=len(custodies),
        custody="both" if len(set(custodies)) > 1 else next(iter(custodies), None),
    )


class AgentView(Struct, frozen=True, kw_only=True):
    """An agent with its keys, and what it takes to sign for this log elsewhere (docs/agents.md)."""

    name: str
    level: str
    reputation: float
    weight: float
    evidence_for: float
    evidence_against: float
    registered: str
    votes: int
    keys: list[ShownKey]
    key_here: Annotated[str | None, Meta(description="agent or server: who keeps its key on this machine, if any.")]
    log: Annotated[str, Meta(description="Origin of the votes log: `log` of each event.")]
    entries: Annotated[int, Meta(description="Length of the votes log.")]
    at: Annotated[str, Meta(description="Time of its last entry.")]
    admin: Annotated[str, Meta(description="The admin key in force.")]
    vkey: Annotated[str, Meta(description="The key that signs checkpoints and promises.")]
    policy: Annotated[dict[str, Any], Meta(description="The rules in force.")]


class ShowAgent(Request[AgentView], frozen=True, kw_only=True):
    """Show one agent."""

    name: Name


@operation(
    "agent.show",
    effect="read",
    order="local",
    method="show_agent",
    cli=(Cli("agent show NAME", group=GROUP),),
    mcp=Tool("trust", title="Show one agent and its keys"),
)
async def show(ctx: Context, request: ShowAgent) -> AgentView:
    """Show one agent: its standing, every key that it ever had, and the log that its signatures are for."""
    now = ctx.now()

    def run(tx: Tx) -> AgentView:
        log = logs.sound(tx)
        if log is None:
            raise NotFound(f"there is no agent {request.name}", "`cortex agent add` registers one")
        found = standing.agent(tx, log, request.name, now)
        return AgentView(
            name=found.name,
            level=found.level,
            reputation=found.reputation,
            weight=found.weight,
            evidence_for=found.evidence_for,
            evidence_against=found.evidence_against,
            registered=found.since,
            votes=_votes(tx, request.name),
            keys=keys_of(tx, request.name),
            key_here=_custody_here(ctx, log, request.name),
            log=log.origin,
            entries=log.size,
            at=log.ts,
            admin=log.admin.hex(),
            vkey=log.vkey,
            policy=msgspec.to_builtins(policy.decode(log.policy)),
        )

    return await ctx.database.read(run)


def _custody_here(ctx: Context, log: Log, name: str) -> str | None:
    held = ctx.keyring.of(log.origin, name)
    return None if held is None else held.custody
