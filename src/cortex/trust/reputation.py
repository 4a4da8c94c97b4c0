"""Evidence, fading and weights, in integers and in decimal arithmetic of fixed precision: the same on every machine.

The weight of a vote is ln(r / (1 - r)): the best one for independent voters of known accuracy (Nitzan and Paroush,
"Optimal Decision Rules in Uncertain Dichotomous Choice Situations", 1982). `ln`, `exp` and `sqrt` of Python's decimal
module are correctly rounded by its specification.
"""

import decimal
from decimal import Decimal
from functools import lru_cache

from cortex.trust import policy as policies
from cortex.trust.policy import Policy

UNIT = 1_000_000
_FADING = 10**12

_context = decimal.Context(
    prec=40, rounding=decimal.ROUND_HALF_EVEN, Emin=-999_999, Emax=999_999, capitals=1, clamp=0, flags=[], traps=[]
)
_LN2 = _context.ln(Decimal(2))


@lru_cache(maxsize=4096)
def _left(days: int, half_life_days: int) -> int:
    """What is left of 10^12 after so many days."""
    exponent = _context.divide(_context.multiply(Decimal(-days), _LN2), Decimal(half_life_days))
    return int(_context.multiply(_context.exp(exponent), Decimal(_FADING)))


def faded(evidence_e6: int, days: int, half_life_days: int) -> int:
    """What is left of evidence after whole days; none of it comes back when time seems to run backwards."""
    if evidence_e6 == 0 or days <= 0:
        return evidence_e6
    return evidence_e6 * _left(days, half_life_days) // _FADING


def reputation_e6(policy: Policy, level: str, for_e6: int, against_e6: int) -> int:
    """The reputation r in millionths, rounded toward zero: for people, since weights are made from r itself."""
    return int(_context.multiply(_reputation(policy, level, for_e6, against_e6), Decimal(UNIT)))


@lru_cache(maxsize=65_536)
def weight_e6(policy: Policy, level: str, for_e6: int, against_e6: int) -> int:
    """The weight of a vote by an agent with this evidence beside the prior of its level."""
    if level == "revoked":
        return 0
    r = _reputation(policy, level, for_e6, against_e6)
    weight = _context.ln(_context.divide(r, _context.subtract(Decimal(1), r)))
    return max(0, int(_context.multiply(weight, Decimal(UNIT))))


def _reputation(policy: Policy, level: str, for_e6: int, against_e6: int) -> Decimal:
    start_for, start_against = policies.prior(policy, level)
    a = _context.divide(Decimal(start_for * UNIT + for_e6), Decimal(UNIT))
    b = _context.divide(Decimal(start_against * UNIT + against_e6), Decimal(UNIT))
    both = _context.add(a, b)
    r = _context.divide(a, both)
    if level not in policies.VOUCHED:
        # One standard deviation of Beta(a, b) below the mean: who is unknown is not believed for lack of evidence.
        spread = _context.multiply(_context.multiply(both, both), _context.add(both, Decimal(1)))
        r = _context.subtract(r, _context.sqrt(_context.divide(_context.multiply(a, b), spread)))
    floor = _context.divide(Decimal(policy.floor_e6), Decimal(UNIT))
    ceiling = _context.divide(Decimal(policy.ceiling_e6), Decimal(UNIT))
    return min(max(r, floor), ceiling)
