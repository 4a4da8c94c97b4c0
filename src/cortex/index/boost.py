"""What lifts a result beside how well it fits: that it is recent, that others vouch for it. Pure.

score x (1 + R x 2^(-age / H)) x (1 + C x (consensus - 1)), with the constants below.
"""

# R: what was recorded this moment counts for a fifth more; H: half of that is gone after a month.
RECENCY = 0.2
RECENCY_HALF_LIFE_DAYS = 30.0
# C: how far votes move a result. Their score is CONSENSUS_NEUTRAL for a fact that nobody voted on.
CONSENSUS = 0.5
CONSENSUS_NEUTRAL = 1.0


def boosted(score: float, *, age_days: float | None = None, consensus_score: float = CONSENSUS_NEUTRAL) -> float:
    """A score, not below 0, with both boosts. Without an age it gets none for it; an age below 0 counts as 0."""
    halvings = None if age_days is None else max(0.0, age_days) / RECENCY_HALF_LIFE_DAYS
    recent = 0.0 if halvings is None else float(0.5**halvings)
    return score * (1 + RECENCY * recent) * (1 + CONSENSUS * (consensus_score - CONSENSUS_NEUTRAL))
