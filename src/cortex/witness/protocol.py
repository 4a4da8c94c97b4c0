"""What a witness answers to `add-checkpoint`, apart from HTTP itself (C2SP tlog-witness)."""

import logging
import re
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path

from cortex import limits
from cortex.errors import Corrupt, CortexError, Invalid, Unavailable
from cortex.files import read_start
from cortex.ledger import checkpoint as checkpoints
from cortex.ledger import trust_policy
from cortex.ledger.checkpoint import Checkpoint
from cortex.ledger.cosignature import WitnessSigner
from cortex.ledger.trust_policy import TrustedKey
from cortex.witness.state import Ruling, WitnessState

TEXT = "text/plain; charset=utf-8"
SIZE = "text/x.tlog.size"

logger = logging.getLogger(__name__)

_REQUEST = re.compile(
    rf"old (0|[1-9][0-9]{{0,18}})\n((?:[A-Za-z0-9+/]{{43}}=\n){{0,{limits.WITNESS_PROOF_LINES_MAX}}})\n(.+)", re.DOTALL
)
_STATUSES = {
    "cosigned": HTTPStatus.OK,
    "stale": HTTPStatus.CONFLICT,
    "forked": HTTPStatus.CONFLICT,
    "unproven": HTTPStatus.UNPROCESSABLE_ENTITY,
}


@dataclass(frozen=True, slots=True)
class Reply:
    """A status and a text."""

    status: HTTPStatus
    text: str
    content_type: str = TEXT


class AcceptedLogs:
    """The logs that a trust file names, read again for every question: it is small, and may have changed."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._read: tuple[bytes, tuple[TrustedKey, ...]] = (b"", ())
        self._complaint = ""

    def vkeys(self, origin: str) -> list[str]:
        """The keys of a log; none where it is not named. Raises Unavailable while the file cannot be used."""
        return [log.vkey for log in self._logs() if log.name == origin]

    def check(self) -> None:
        """Raises Unavailable where the file cannot be used."""
        self._logs()

    def _logs(self) -> tuple[TrustedKey, ...]:
        try:
            content = read_start(self._path, limits.TRUST_FILE_BYTES_MAX + 1)
            known, logs = self._read
            if content != known:
                logs = trust_policy.parse_logs(content.decode())
                self._read = content, logs
        except (OSError, UnicodeDecodeError, Invalid) as error:
            # What the file said before is not used: it may have been changed to take a key away.
            told = f"the trust file {self._path} cannot be used ({error})"
            if told != self._complaint:
                logger.warning("%s", told)
            self._complaint = told
            raise Unavailable(told, "mend the file; it is read again by itself") from None
        self._complaint = ""
        return logs


def answer(body: bytes, state: WitnessState, logs: AcceptedLogs, signer: WitnessSigner) -> Reply:
    """Cosign the checkpoint in a request, or say why not."""
    try:
        old, proof, note = _parsed(body)
        head, _ = checkpoints.parse(note)
    except Corrupt as error:
        return Reply(HTTPStatus.BAD_REQUEST, f"{error.message}\n")
    try:
        vkeys = logs.vkeys(head.origin)
        if not vkeys:
            return Reply(HTTPStatus.NOT_FOUND, "this log is not known here\n")
        vkey = _signed_by(note, vkeys)
        if vkey is None:
            return Reply(HTTPStatus.FORBIDDEN, "no signature by a known key of this log\n")
        if old > head.size:
            return Reply(HTTPStatus.BAD_REQUEST, f"the old size {old} is above {head.size}\n")
        ruling = state.advance(head, note, vkey, old, proof, signer)
    except Unavailable:
        return Reply(HTTPStatus.SERVICE_UNAVAILABLE, "not now\n")
    except CortexError:
        logger.exception("a checkpoint of %a could not be looked at", head.origin)
        return Reply(HTTPStatus.INTERNAL_SERVER_ERROR, "this witness needs to be looked after\n")
    return _reply(ruling, head, note)


def _reply(ruling: Ruling, head: Checkpoint, note: str) -> Reply:
    status = _STATUSES[ruling.outcome]
    if ruling.outcome == "forked":
        # The log signed two histories: this note and the stored one show it. A bad proof shows nothing, since anyone
        # may send one beside a note that is fine.
        logger.warning("SPLIT_VIEW: %a signed another root over %s leaves: %a", head.origin, head.size, note)
    if status == HTTPStatus.CONFLICT:
        return Reply(status, f"{ruling.size}\n", SIZE)
    return Reply(status, ruling.text if ruling.outcome == "cosigned" else f"{ruling.text}\n")


def _parsed(body: bytes) -> tuple[int, list[bytes], str]:
    try:
        matched = _REQUEST.fullmatch(body.decode())
    except UnicodeDecodeError:
        matched = None
    if matched is None:
        raise Corrupt("a request that is not an old size, a proof, an empty line and a checkpoint")
    proof = [checkpoints.decode_base64(line) for line in matched[2].splitlines()]
    return int(matched[1]), proof, matched[3]


def _signed_by(note: str, vkeys: list[str]) -> str | None:
    """The first of the log's keys that signed a note; None where none did, or one of them badly."""
    try:
        checkpoints.verify(note, vkeys)
    except Corrupt:
        return None
    names = {(line.name, line.key_id) for line in checkpoints.parse(note)[1]}
    keys = [(vkey, checkpoints.parse_vkey(vkey)) for vkey in vkeys]
    return next(vkey for vkey, key in keys if (key.name, key.key_id) in names)
