"""What votes on one text of a fact come to: sums, belief, verdict, and what a verdict still lacks. Pure."""

import math
from dataclasses import dataclass
from typing import Literal

from cortex.plurals import counted
from cortex.trust.policy import Policy
from cortex.trust.reputation import UNIT

Verdict = Literal["none", "contested", "verified", "disputed"]

# The linear rule, in tenths: where it starts, and where it is verified and disputed.
LINEAR_START = 10
LINEAR_VERIFIED = 15
LINEAR_DISPUTED = 5


@dataclass(slots=True)
class Sums:
    """Over the current votes: weights in millionths, signed and absolute, of vouched agents and of the others.

    `vouched_pro` and `vouched_con` count vouched agents of positive weight, `counted_*` all that were not revoked.
    """

    vouched_sum: int = 0
    vouched_abs: int = 0
    others_sum: int = 0
    others_abs: int = 0
    vouched_pro: int = 0
    vouched_con: int = 0
    counted_pro: int = 0
    counted_con: int = 0

    def add(self, vote: int, weight_e6: int, *, vouched: bool, counted: bool, times: int = 1) -> None:
        """Take a vote in, or out with `times` of -1."""
        if vote == 0:
            return
        if vouched:
            self.vouched_sum += times * vote * weight_e6
            self.vouched_abs += times * weight_e6
            if weight_e6 > 0 and vote > 0:
                self.vouched_pro += times
            elif weight_e6 > 0:
                self.vouched_con += times
        else:
            self.others_sum += times * vote * weight_e6
            self.others_abs += times * weight_e6
        if counted and vote > 0:
            self.counted_pro += times
        elif counted:
            self.counted_con += times

    @property
    def tenths(self) -> int:
        """The score of the linear rule, in tenths."""
        return LINEAR_START + self.counted_pro - self.counted_con


def sigma_e6(sums: Sums, policy: Policy) -> int:
    """The weighted sum, with what the others weigh held to their share of the vouched ones."""
    return sums.vouched_sum + capped(sums.others_sum, sums, policy)


def capped(part_e6: int, sums: Sums, policy: Policy) -> int:
    """A part of the others' sum after their cap, rounded toward zero."""
    most = policy.cap_e6 * sums.vouched_abs
    if sums.others_abs * UNIT <= most:
        return part_e6
    scaled = abs(part_e6) * most // (UNIT * sums.others_abs)
    return scaled if part_e6 >= 0 else -scaled


def judge(sums: Sums, policy: Policy) -> tuple[int, int | None, Verdict]:
    """The weighted sum, the score in tenths where the rule is linear, and the verdict."""
    sigma = sigma_e6(sums, policy)
    if policy.rule == "linear":
        return sigma, sums.tenths, _linear(sums, policy)
    enough = sums.vouched_pro + sums.vouched_con >= policy.quorum
    if enough and sigma >= policy.threshold_e6:
        return sigma, None, "verified"
    if enough and sigma <= -policy.threshold_e6:
        return sigma, None, "disputed"
    split = min(sums.vouched_pro, sums.vouched_con) >= policy.contested
    return sigma, None, "contested" if split else "none"


def _linear(sums: Sums, policy: Policy) -> Verdict:
    if sums.tenths >= LINEAR_VERIFIED:
        return "verified"
    if sums.tenths <= LINEAR_DISPUTED:
        return "disputed"
    return "contested" if min(sums.counted_pro, sums.counted_con) >= policy.contested else "none"


def consensus_score(sigma: int, tenths: int | None, resolved: int = 0) -> float:
    """From 0 to 2, 1 is neutral: twice the belief 1 / (1 + exp(-sum)); under the linear rule its own, unbounded.

    What a person resolved is 2 or 0.
    """
    if resolved:
        return 1.0 + resolved
    if tenths is not None:
        return tenths / 10
    # Where the exponent is large the belief is 0 or 1 to the last digit shown.
    return round(2 / (1 + math.exp(max(-60.0, min(60.0, -sigma / UNIT)))), 6)


def missing(sums: Sums, policy: Policy) -> list[str]:
    """What is still missing for a verdict, in words; nothing where there is one."""
    sigma, tenths, verdict = judge(sums, policy)
    if verdict in {"verified", "disputed"}:
        return []
    if tenths is not None:
        return [
            f"{counted(LINEAR_VERIFIED - tenths, 'more vote')} for it, or {tenths - LINEAR_DISPUTED} more against it"
        ]
    told = []
    voters = sums.vouched_pro + sums.vouched_con
    if voters < policy.quorum:
        told.append(
            f"{counted(policy.quorum - voters, 'more vouched agent')} of positive weight (it takes {policy.quorum})"
        )
    if abs(sigma) < policy.threshold_e6:
        lacking = (policy.threshold_e6 - abs(sigma)) / UNIT
        told.append(f"{lacking:.3f} more weight on one side (it takes {policy.threshold_e6 / UNIT:.3f})")
    return told
