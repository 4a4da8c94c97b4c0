"""Witnesses of a log, seen from the log: a file, a git repository, or whoever speaks C2SP tlog-witness."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from cortex import limits, posting
from cortex.errors import Conflict, Corrupt, Invalid, Unavailable
from cortex.ledger import checkpoint as checkpoints
from cortex.ledger import cosignature, merkle, witness_file, witness_git
from cortex.ledger.checkpoint import Checkpoint
from cortex.posting import NotPosted, Posted

# The consistency proof from a smaller size to the note's.
ProofFrom = Callable[[int], list[bytes]]

_SIZE = re.compile(rb"(0|[1-9][0-9]{0,18})\n?")
_PASSING_MS = 5_000
_URL_HINT = "see whether the URL is that of a witness"
_HINTS: dict[int, str] = {
    HTTPStatus.NOT_FOUND: "have this log's key added where the witness lists the logs it knows",
    HTTPStatus.FORBIDDEN: "have this log's present key added where the witness lists the logs it knows",
}
_KEEPERS = {"file": witness_file, "git": witness_git}


@dataclass(frozen=True, slots=True)
class WitnessTarget:
    """Where a witness is. `vkey` is the key that an HTTP witness signs with."""

    kind: Literal["file", "git", "http"]
    place: str
    vkey: str | None = None

    def __str__(self) -> str:
        return f"{self.place} {self.vkey}" if self.kind == "http" else f"{self.kind}:{self.place}"


@dataclass(frozen=True, slots=True)
class Witnessed:
    """That a witness has taken a checkpoint of this size; the cosignature lines it gave, each with its newline."""

    target: WitnessTarget
    size: int
    lines: tuple[str, ...] = ()


def parse_target(text: str) -> WitnessTarget:
    """The witness that `file:PATH`, `git:PATH` or `URL VKEY` names. Raises Invalid for anything else."""
    for kind in ("file", "git"):
        place = text.removeprefix(f"{kind}:")
        if place != text:
            if not place.strip() or "\0" in place:
                raise Invalid(f"{ascii(text)[:80]} names no {kind} witness", f"give {kind}:PATH")
            return WitnessTarget("file" if kind == "file" else "git", place)
    url, _, vkey = text.strip().partition(" ")
    if not url.startswith(("http://", "https://")):
        raise Invalid(f"{ascii(text)[:80]} names no witness", "give file:PATH, git:PATH, or a URL and its key")
    _check_url(url)
    if not vkey:
        raise Invalid(f"{ascii(url)[:80]} without the witness's key", "give `URL VKEY`; the witness shows its key")
    cosignature.parse_witness_vkey(vkey.strip())
    return WitnessTarget("http", url.rstrip("/"), vkey.strip())


def _check_url(url: str) -> None:
    if posting.host_of(url) is None or "#" in url or urlsplit(url).query:
        raise Invalid(
            f"{ascii(url)[:80]} is no URL that can be asked",
            "give one with http:// or https://, without a password and a query",
        )


def remembered(target: WitnessTarget, origin: str) -> str | None:
    """The last note that a file or a git witness holds of a log. None where it holds none, or is behind HTTP."""
    return None if target.kind == "http" else _KEEPERS[target.kind].remembered(Path(target.place), origin)


def submit(target: WitnessTarget, note: str, proof_from: ProofFrom) -> Witnessed:
    """Have a witness take a checkpoint. `proof_from(size)` proves consistency from what the witness had before.

    Raises Conflict, naming ROLLBACK, SPLIT_VIEW or HISTORY_REWRITTEN, where the witness has seen another history;
    Corrupt where what it answers is not what it should be, Unavailable where it cannot be had now.
    """
    head, _ = checkpoints.parse(note)
    if target.kind == "http":
        return _submitted(target, note, head, proof_from)

    def is_news(last: str | None) -> bool:
        return last is None or _follows(checkpoints.parse(last)[0], head, target, proof_from)

    _KEEPERS[target.kind].keep(Path(target.place), head.origin, note, is_news)
    return Witnessed(target, head.size)


def _follows(last: Checkpoint, head: Checkpoint, target: WitnessTarget, proof_from: ProofFrom) -> bool:
    """Whether there is more in `head` than a witness has seen. Raises Conflict where it is another history."""
    if last.origin != head.origin:
        raise Corrupt(f"{target} holds {ascii(last.origin)[:80]} in its place", "restore what the witness held")
    if head.size < last.size:
        raise _rolled_back(target, last.size, head.size)
    if head.size == last.size:
        if head.root != last.root:
            raise _split(target, head.size)
        return False
    if last.size:
        proof = proof_from(last.size)
        try:
            merkle.verify_consistency(last.size, head.size, proof, last.root, head.root)
        except Corrupt as error:
            raise _rewritten(target, last.size, head.size, error.message) from None
    return True


def _submitted(target: WitnessTarget, note: str, head: Checkpoint, proof_from: ProofFrom) -> Witnessed:
    """Ask with size 0, which a witness that knows the log answers with its own, and then again from that size.

    Another process may submit meanwhile, hence more than two attempts.
    """
    old = 0
    for _ in range(limits.WITNESS_ATTEMPTS_MAX):
        answer = _asked(target, note, head, old, proof_from)
        if answer.status == HTTPStatus.OK:
            return Witnessed(target, head.size, _cosignatures(target, note, answer.body))
        if answer.status != HTTPStatus.CONFLICT:
            raise _refusal(target, answer, old, head.size)
        known = _SIZE.fullmatch(answer.body)
        size = int(known[1]) if known is not None else old
        if size > head.size:
            raise _rolled_back(target, size, head.size)
        if size == old == head.size:
            raise _split(target, size)
        if size == old:
            raise Corrupt(f"{_named(target)} refuses the size {old}, which it names", f"it said {answer.said()}")
        old = size
    raise Unavailable(f"{_named(target)} is told of this log by others too", "try again", limits.WITNESS_RETRY_MS)


def _asked(target: WitnessTarget, note: str, head: Checkpoint, old: int, proof_from: ProofFrom) -> Posted:
    proof = proof_from(old) if 0 < old < head.size else []
    lines = "".join(f"{checkpoints.encode_base64(found)}\n" for found in proof)
    answer = posting.post(
        f"{target.place}/add-checkpoint",
        f"old {old}\n{lines}\n{note}".encode(),
        kind=posting.TEXT,
        most=limits.WITNESS_ANSWER_BYTES_MAX,
        seconds=limits.WITNESS_TIMEOUT_MS / 1000,
    )
    if isinstance(answer, NotPosted):
        raise _unanswered(target, answer)
    return answer


def _unanswered(target: WitnessTarget, failed: NotPosted) -> Unavailable:
    host = posting.host_of(target.place)
    match failed.kind:
        case "large":
            return Unavailable(f"{host} returned more than {limits.WITNESS_ANSWER_BYTES_MAX} bytes", _URL_HINT)
        case "slow":
            return Unavailable(f"{host} did not answer in time", "see whether it runs", _PASSING_MS)
        case "unreachable":
            hint = "see whether it runs, and its URL"
            return Unavailable(f"{host} cannot be reached ({failed.why})", hint, _PASSING_MS)


def _cosignatures(target: WitnessTarget, note: str, body: bytes) -> tuple[str, ...]:
    """The lines by the witness's own key, verified. Those of other keys are passed over."""
    assert target.vkey is not None, "an HTTP witness has a key"
    key = cosignature.parse_witness_vkey(target.vkey)
    try:
        given = body.decode()
    except UnicodeDecodeError:
        raise Corrupt(f"{_named(target)} answered what is no text", _URL_HINT) from None
    if not given.endswith("\n"):
        raise Corrupt(f"{_named(target)} answered what are no lines", _URL_HINT)
    own = []
    for line in given.removesuffix("\n").split("\n"):
        found = checkpoints.parse_signature(line)
        if (found.name, found.key_id) == (key.name, key.key_id):
            own.append(f"{line}\n")
    if not own:
        raise Corrupt(f"{_named(target)} answered without a line of {key.name}", "ask who runs it for its present key")
    text, _ = checkpoints.split_note(note)
    # Verified by themselves: a line of this witness that the note had already must not speak for them.
    cosignature.verify_cosignature("".join((text, "\n", *own)), target.vkey)
    return tuple(own)


def _refusal(target: WitnessTarget, answer: Posted, old: int, size: int) -> Conflict | Unavailable:
    if answer.status == HTTPStatus.UNPROCESSABLE_ENTITY and old:
        return _rewritten(target, old, size, answer.said())
    passing = answer.status == HTTPStatus.TOO_MANY_REQUESTS or answer.status >= HTTPStatus.INTERNAL_SERVER_ERROR
    told = f"{_named(target)} answers {answer.status}: {answer.said()}"
    return Unavailable(told, _HINTS.get(answer.status, "ask who runs it"), limits.WITNESS_RETRY_MS if passing else None)


def _named(target: WitnessTarget) -> str:
    return f"the witness {target.place}"


def _rolled_back(target: WitnessTarget, seen: int, size: int) -> Conflict:
    return Conflict(
        f"ROLLBACK: {_named(target)} has seen {seen} leaves of this log, which has {size}",
        "the log lost leaves, or an old copy of it is in use; verify it",
    )


def _split(target: WitnessTarget, size: int) -> Conflict:
    return Conflict(
        f"SPLIT_VIEW: {_named(target)} has seen another root over {size} leaves",
        "two histories exist; keep both checkpoints and verify the log",
    )


def _rewritten(target: WitnessTarget, seen: int, size: int, why: str) -> Conflict:
    return Conflict(
        f"HISTORY_REWRITTEN: {_named(target)} has seen {seen} leaves that do not begin these {size} ({why})",
        "leaves it saw were changed; keep both checkpoints and verify the log",
    )
