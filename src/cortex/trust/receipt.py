"""What an agent keeps of a vote it signed: its ballot, where the log put it, and the log's word or proof of that."""

import hashlib
from typing import Annotated

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

from cortex import limits
from cortex.trust import events

_Id = Annotated[str, Meta(min_length=1, max_length=limits.NAME_CHARS_MAX)]
_Sig = Annotated[str, Meta(pattern=r"\A[0-9a-f]{128}\Z")]
_Idx = Annotated[int, Meta(ge=0, le=limits.SEQ_MAX)]
_Salt = Annotated[str, Meta(pattern=rf"\A{events.SALT}\Z")]
_Reason = Annotated[str, Meta(min_length=1, max_length=limits.REASON_BYTES_MAX)]


class _BallotLeaf(Struct):
    event: dict[str, str | int | None]
    idx: int
    sigs: list[str]


_leaves = msgspec.json.Decoder(_BallotLeaf)


class AgentReceipt(Struct, frozen=True, forbid_unknown_fields=True):
    """What the agent signed, where the log put it, and what the log gave as its word (promise) or its proof.

    The ballot holds a salted digest of its `reason`: with the text and the `salt` it can be handed in again whole.
    """

    ballot: dict[str, str | int | None]
    sig: _Sig
    idx: _Idx
    leaf: str
    promise: str | None = None
    proof: str | None = None
    reason: _Reason | UnsetType = UNSET
    salt: _Salt | UnsetType = UNSET

    def __post_init__(self) -> None:
        ballot_id = self.ballot.get("id")
        if not isinstance(ballot_id, str) or not 0 < len(ballot_id) <= limits.NAME_CHARS_MAX:
            raise ValueError("a ballot without an id")

    @property
    def id(self) -> str:
        """The id of the ballot."""
        return str(self.ballot["id"])

    @property
    def key(self) -> str:
        """What tells the ballot from every other: two may have one id, where a vote was cast anew after a restore."""
        return hashlib.sha256(msgspec.json.encode(self.ballot, order="sorted")).hexdigest()

    @property
    def is_of_its_leaf(self) -> bool:
        """Whether the leaf holds the ballot, at the place that the receipt names."""
        try:
            told = _leaves.decode(self.leaf)
        except (msgspec.DecodeError, RecursionError):
            return False
        return (told.event, told.idx) == (self.ballot, self.idx)

    @classmethod
    def of_leaf(cls, leaf: bytes, promise: str | None = None, proof: str | None = None) -> "AgentReceipt":
        """The receipt of the ballot in a leaf of the log."""
        told = _leaves.decode(leaf)
        text = leaf.decode()
        return cls(ballot=told.event, sig=told.sigs[0], idx=told.idx, leaf=text, promise=promise, proof=proof)

    def after(self, before: "AgentReceipt") -> "AgentReceipt":
        """The receipt with what an earlier one of its ballot holds beyond it: of the same entry, the reason of any."""
        later = msgspec.structs.replace(
            self,
            reason=before.reason if self.reason is UNSET else self.reason,
            salt=before.salt if self.salt is UNSET else self.salt,
        )
        if (before.sig, before.idx, before.leaf) != (self.sig, self.idx, self.leaf):
            return later
        return msgspec.structs.replace(
            later,
            promise=before.promise if self.promise is None else self.promise,
            proof=before.proof if self.proof is None else self.proof,
        )

    def explains(self, fact: str) -> bool:
        """Whether it holds the reason of a vote on a fact."""
        return self.ballot.get("fact") == fact and self.reason is not UNSET

    def without_reason(self, fact: str) -> "AgentReceipt":
        """The same receipt; where its vote is on this fact, without the reason."""
        return msgspec.structs.replace(self, reason=UNSET, salt=UNSET) if self.explains(fact) else self

    def explained(self, reason: str | None, salt: bytes | None) -> "AgentReceipt":
        """The same receipt with the reason of its ballot, where there is one."""
        if reason is None or salt is None:
            return self
        return msgspec.structs.replace(self, reason=reason, salt=salt.hex())
