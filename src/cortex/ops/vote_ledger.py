"""Operations on the votes log as a whole: begin it or let it go on, sign its state, verify it."""

from typing import Annotated

from msgspec import Meta, Struct, structs

from cortex import ids, times
from cortex.db.connect import Tx
from cortex.errors import ClockAhead, CortexError
from cortex.ledger import merkle
from cortex.ledger.keys import NodeKey
from cortex.ops import checking, fields, news, policies, rotating, signing, vote_verification, witnessing
from cortex.ops.checking import VotesReport
from cortex.ops.context import Context
from cortex.ops.journal import EventsOrdered, Proposal
from cortex.ops.registry import Cli, Request, Tool, operation
from cortex.ops.witnessing import StampedNote, StoredCheckpoint, Vouched
from cortex.plurals import counted
from cortex.settings import Settings
from cortex.trust import events, export, sealing
from cortex.trust import log as logs
from cortex.trust.apply import Applied
from cortex.trust.events import LogRestored
from cortex.trust.keyring import EventSigner, sign
from cortex.trust.log import Log

_GROUP = "Trust"


class VoteLogHead(Struct, frozen=True, kw_only=True):
    """The votes log's signed state. `vkey` and `genesis` are what verifiers pin, `note` is a C2SP signed note.

    `restored`: the log says now, by the admin key, that it goes on from a backup or with this node's key; `by` is
    which key that was, where it is one from before a rotation. `trust` has the lines for a verifier's trust file.
    """

    origin: str
    vkey: str
    genesis: Annotated[str, Meta(description="Hash of entry 0.")]
    size: int
    root: str
    note: str
    trust: list[str]
    restored: bool = False
    by: str | None = None
    witnesses: list[Vouched] = []
    timestamp: StampedNote | None = None
    notes: list[str] = []

    @property
    def exit_code(self) -> int:
        """0; 1 where a witness has seen another history, 3 where one could not be had."""
        return witnessing.exit_code(self.witnesses)


class InitVoteLog(Request[VoteLogHead], frozen=True, kw_only=True):
    """Begin the votes log, or let a restored one go on."""

    confirm_clock: Annotated[
        bool, Meta(description="Also where a restored log is more than 30 days old: the clock is right.")
    ] = False


@operation(
    "vote_ledger.init",
    effect="write",
    order="consensus",
    method="init_vote_ledger",
    cli=(Cli("vote-ledger init", group=_GROUP),),
)
async def init(ctx: Context, request: InitVoteLog) -> VoteLogHead:
    """Begin the votes log where there is none: its admin key is made here, and its state signed.

    Where the file was put back from a backup, or this node's key is another than the log names, the admin key says
    in the log that it goes on from here.
    """
    begun = await signing.ensure_log(ctx)
    restored, by = await _go_on(ctx, confirmed=request.confirm_clock)
    head, _ = await _seal(ctx, restored=restored)
    return structs.replace(head, by=by, notes=news.begun(ctx, head.origin) if begun else [])


async def _go_on(ctx: Context, *, confirmed: bool) -> tuple[bool, str | None]:
    """Let a log that was restored, or that another node's key signed, say that it goes on. False where it need not.

    And by which admin key, where that is to be told.
    """
    if not await ctx.database.read(lambda tx: _interrupted(tx, ctx)):
        return False, None
    log, admin = await rotating.admin(ctx)
    by = signing.from_before(ctx.settings, log, admin)
    at, event_id = ctx.now(), ctx.new_id()

    def decide(tx: Tx) -> Proposal[bool]:
        if not _interrupted(tx, ctx):  # another process was first
            return Proposal(EventsOrdered(at=at, events=()), _nothing)
        log = logs.needed(tx)
        if not confirmed:
            policies.check_jump(log, at, "say so with `cortex vote-ledger init --confirm-clock`")
        event = restored_event(log, admin, ctx.node_key.vkey(log.origin), at, event_id)
        return Proposal(event, _gone_on)

    done = await ctx.journal.order(decide)
    return done, by if done else None


def interrupt(tx: Tx, settings: Settings, key: NodeKey) -> str | None:
    """Mark the votes log of a file that is put back from a backup, and let it go on at once if the admin key is here.

    Two copies must not give one place in the log to different votes. Returns what became of it, None without a log.
    """
    log = logs.state(tx)
    if log is None:
        return None
    sealing.mark_restored(tx, restored=True)
    hint = "`cortex vote-ledger resubmit` hands in what agents here have receipts of and the backup lacks"
    try:
        admin = signing.held_admin(settings, log)
    except CortexError as error:
        return f"the votes log takes no votes until `cortex vote-ledger init`: {error.message}"
    if admin is None:
        return f"the votes log takes no votes until `cortex vote-ledger init` is run with its admin key; then {hint}"
    at, size = times.now(), log.size
    try:
        policies.check_jump(log, at, "`cortex vote-ledger init --confirm-clock` says so")
    except ClockAhead as error:
        return f"the votes log takes no votes yet: {error}"
    by = signing.from_before(settings, log, admin) or "its admin key"
    try:
        signing.put_back(settings, log, admin)
    except CortexError as error:
        return f"the votes log takes no votes until `cortex vote-ledger init`: {error.message}"
    restored_event(log, admin, key.vkey(log.origin), at, ids.uuid7(times.micros(at))).apply(tx, log)
    sealing.mark_restored(tx, restored=False)
    return f"the votes log goes on from {counted(size, 'entry', 'entries')}, by {by}; {hint}"


def restored_event(log: Log, admin: EventSigner, vkey: str, at: str, event_id: str) -> EventsOrdered:
    """The event by which the admin says that the log goes on from what it is now, signed by `vkey`."""
    event = LogRestored(
        at=at,
        id=event_id,
        key=admin.public,
        log=log.origin,
        root=log.root.hex(),
        size=log.size,
        v=events.VERSION,
        vkey=vkey,
    )
    return EventsOrdered(at=at, events=(sign(event, admin),))


def _interrupted(tx: Tx, ctx: Context) -> bool:
    log = logs.needed(tx)
    return sealing.sealed(tx).restored or ctx.node_key.vkey(log.origin) != log.vkey


def _gone_on(tx: Tx, applied: list[Applied]) -> bool:
    sealing.mark_restored(tx, restored=False)
    return True


def _nothing(tx: Tx, applied: list[Applied]) -> bool:
    return False


class MakeVoteCheckpoint(Request[VoteLogHead], frozen=True, kw_only=True):
    """Sign a checkpoint of the votes log."""

    witness: witnessing.Witness | None = None
    timestamp: witnessing.Timestamp = False


@operation(
    "vote_ledger.checkpoint",
    effect="write",
    order="local",
    file="needed",
    method="vote_checkpoint",
    cli=(Cli("vote-ledger checkpoint", group=_GROUP),),
    mcp=Tool("trust", title="Sign a checkpoint of the votes log", idempotent=True),
)
async def checkpoint(ctx: Context, request: MakeVoteCheckpoint) -> VoteLogHead:
    """Sign the votes log as it stands, and have the configured witnesses take that.

    Keep the note elsewhere, or let witnesses: against them rewriting is found.
    """
    head, found = await _seal(ctx)
    vouched = await witnessing.vouched(ctx, found, wanted=request.witness)
    stamp = await witnessing.stamped(ctx, found) if request.timestamp else None
    last = await ctx.database.read(lambda tx: witnessing.sealed(tx, "votes", 0, found.size))
    return structs.replace(head, note=last.note, witnesses=vouched, timestamp=stamp)


async def _seal(ctx: Context, *, restored: bool = False) -> tuple[VoteLogHead, StoredCheckpoint]:
    def run(tx: Tx) -> tuple[VoteLogHead, StoredCheckpoint]:
        log = logs.needed(tx)
        note = sealing.seal(tx, log, ctx.node_key)
        head = VoteLogHead(
            origin=log.origin,
            vkey=log.vkey,
            genesis=merkle.leaf_hash(logs.leaf_at(tx, log.origin, 0)).hex(),
            size=log.size,
            root=log.root.hex(),
            note=note,
            trust=export.trust_lines(tx, log),
            restored=restored,
        )
        return head, StoredCheckpoint("votes", 0, log.size, note)

    return await ctx.database.write(run)


class VerifyVotes(Request[VotesReport], frozen=True, kw_only=True):
    """Verify the votes log."""

    incremental: Annotated[bool, Meta(description="Only what came since the last verification.")] = False
    signatures: Annotated[bool, Meta(description="Also every signature of agents and admins.")] = True
    policy: Annotated[bool, Meta(description="Also compute every weight, reputation and verdict anew.")] = True
    text: Annotated[bool, Meta(description="Also the facts that were voted on, and the reasons.")] = True
    receipts: (
        Annotated[
            list[fields.FilePath],
            Meta(description="Files of receipts to compare with; those kept here unless given.", max_length=100),
        ]
        | None
    ) = None


@operation(
    "vote_ledger.verify",
    effect="read",
    order="local",
    method="verify_votes",
    cli=(Cli("vote-ledger verify", group=_GROUP),),
    mcp=Tool("trust", title="Verify the votes log", hidden=("receipts",)),
)
async def verify(ctx: Context, request: VerifyVotes) -> VotesReport:
    """Check every entry, signature, weight and checkpoint of the votes log, and compare with what others keep.

    That is: what was remembered outside the file, the receipts of agents, the witnesses. The report claims no more
    than was checked. Each run is written down in the file.
    """
    task = vote_verification.task_of(
        ctx, incremental=request.incremental, signed=request.signatures, policy=request.policy, text=request.text
    )
    receipts = [fields.path_of(name) for name in request.receipts] if request.receipts else None
    return await checking.votes(ctx, task, receipts)


class AcceptVotes(Request[VotesReport], frozen=True, kw_only=True):
    """Take the votes log as it is from now on."""


# No tool: whether a file was replaced on purpose is for people to say.
@operation(
    "vote_ledger.accept",
    effect="read",
    order="local",
    method="accept_votes",
    cli=(Cli("vote-ledger accept", group=_GROUP),),
)
async def accept(ctx: Context, request: AcceptVotes) -> VotesReport:
    """Forget what was remembered of the votes log and take it as it is, after you replaced the file on purpose.

    Run `cortex vote-ledger resubmit` before: it hands in again what agents have receipts of. Receipts that the log
    does not bear out are then put aside, if all else is valid. What witnesses have seen, they do not forget.
    """
    task = vote_verification.task_of(ctx, incremental=False, accept=True)
    return await checking.votes(ctx, task, set_aside=True)
