"""The parameters of the rules, in integers, as a `policy` event carries them: trust/DESIGN.md says what each does."""

from functools import lru_cache
from typing import Annotated, Literal

import msgspec
from msgspec import Meta, Struct

from cortex.errors import Corrupt

Level = Literal["untrusted", "standard", "trusted"]
Rule = Literal["weighted", "linear"]

# Agents that an admin vouches for.
VOUCHED = frozenset({"standard", "trusted"})

_Share = Annotated[int, Meta(ge=1, le=999_999)]
_Sum = Annotated[int, Meta(ge=1, le=100_000_000)]
_Count = Annotated[int, Meta(ge=1, le=1_000)]
_Units = Annotated[int, Meta(ge=1, le=10_000)]
_Prior = tuple[_Units, _Units]


class Prior(Struct, frozen=True, forbid_unknown_fields=True):
    """Evidence for and against an agent that each level begins with, in units."""

    standard: _Prior = (3, 1)
    trusted: _Prior = (9, 1)
    untrusted: _Prior = (1, 1)


class Policy(Struct, frozen=True, forbid_unknown_fields=True):
    """The rules in force. Members in the order of their canonical bytes; `*_e6` in millionths."""

    cap_e6: Annotated[int, Meta(ge=0, le=1_000_000)] = 250_000
    ceiling_e6: _Share = 950_000
    contested: _Count = 3
    floor_e6: _Share = 50_000
    half_life_days: Annotated[int, Meta(ge=1, le=36_500)] = 180
    judge_e6: _Sum = 2_197_224
    prior: Prior = Prior()
    quorum: _Count = 3
    resolve: _Count = 3
    rule: Rule = "weighted"
    settle_s: Annotated[int, Meta(ge=0, le=366 * 86_400)] = 86_400
    threshold_e6: _Sum = 2_944_439


WEIGHTED = Policy()
LINEAR = Policy(rule="linear")


def prior(policy: Policy, level: str) -> tuple[int, int]:
    """What a level begins with, in units; agents that were revoked weigh nothing and are never asked for."""
    return {"standard": policy.prior.standard, "trusted": policy.prior.trusted}.get(level, policy.prior.untrusted)


def encode(policy: Policy) -> str:
    return msgspec.json.encode(policy).decode()


@lru_cache(maxsize=64)
def decode(text: str) -> Policy:
    """The policy of a state row or an event. Raises Corrupt for what is none."""
    try:
        return msgspec.json.decode(text, type=Policy)
    except (msgspec.MsgspecError, RecursionError) as error:
        hint = "`cortex vote-ledger verify` says what was changed"
        raise Corrupt(f"the policy of the votes log cannot be read ({error})", hint) from None
