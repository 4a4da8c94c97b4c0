"""Attacks on the entries of the votes log, at every level of means and for every memory, and the exact codes of each.

The design's table of attacks says what must be printed; here is all that is. Where the two differ, this is why:

- A changed entry changes the tree: TREE_STATE (the state row is the old one) and HISTORY_REWRITTEN (so is the root that
  was signed) come with LEAF_HASH. An entry that nobody signed has no effect in the policy pass, the tables count it:
  STATE_POLICY; where weights followed from it, WEIGHT_POLICY. Of texts the owner alone knows: FACT_CHANGED.
- An attacker without keys who recomputes all leaves valid signatures over another root: HISTORY_REWRITTEN or TRUNCATED
  where the table has CHECKPOINT_SIG, which comes with a key of the attacker's own. The quorum is a matter of a trust
  policy: an outsider is told CHECKPOINT_SIG at the level of the log's key, the owner is not.
- A shorter log is ROLLBACK to every memory of it; one that was refilled to its size is HISTORY_REWRITTEN. Who holds the
  log's own signature for another root of that size is told SPLIT_VIEW.
- A stranger who signs with a key of its own has good signatures: KEY_NOT_VALID, where the table has EVENT_SIG and
  AGENT_SIG for those who name a key that they do not have. The offline verifier says one thing of an event that stands
  there twice, EVENT_TWICE; the owner is also told KEY_NOT_VALID where its key is no longer the one, or not new.
- The offline verifier reads a leaf in one form only: a name or a fact id that is none is LEAF_FORM there, and the owner
  is told that its signature is bad. An event signed for another log, or trust that nobody vouches for, is LEAF_FORM to the
  owner and EVENT_SIG there. It checks signatures last, so that what an event with a bad one brings about counts there:
  of WEIGHT_POLICY, which only follows from such an event, one of the two may be told and the other not.

Not found without memory, since nothing is wrong with what is there: another time of an entry, entries that are missing
or replaced where the log's key sealed the rest (to the owner), or all keys did. Never found: what the server may always
do, a vote for an agent whose key it keeps and an untrusted agent that it takes in.
"""

from pathlib import Path

import pytest
from vote_attack_kit import (
    BROKEN,
    CHANGED,
    LONGER,
    MISSING,
    NONE,
    OF_BOTH,
    OF_LATER_VOTES,
    OF_THE_LAST,
    OF_THE_VOTE,
    REWRITTEN,
    ROLLED_BACK,
    SAME,
    SHORT,
    SHORTER,
    SIGNATURE,
    SPLIT,
    Case,
    Row,
    unseen,
)

from cortex.bench import attacks
from cortex.bench.attacking import forgeries, on_entries, on_history
from cortex.bench.attacking.attacker import EDIT, LOG_KEY, OWN_KEY, REHASHED, WITNESS_KEYS
from cortex.bench.attacking.ledgers import BuiltLedger

AGENT, EVENT, KEY, TWICE = {"AGENT_SIG"}, {"EVENT_SIG"}, {"KEY_NOT_VALID"}, {"EVENT_TWICE"}
STATE, WEIGHT, FORM, TEXT, TIME = {"STATE_POLICY"}, {"WEIGHT_POLICY"}, {"LEAF_FORM"}, {"FACT_CHANGED"}, {"TIME_ORDER"}
# The index of ids has each once, so that a row with one of them again is not in it.
INDEX = {"SCHEMA"}
LINK, GAP, ORIGIN, MIRROR = {"CHAIN_LINK"}, {"GAP"}, {"ORIGIN"}, {"WEIGHT_MIRROR"}


def changed(name: str, *codes: tuple[set[str], set[str]]) -> Row:
    """A vote that is another one now."""
    return Row(name, CHANGED, codes[0], codes[-1], OF_THE_VOTE)


def event(name: str, *codes: tuple[set[str], set[str]]) -> Row:
    """Another event that is another one now: nobody has receipts for it."""
    return Row(name, CHANGED, codes[0], codes[-1], OF_LATER_VOTES)


def added(name: str, owner: set[str], outsider: set[str], counted: set[str] = NONE) -> Row:
    """An event at the end; the tables know nothing of it until all is recomputed."""
    return Row(name, LONGER, (owner, NONE), (owner | counted, outsider))


ROWS = [
    # 1 to 3
    changed("a vote flipped", (AGENT | STATE, AGENT)),
    changed("a vote flipped by which agents were judged", (AGENT | STATE | WEIGHT, AGENT | WEIGHT),
            (AGENT | STATE, AGENT)),
    Row("the mirror of a weight changed", SAME, (MIRROR, NONE), (MIRROR, NONE)),
    changed("a later time", (NONE, NONE)),
    changed("a time before the entry before", (TIME, TIME)),
    Row("a time a month later than the entry before", CHANGED, (NONE, NONE), (TIME, TIME), OF_THE_LAST),
    changed("another time of signing", (AGENT | STATE, AGENT)),
    # 4 to 7
    changed("another agent", (AGENT | KEY | STATE, AGENT | KEY), (AGENT | KEY, AGENT | KEY)),
    changed("an agent that there is not", (AGENT | KEY | STATE, AGENT | KEY), (AGENT | KEY, AGENT | KEY)),
    changed("a signature of zeros", (AGENT | STATE, AGENT)),
    changed("a signature for another one", (AGENT | STATE, AGENT)),
    changed("another digest", (AGENT | STATE | TEXT, AGENT)),
    changed("another fact", (AGENT | STATE, AGENT)),
    changed("another author", (AGENT | STATE | TEXT, AGENT)),
    changed("another reason", (AGENT | STATE, AGENT)),
    changed("characters moved from fact to agent", (AGENT | KEY | STATE | {"FACT_MISSING"}, FORM),
            (AGENT | KEY | {"FACT_MISSING"}, FORM)),
    # 8: recomputing it is no attack
    changed("a link overwritten", (LINK, NONE)),
    # 9 to 12
    Row("an entry deleted", SHORTER, (LINK | GAP, LINK | GAP), (GAP, GAP), (({"RECEIPT_MISSING"}, OF_BOTH[0][1]),
                                                                           OF_BOTH[1])),
    Row("an entry deleted, the rest renumbered", SHORTER, (LINK | {"LEAF_HASH"}, LINK), (NONE, NONE), OF_BOTH),
    Row("an entry deleted, the rest renumbered, another at the end", CHANGED, (LINK | STATE | WEIGHT, WEIGHT),
        (NONE, NONE), OF_BOTH),
    # 13
    changed("a heavier weight", (WEIGHT, WEIGHT)),
    changed("a heavier weight that counts", (STATE | WEIGHT, WEIGHT)),
    event("another truth in a resolution", (EVENT | STATE | WEIGHT, EVENT | WEIGHT), (EVENT | STATE | WEIGHT, EVENT)),
    event("another trust", (EVENT | STATE | WEIGHT, EVENT | WEIGHT), (EVENT | STATE | WEIGHT, EVENT)),
    event("another quorum in a policy", (EVENT | STATE, EVENT)),
    *(added(f"a forged event: {kind}", EVENT, EVENT, NONE if kind == "restored" else STATE)
      for kind in forgeries.KINDS),
    *(added(f"an event by a stranger's key: {kind}", KEY, KEY) for kind in forgeries.KINDS),
    added("a resolution that was signed for another log", FORM, EVENT),
    added("a trusted agent without the admin key", FORM, EVENT),
    added("an agent whose name differs by case alone", KEY, KEY),
    Row("an untrusted agent that nobody asked for", LONGER, (STATE, NONE), (NONE, NONE)),
    *(added(f"an old event again: {kind}", TWICE | INDEX, TWICE) for kind in ("resolve", "policy")),
    *(added(f"an old event again: {kind}", TWICE | INDEX | KEY, TWICE) for kind in ("trust", "agent", "key", "admin")),
    # 14 to 16
    changed("two ids swapped", (LINK | STATE | TIME, TIME), (TIME, TIME)),
    added("a forged vote", AGENT, AGENT, STATE),
    added("a forged vote by a stranger's key", KEY, KEY),
    added("a vote of an agent that there is not", KEY, KEY),
    added("a vote by the key of another agent", KEY, KEY),
    added("an old event again: vote", TWICE | INDEX, TWICE, STATE),
    Row("a vote that the server signed for its agent", LONGER, (STATE | WEIGHT, NONE), (NONE, NONE)),
    # 17, 20
    Row("the tail deleted under a checkpoint", SHORTER, (NONE, NONE), (NONE, NONE), OF_THE_LAST),
    Row("an agent's last ballot dropped", SHORTER, (NONE, NONE), (NONE, NONE), OF_THE_LAST),
    # 19: the admin key signed the root of that time, which who has all other keys cannot do.
    changed("an entry changed in a log that was restored since", (NONE, NONE), (REWRITTEN, REWRITTEN)),
    # 21
    event("the key of an agent swapped", (EVENT | KEY | STATE | WEIGHT, EVENT | KEY | WEIGHT),
          (EVENT | KEY | STATE, EVENT | KEY)),
    event("the key of a device swapped", (EVENT | KEY | STATE, EVENT | KEY)),
    event("the admin key swapped in the genesis", (EVENT | KEY | STATE, EVENT | KEY | ORIGIN | WEIGHT),
          (EVENT | KEY | STATE, EVENT | KEY | ORIGIN)),
    # 27
    Row("another history of the same size", CHANGED, (NONE, NONE), (NONE, NONE), OF_THE_LAST),
    # 28
    *(added(name, KEY, KEY) for name in ("a revoked key used later", "a rotated key used later",
                                         "the key of a revoked agent used later")),
    # What is no entry at all
    changed("an unknown version", (FORM, FORM)),
    event("an unknown kind", (FORM | STATE, FORM), (FORM, FORM)),
    event("an event that is none", (FORM | STATE, FORM), (FORM, FORM)),
]  # fmt: skip

# What fits no shape.
STATE_ROW, CHAIN = {"TREE_STATE"}, MISSING | BROKEN
SWAPPED = "the log's key swapped in the genesis"
BY_OLD_KEY, BY_OWN_KEY = SIGNATURE | EVENT | KEY | STATE, EVENT | KEY | STATE
APART = [
    # What was signed and remembered is held against stored hashes by witnesses alone: this one is none of an entry.
    Case("a hash overwritten", (EDIT,), (LINK | {"LEAF_HASH"}, NONE), checkpoint=(REWRITTEN, NONE)),
    # Nothing of such a row can be exported.
    Case("a vote of an unknown kind", (EDIT,), (FORM | STATE | STATE_ROW | REWRITTEN | {"LEAF_HASH"}, {"-"}),
         receipts=(MISSING, NONE)),
    # 3: no entry follows whose link would be broken.
    Case("a time a month later than the entry before", (EDIT,),
         (TIME | STATE | STATE_ROW | REWRITTEN | {"LEAF_HASH"}, TIME | REWRITTEN), receipts=(MISSING, MISSING)),
    # 18 and 19: the file is in order, only older.
    Case("cut back to a checkpoint", (EDIT,), (STATE | STATE_ROW, SIGNATURE | SHORT), ROLLED_BACK,
         (REWRITTEN, ROLLED_BACK), (CHAIN, MISSING)),
    Case("cut back to a checkpoint", (REHASHED,), (NONE, NONE), ROLLED_BACK, (ROLLED_BACK, ROLLED_BACK),
         (CHAIN, MISSING)),
    Case("an old backup in the place of the file", (EDIT,), (NONE, NONE), ROLLED_BACK, (ROLLED_BACK, ROLLED_BACK),
         (CHAIN, MISSING)),
    # 19: a note or a receipt of a log that is not there says nothing of the one that is, or of none.
    Case("the tables emptied", (EDIT,), ({"-"}, {"-"}), ROLLED_BACK),
    Case("another log begun in the place of this one", (EDIT,), (NONE, ORIGIN), ROLLED_BACK),
    # 27: each signature is in order.
    Case("another history of the same size", (EDIT,), (STATE | STATE_ROW | WEIGHT | REWRITTEN, WEIGHT | REWRITTEN),
         receipts=(MISSING, MISSING)),
    # 29: others may wait for what they were promised; where another entry stands in its place they need not.
    Case("a promised vote swallowed", (EDIT,), (NONE, NONE), receipts=(BROKEN, NONE)),
    Case("a promised vote swallowed for another one", (LOG_KEY,), (NONE, SIGNATURE), receipts=(BROKEN, BROKEN)),
    Case("a promised vote swallowed for another one", (WITNESS_KEYS,), (NONE, NONE), receipts=(BROKEN, BROKEN)),
    # 21: checkpoints and promises count by the key that the genesis names. An outsider has pinned it.
    Case(SWAPPED, (EDIT,), (BY_OLD_KEY | STATE_ROW | {"LEAF_HASH"}, EVENT | LINK | ORIGIN | REWRITTEN), REWRITTEN),
    Case(SWAPPED, (REHASHED,), (BY_OLD_KEY, EVENT | ORIGIN | REWRITTEN), REWRITTEN, (REWRITTEN, NONE),
         (MISSING, CHAIN)),
    Case(SWAPPED, (OWN_KEY,), (BY_OWN_KEY, EVENT | ORIGIN | SIGNATURE), REWRITTEN, (SPLIT, REWRITTEN),
         (MISSING, CHAIN)),
    Case(SWAPPED, (LOG_KEY,), (BY_OLD_KEY, EVENT | ORIGIN | SIGNATURE), REWRITTEN, (SPLIT, SPLIT | REWRITTEN),
         (MISSING, CHAIN)),
    Case(SWAPPED, (WITNESS_KEYS,), (BY_OLD_KEY, EVENT | ORIGIN), REWRITTEN, (SPLIT, SPLIT | REWRITTEN),
         (MISSING, CHAIN)),
]  # fmt: skip

TABLE = {(row.name, level): row for row in ROWS for level in attacks.BY_NAME[row.name].levels}
TABLE |= {(case.name, level): case for case in APART for level in case.levels}


@pytest.mark.parametrize(("name", "level"), TABLE, ids=[f"{name}, {level}" for name, level in TABLE])
def test_an_attack_on_the_entries_shows_exactly_this(voted: BuiltLedger, tmp_path: Path, name: str, level: str) -> None:
    found = attacks.carried_out(attacks.BY_NAME[name], level, voted, tmp_path)

    assert TABLE[name, level].told(level) == found


def test_every_attack_on_the_entries_is_in_the_table_at_every_level_it_makes_sense_at() -> None:
    there = [*on_entries.ATTACKS, *on_history.ATTACKS]

    assert {(attack.name, level) for attack in there for level in attack.levels} == set(TABLE)


def test_what_nobody_finds_is_allowed_to_a_server() -> None:
    names = {name for (name, level), row in TABLE.items() if unseen(row.told(level))}

    assert {"a vote that the server signed for its agent", "an untrusted agent that nobody asked for"} == names
    assert all(attacks.BY_NAME[name].allowed for name in names)
