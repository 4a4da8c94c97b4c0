"""Attacks that remove entries or add some: rows 9 to 13, 15 to 20, and 27 to 29."""

import dataclasses
import shutil
from collections.abc import Callable
from functools import partial

from cortex import times
from cortex.app import App
from cortex.bench import stage
from cortex.bench.attacking import forgeries
from cortex.bench.attacking.attack import Attack, Deed
from cortex.bench.attacking.attacker import EDIT, LOG_KEY, REHASHED, WITNESS_KEYS, Attacker
from cortex.ops.vote_ledger import InitVoteLog
from cortex.ops.votes import CastVote
from cortex.trust import keyfiles
from cortex.trust.events import Signed

_TABLES = (
    "vote_log", "vote_ledger", "vote_tree", "vote_merkle_roots", "vote_agent", "vote_key", "vote_current", "vote_tally",
    "vote_judged", "vote_seal", "vote_checkpoints", "vote_reason",
)  # fmt: skip
_SIGNED = (LOG_KEY, WITNESS_KEYS)
_OLD_KINDS = ("vote", "resolve", "trust", "policy", "agent", "key", "admin")


def _deleted(at: Attacker) -> None:
    at.remove(at.target, renumber=False)


def _renumbered(at: Attacker) -> None:
    at.remove(at.target, renumber=True)


def _replaced(at: Attacker) -> None:
    """The log keeps its size: the server votes for eve where a vote is missing then."""
    _renumbered(at)
    at.append(forgeries.custody_vote(at))


def _shortened(count: int) -> Deed:
    def run(at: Attacker) -> None:
        for number in range(at.log.size, at.log.size - count, -1):
            at.remove(number, renumber=False)

    return run


def _cut(at: Attacker) -> None:
    """Back to the checkpoint before the last one, with all that the node itself knows."""
    at.sql.execute("DELETE FROM vote_checkpoints WHERE id = (SELECT max(id) FROM vote_checkpoints)")
    at.seal_state()
    _shortened(at.log.size - at.value("SELECT sealed_size FROM vote_seal"))(at)


def _backup(at: Attacker) -> None:
    at.close()
    shutil.copy(at.built.early, at.path)
    at.reopen()


def _emptied(at: Attacker) -> None:
    at.edit(*(f"DELETE FROM {table}" for table in _TABLES))


def _begun_anew(at: Attacker) -> None:
    _emptied(at)
    at.close()
    stage.run(at.path, lambda app: app.call(InitVoteLog()), home=at.folder / "another home")
    at.reopen()


def _last_by_another(at: Attacker) -> None:
    """A history of the same size, in which the server voted for eve in the place of bob."""
    at.remove(at.log.size, renumber=False)
    at.append(forgeries.custody_vote(at))


def _before_restored(at: Attacker) -> None:
    """The admin key has said what the log was when it was restored; then an entry from before changes."""
    at.append(forgeries.restored(at))
    at.go_on(WITNESS_KEYS)
    at.set(at.target, "timestamp = substr(timestamp, 1, 20) || '500000Z'")


def _swallowed(at: Attacker) -> None:
    """Take a vote of cay's, give a promise for it, and go on with the file as it was before."""
    home, other = at.folder / "home", at.folder / "other.db"
    shutil.copytree(at.built.home, home)
    shutil.copy(at.path, other)
    shutil.copy(f"{at.path}.key", f"{other}.key")
    stage.run(other, partial(_vote_of_cay, at), home=home)
    at.receipts = sorted((home / "agents" / keyfiles.log_folder(at.built.origin)).glob("*.receipts"))


async def _vote_of_cay(at: Attacker, app: App) -> None:
    now = at.log.ts
    app = App(dataclasses.replace(app.context, clock=lambda: times.canonical(now)))
    await app.call(CastVote(id=at.built.facts["jet"], vote=1, agent="cay"))


def _swallowed_for_another(at: Attacker) -> None:
    _swallowed(at)
    at.append(forgeries.custody_vote(at))


def _appended(made: Callable[[Attacker], Signed]) -> Deed:
    return lambda at: at.append(made(at))


def _again(kind: str) -> Deed:
    return lambda at: at.append(at.signed(at.last(kind)))


ATTACKS = (
    Attack("9", "an entry deleted", _deleted),
    Attack("10-12", "an entry deleted, the rest renumbered", _renumbered),
    Attack("10-12", "an entry deleted, the rest renumbered, another at the end", _replaced),
    *(Attack("13", f"a forged event: {kind}", _appended(partial(forgeries.forged, kind=kind)))
      for kind in forgeries.KINDS),
    *(Attack("13", f"an event by a stranger's key: {kind}", _appended(partial(forgeries.usurped, kind=kind)))
      for kind in forgeries.KINDS),
    Attack("13", "a resolution that was signed for another log", _appended(forgeries.elsewhere)),
    *(Attack("16" if kind == "vote" else "13", f"an old event again: {kind}", _again(kind)) for kind in _OLD_KINDS),
    Attack("13", "a trusted agent without the admin key", _appended(forgeries.unvouched)),
    Attack("13", "an agent whose name differs by case alone", _appended(forgeries.lookalike)),
    Attack("13", "an untrusted agent that nobody asked for", _appended(forgeries.newcomer), allowed=True),
    Attack("15", "a forged vote", _appended(forgeries.forged_vote)),
    Attack("15", "a forged vote by a stranger's key", _appended(forgeries.usurped_vote)),
    Attack("15", "a vote of an agent that there is not", _appended(forgeries.unknown_vote)),
    Attack("15", "a vote by the key of another agent", _appended(forgeries.borrowed_vote)),
    Attack("15", "a vote that the server signed for its agent", _appended(forgeries.custody_vote), allowed=True),
    Attack("17", "the tail deleted under a checkpoint", _shortened(2)),
    Attack("18", "cut back to a checkpoint", _cut, levels=(EDIT, REHASHED)),
    Attack("19", "an old backup in the place of the file", _backup, levels=(EDIT,)),
    Attack("19", "the tables emptied", _emptied, levels=(EDIT,)),
    Attack("19", "another log begun in the place of this one", _begun_anew, levels=(EDIT,)),
    Attack("19", "an entry changed in a log that was restored since", _before_restored, levels=_SIGNED),
    Attack("20", "an agent's last ballot dropped", _shortened(1)),
    Attack("27", "another history of the same size", _last_by_another),
    Attack("28", "a revoked key used later", _appended(forgeries.revoked_vote)),
    Attack("28", "a rotated key used later", _appended(forgeries.rotated_vote)),
    Attack("28", "the key of a revoked agent used later", _appended(forgeries.ended_vote)),
    Attack("29", "a promised vote swallowed", _swallowed, levels=(EDIT,)),
    Attack("29", "a promised vote swallowed for another one", _swallowed_for_another, levels=_SIGNED),
)  # fmt: skip
