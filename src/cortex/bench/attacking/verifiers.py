"""Those who verify a ledger that may have been attacked, with what each of them remembers of it."""

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from cortex import verify
from cortex.bench import stage
from cortex.bench.attacking.ledgers import BuiltLedger
from cortex.errors import CortexError
from cortex.ledger import memory, witness_file
from cortex.ops.ledger import VerifyLedger
from cortex.ops.vote_ledger import VerifyVotes
from cortex.ops.vote_records import ExportVotes
from cortex.trust import keyfiles

# What a verifier keeps outside the file: nothing; what Cortex remembers of its last verification; a checkpoint that
# somebody saved, or a witness; the receipts of the agents.
NOTHING, REMEMBERED, CHECKPOINT, RECEIPTS = "none", "remembered", "checkpoint", "receipts"
MEMORIES = (NOTHING, REMEMBERED, CHECKPOINT, RECEIPTS)

# Stands among the codes where there is nothing to hand out, or no log that could be checked.
UNCHECKED = "-"
_NEVER = 1_000_000


@dataclass(frozen=True)
class AttackTold:
    """The codes by memory: what the file's owner is told of the votes and of the facts, and what an outsider finds.

    An outsider has the bundle that the owner hands out, a trust file and no memory of Cortex's own.
    """

    owner: dict[str, frozenset[str]]
    facts: frozenset[str]
    outsider: dict[str, frozenset[str]]


def told(
    built: BuiltLedger, path: Path, receipts: list[Path], change: Callable[[Path], None] | None = None
) -> AttackTold:
    """Everything that is found in the file `path`, a copy of a ledger once. `change` is what is done to the bundle."""
    folder = path.parent
    owner = {name: _owner(built, path, name, receipts) for name in MEMORIES}
    report = stage.run(path, lambda app: app.call(VerifyLedger()), home=folder / NOTHING)
    bundle = exported(path, folder / "bundle")
    outsider = {name: frozenset({UNCHECKED}) for name in MEMORIES if name != REMEMBERED}
    if bundle is not None:
        if change is not None:
            change(bundle)
        outsider = {name: checked(built, bundle, name, receipts) for name in outsider}
    return AttackTold(owner, frozenset(finding.code for finding in report.findings), outsider)


def _owner(built: BuiltLedger, path: Path, name: str, receipts: list[Path]) -> frozenset[str]:
    """The codes that `cortex vote-ledger verify` prints, run by somebody with a memory."""
    home, flags = path.parent / name.replace(" ", "-"), dict[str, object]()
    home.mkdir(exist_ok=True)
    if name == REMEMBERED:
        memory.update(home, path, lambda _: built.kept)
    if name == CHECKPOINT:
        witness = home / "witness.jsonl"
        witness_file.keep(witness, built.origin, built.saved, lambda last: last is None)
        flags["witnesses"] = (f"file:{witness}",)
    if name == RECEIPTS:
        place = home / "agents" / keyfiles.log_folder(built.origin)
        place.mkdir(parents=True, exist_ok=True)
        for file in receipts:
            shutil.copy(file, place)
    report = stage.run(path, lambda app: app.call(VerifyVotes()), home=home, **flags)
    assert (report.exit_code == 1) == bool(report.findings), "what is found has an exit code"
    found = frozenset(finding.code for finding in report.findings)
    return found if report.origin is not None else found | {UNCHECKED}


def exported(path: Path, target: Path) -> Path | None:
    """The bundle that the owner hands out; None where the file cannot be exported any more."""
    never = {"checkpoint_leaves": _NEVER, "checkpoint_seconds": _NEVER, "home": path.parent / NOTHING}
    try:
        stage.run(path, lambda app: app.call(ExportVotes(path=str(target))), **never)
    except CortexError:
        return None
    return target


def checked(built: BuiltLedger, bundle: Path, name: str, receipts: list[Path]) -> frozenset[str]:
    """The codes that `verify.py` prints for a bundle, run by an outsider with a memory."""
    trust, saved = bundle.with_name("trust.txt"), bundle.with_name("saved.txt")
    trust.write_text(built.trust)
    saved.write_text(built.saved)
    report = verify.verify_path(
        bundle, trust, [saved] if name == CHECKPOINT else [], receipts=receipts if name == RECEIPTS else []
    )
    assert report.exit_code != 3, f"a bundle of our own can be checked: {report.error}"
    return frozenset(finding["code"] for finding in report.findings)
