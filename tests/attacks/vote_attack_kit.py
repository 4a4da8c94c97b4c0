"""What an attack on a votes ledger shows at each level of means and to each memory, written down as a table.

What depends on the level and the memory alone stands here, once for each shape that an attack gives the log.
"""

from typing import NamedTuple

from cortex.bench.attacking.attacker import EDIT, LEVELS, LOG_KEY, OWN_KEY, REHASHED, WITNESS_KEYS
from cortex.bench.attacking.verifiers import CHECKPOINT, NOTHING, RECEIPTS, REMEMBERED, AttackTold

Codes = set[str]
# To the owner, by `cortex vote-ledger verify`, and to an outsider, by `verify.py`.
Both = tuple[Codes, Codes]

NONE: Codes = set()
SIGNATURE, REWRITTEN, SPLIT, SHORT = {"CHECKPOINT_SIG"}, {"HISTORY_REWRITTEN"}, {"SPLIT_VIEW"}, {"TRUNCATED"}
ROLLED_BACK, MISSING, BROKEN = {"ROLLBACK"}, {"RECEIPT_MISSING"}, {"PROMISE_BROKEN"}

# Checkpoints signed with a key of the attacker's own are bad to everybody. With the key of the log they are good to the
# owner; an outsider asks for the cosignatures, too. With the keys of the witnesses they are good to both.
_SIGNED = {OWN_KEY: (SIGNATURE, SIGNATURE), LOG_KEY: (NONE, SIGNATURE), WITNESS_KEYS: (NONE, NONE)}


class Shape(NamedTuple):
    """What an attack makes of the log, and what that alone shows without memory and with."""

    shown: dict[str, Both]
    remembered: Codes
    checkpoint: dict[str, Both]


# The entries are as they were.
SAME = Shape({EDIT: (NONE, NONE), REHASHED: (NONE, NONE), **_SIGNED}, NONE, dict.fromkeys(LEVELS, (NONE, NONE)))

# As many entries, and other ones. A bundle has no hashes beside the entries: an edit is a broken link there. A note of
# the same size and another root, signed by the key of the log, is a split view.
CHANGED = Shape(
    {
        EDIT: ({"LEAF_HASH", "TREE_STATE"} | REWRITTEN, {"CHAIN_LINK"} | REWRITTEN),
        REHASHED: (REWRITTEN, REWRITTEN),
        **_SIGNED,
    },
    REWRITTEN,
    {
        EDIT: (REWRITTEN, REWRITTEN),
        REHASHED: (REWRITTEN, REWRITTEN),
        OWN_KEY: (SPLIT, REWRITTEN),
        LOG_KEY: (SPLIT, SPLIT | REWRITTEN),
        WITNESS_KEYS: (SPLIT, SPLIT | REWRITTEN),
    },
)

# Fewer entries. A log that has lost entries is signed no more: who exports it hands out what was signed before. An edited
# log has the state row of before: a witness's note is held against that size.
SHORTER = Shape(
    {
        EDIT: ({"TREE_STATE", "STATE_POLICY"} | SHORT, SHORT),
        REHASHED: (SHORT, SHORT),
        **_SIGNED,
    },
    ROLLED_BACK,
    {level: (REWRITTEN if level == EDIT else ROLLED_BACK, ROLLED_BACK) for level in LEVELS},
)

# More entries. The last checkpoint does not cover what was only put into the table: it is in no bundle. Where the state
# row knows of it, whoever exports signs it, and no witness has cosigned that.
LONGER = Shape(
    {EDIT: ({"TREE_STATE"}, NONE), REHASHED: (NONE, SIGNATURE), **_SIGNED},
    NONE,
    dict.fromkeys(LEVELS, (NONE, NONE)),
)

# What receipts show: after an edit, and where what follows was recomputed. Some agents have proofs, which are missing
# then, and some have promises alone, which are broken.
Receipts = tuple[Both, Both]
NO_RECEIPT: Receipts = ((NONE, NONE), (NONE, NONE))
OF_THE_VOTE: Receipts = ((MISSING, MISSING), (MISSING | BROKEN, MISSING | BROKEN))
OF_LATER_VOTES: Receipts = ((NONE, NONE), (MISSING | BROKEN, MISSING | BROKEN))
OF_BOTH: Receipts = ((MISSING | BROKEN, MISSING | BROKEN), (MISSING | BROKEN, MISSING | BROKEN))
OF_THE_LAST: Receipts = ((MISSING, MISSING), (MISSING, MISSING))


def unseen(told: AttackTold) -> bool:
    """Whether nobody finds anything, with any memory."""
    return not any((told.facts, *told.owner.values(), *told.outsider.values()))


class Row(NamedTuple):
    """The codes of one attack: besides those of its shape, after an edit and where what follows was recomputed.

    What is exported after an edit alone has no entries that were only added: there `edit` says nothing of them.
    """

    name: str
    shape: Shape
    edit: Both
    later: Both
    receipts: Receipts = NO_RECEIPT
    facts: Codes = NONE

    def told(self, level: str) -> AttackTold:
        """What everybody has to be told at a level."""
        number = 0 if level == EDIT else 1
        own = (self.edit, self.later)[number]
        owner, outsider = (one | other for one, other in zip(self.shape.shown[level], own, strict=True))
        seen, held = self.shape.checkpoint[level], self.receipts[number]
        return AttackTold(
            owner={
                NOTHING: frozenset(owner),
                REMEMBERED: frozenset(owner | self.shape.remembered),
                CHECKPOINT: frozenset(owner | seen[0]),
                RECEIPTS: frozenset(owner | held[0]),
            },
            facts=frozenset(self.facts),
            outsider={
                NOTHING: frozenset(outsider),
                CHECKPOINT: frozenset(outsider | seen[1]),
                RECEIPTS: frozenset(outsider | held[1]),
            },
        )


class Case(NamedTuple):
    """An attack that fits no shape, at some levels: the codes without memory, and what each memory adds."""

    name: str
    levels: tuple[str, ...]
    codes: Both
    remembered: Codes = NONE
    checkpoint: Both = (NONE, NONE)
    receipts: Both = (NONE, NONE)
    facts: Codes = NONE

    def told(self, level: str) -> AttackTold:
        """What everybody has to be told at a level."""
        assert level in self.levels
        shape = Shape({level: (NONE, NONE)}, self.remembered, {level: self.checkpoint})
        return Row(self.name, shape, self.codes, self.codes, (self.receipts, self.receipts), self.facts).told(level)
