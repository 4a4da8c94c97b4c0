"""Votes ledgers to be attacked, made through the operations as everybody does it, with what outsiders keep of them."""

import dataclasses
import hashlib
import random
import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

from cortex import limits, times
from cortex.app import App
from cortex.bench import stage
from cortex.ledger import checkpoint, cosignature, memory
from cortex.ledger.cosignature import WitnessSigner
from cortex.ledger.memory import Memory
from cortex.ops.admin import RotateAdmin
from cortex.ops.agent_changes import RevokeAgent, TrustAgent
from cortex.ops.agent_keys import AddAgentKey, RotateAgentKey
from cortex.ops.agents import AddAgent, ShowAgent
from cortex.ops.balloting import NewVote
from cortex.ops.facts import ForgetFact, RetractFact, ReviseFact, StoreFact
from cortex.ops.ledger import VerifyLedger
from cortex.ops.node import Backup
from cortex.ops.policies import SetPolicy
from cortex.ops.resolving import ResolveFact
from cortex.ops.vote_ledger import InitVoteLog, MakeVoteCheckpoint, VerifyVotes
from cortex.ops.vote_records import ExportVotes, ProveVote
from cortex.ops.votes import CastVote, CastVotes
from cortex.trust import keyfiles

START = "2026-03-02T09:00:00.000000Z"
# Agents with keys of their own; eve's is kept by the server.
OWN_KEYS = ("ann", "bob", "cay", "dan", "gil", "hal")
# Whose receipts have proofs; those of the others have promises alone.
PROVED = ("ann", "bob", "dan", "gil")
# Checkpoints are made where the script says, and nowhere else.
_NEVER = 1_000_000
_CROWD = 8


@dataclass(frozen=True)
class BuiltLedger:
    """A file with a votes ledger, the keys and receipts in its `home`, and what is kept of it elsewhere.

    `facts` are ids by their names, `early` is a backup of before the last day. `saved` is the last checkpoint, `kept`
    what the owner remembers of the last verification, `trust` what outsiders believe, `target` the agent of the vote
    that is attacked.
    """

    path: Path
    home: Path
    origin: str
    facts: dict[str, str]
    early: Path
    saved: str
    kept: Memory
    trust: str
    target: str
    witnesses: tuple[WitnessSigner, ...]

    @property
    def receipts(self) -> list[Path]:
        """The files of receipts of the agents with keys of their own."""
        return sorted((self.home / "agents" / keyfiles.log_folder(self.origin)).glob("*.receipts"))

    def copy(self, folder: Path) -> Path:
        """The file with its node key in another folder."""
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copy(self.path, folder / self.path.name)
        shutil.copy(f"{self.path}.key", folder / f"{self.path.name}.key")
        return folder / self.path.name


def build(folder: Path, *, seed: int = 0, crowd_facts: int = 0) -> BuiltLedger:
    """A ledger with events of every kind, votes that were settled, and three checkpoints that two witnesses cosigned.

    With `crowd_facts`, eight more agents have voted on so many facts before all that. The seed says in which order the
    agents vote.
    """
    folder.mkdir(parents=True, exist_ok=True)
    script = _Script(folder, seed)
    never = {"checkpoint_leaves": _NEVER, "checkpoint_seconds": _NEVER}
    return stage.run(script.path, lambda app: script.run(app, crowd_facts), home=script.home, **never)


class _Script:
    """What happens in the ledger, one thing after the other."""

    def __init__(self, folder: Path, seed: int) -> None:
        self.path, self.home, self.early = folder / "memory.db", folder / "home", folder / "early.db"
        self._random, self._at = random.Random(seed), START  # noqa: S311 - no secret is made of it
        self._facts: dict[str, str] = {}
        self._witnesses = tuple(
            WitnessSigner(f"witness.example/{name}", hashlib.sha256(name.encode()).digest()) for name in ("one", "two")
        )

    async def run(self, app: App, crowd_facts: int) -> BuiltLedger:
        self._app = App(dataclasses.replace(app.context, clock=lambda: self._at))
        self._origin = (await self._app.call(InitVoteLog())).origin
        await self._begin(crowd_facts)
        await self._seal()
        await self._change()
        await self._seal()
        await self._app.call(Backup(target=str(self.early)))
        await self._end()
        saved = await self._seal()
        await self._prove()
        for report in (await self._app.call(VerifyVotes()), await self._app.call(VerifyLedger())):
            assert report.ok, f"a ledger that nobody attacked is clean, found {report.findings[:1]}"
        return BuiltLedger(
            path=self.path,
            home=self.home,
            origin=self._origin,
            facts=self._facts,
            early=self.early,
            saved=saved,
            kept=memory.load(self.home, self.path),
            trust=await self._trust(),
            target=self._random.choice(("ann", "bob", "dan")),
            witnesses=self._witnesses,
        )

    async def _begin(self, crowd_facts: int) -> None:
        """Agents, and votes that reach verdicts on two facts."""
        for name in OWN_KEYS:
            await self._app.call(AddAgent(name=name, trust="trusted" if name == "dan" else None))
        await self._crowd(crowd_facts)
        for name in ("sky", "sea", "ice", "rye", "tea", "elm", "oak", "fig", "jet"):
            self._facts[name] = (await self._app.call(StoreFact(content=f"a fact by the name of {name}"))).id
        await self._votes("sky", {"ann": 1, "bob": 1, "dan": 1, "cay": -1}, reason="I have seen it")
        await self._votes("sea", {"ann": -1, "bob": -1, "dan": -1})
        await self._votes("ice", {"gil": 1, "hal": 1, "eve": 1})
        await self._votes("rye", {"ann": 1, "cay": 1})
        await self._votes("tea", {"bob": 1, "cay": 1}, reason="it will be forgotten")
        await self._votes("elm", {"ann": 1})
        await self._votes("oak", {"ann": 1, "bob": -1})

    async def _change(self) -> None:
        """What is settled is judged; facts, keys, trust, rules and the admin key change."""
        self._wait(days=2)
        phone = self.path.with_name("phone.key")
        public = (await self._app.call(AddAgentKey(name="ann", out=str(phone)))).public
        assert public is not None
        await self._app.call(CastVote(id=self._facts["ice"], vote=1, key=str(phone), agent="ann"))
        bob = keyfiles.agent_path(self.home, self._origin, "bob")
        shutil.copy(bob, bob.with_suffix(".old"))
        await self._app.call(RotateAgentKey(name="bob"))
        await self._votes("ice", {"bob": -1})
        await self._app.call(ReviseFact(id=self._facts["rye"], content="rye, in other words"))
        await self._votes("rye", {"ann": 1})
        await self._app.call(ForgetFact(id=self._facts["tea"]))
        await self._app.call(RetractFact(id=self._facts["elm"]))
        gil = (await self._app.call(ShowAgent(name="gil"))).keys[0].public
        await self._app.call(RevokeAgent(name="gil", public=gil))
        await self._app.call(RevokeAgent(name="hal"))
        await self._app.call(TrustAgent(name="eve", level="standard"))
        await self._app.call(RotateAdmin())
        await self._app.call(SetPolicy(parameters={"contested": 2}))
        await self._app.call(ResolveFact(id=self._facts["oak"], truth="true", reason="the admin was there"))

    async def _end(self) -> None:
        """Votes of the last day, which nothing follows from yet."""
        self._wait(days=1)
        await self._votes("jet", {"ann": -1, "bob": 1, "dan": -1, "eve": -1}, reason="it is not so")
        await self._votes("fig", {"ann": 1, "bob": 1, "dan": 1, "eve": -1})
        # After the vote that is attacked come some whose agents hold promises, and some that were proved.
        for fact, vote in (("fig", {"cay": -1}), ("rye", {"ann": -1}), ("ice", {"bob": 1})):
            await self._votes(fact, vote)

    async def _crowd(self, facts: int) -> None:
        """Many votes by agents whose keys the server keeps."""
        names = [f"crowd-{number}" for number in range(_CROWD)] if facts else []
        votes = []
        for number in range(facts):
            fact = (await self._app.call(StoreFact(content=f"one of many, number {number}"))).id
            votes += [NewVote(id=fact, vote=1, agent=name) for name in names]
        for first in range(0, len(votes), limits.VOTES_BATCH_MAX):
            self._wait(seconds=1)
            await self._app.call(CastVotes(votes=votes[first : first + limits.VOTES_BATCH_MAX]))
        for name in names:
            await self._app.call(TrustAgent(name=name, level="standard"))

    async def _votes(self, fact: str, votes: dict[str, int], reason: str | None = None) -> None:
        """Votes in an order that the seed says; the first of them has the reason."""
        order: list[tuple[str, Any]] = list(votes.items())
        self._random.shuffle(order)
        for agent, vote in order:
            self._wait(seconds=1)
            await self._app.call(CastVote(id=self._facts[fact], vote=vote, agent=agent, reason=reason))
            reason = None

    async def _seal(self) -> str:
        """A checkpoint, with the lines of both witnesses."""
        self._wait(seconds=1)
        head = await self._app.call(MakeVoteCheckpoint())
        note = cosigned(head.note, self._witnesses)
        await self._app.context.database.write(
            lambda tx: tx.execute("UPDATE vote_checkpoints SET note = ? WHERE tree_size = ?", (note, head.size))
        )
        return note

    async def _prove(self) -> None:
        """Have the receipts of some agents completed with proofs."""
        rows: Iterable[Any] = await self._app.context.database.read(
            lambda tx: tx.execute("SELECT event_id, agent_id FROM vote_ledger WHERE kind = 'vote'").fetchall()
        )
        for event_id, agent in rows:
            if agent in PROVED:
                await self._app.call(ProveVote(vote=event_id))

    async def _trust(self) -> str:
        """The trust file of an outsider: the log's key, its first entry, and both witnesses."""
        exported = await self._app.call(ExportVotes(path=str(self.path.with_name("first.json"))))
        lines = [f"witness w{at} {witness.vkey}" for at, witness in enumerate(self._witnesses)]
        return "\n".join([*exported.trust, *lines, "group both all w0 w1", "quorum both", ""])

    def _wait(self, **units: float) -> None:
        self._at = times.canonical(times.parse(self._at) + timedelta(**units))


def cosigned(note: str, witnesses: Iterable[WitnessSigner]) -> str:
    """A note with the lines of witnesses, who saw it on the day of the ledger."""
    seconds = times.micros(START) // 1_000_000
    checkpoint.parse(note)
    return cosignature.add_lines(note, [cosignature.cosign(note, witness, seconds) for witness in witnesses])
