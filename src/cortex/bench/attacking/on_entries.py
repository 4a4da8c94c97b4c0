"""Attacks on entries that are there: rows 1 to 9, 13 and 14, and 21."""

from datetime import timedelta

from cortex import times
from cortex.bench.attacking import forgeries
from cortex.bench.attacking.attack import Attack, Deed
from cortex.bench.attacking.attacker import EDIT, Attacker
from cortex.bench.attacking.ledgers import START

_HEAVY = 5_000_000


def _vote(change: str) -> Deed:
    """Changes columns of a vote of the last day, by an agent whose receipts have proofs."""
    return lambda at: at.set(at.target, change)


def _settled(at: Attacker) -> None:
    at.set(at.vote_of("bob", "sky"), "vote = -vote")


def _mirror(at: Attacker) -> None:
    at.set(at.target, "vote_weight = vote_weight + 1")


def _jumped(at: Attacker) -> None:
    later = times.canonical(times.parse(at.log.ts) + timedelta(days=31))
    at.set(at.log.size, "timestamp = ?", (later,))


def _heavier(at: Attacker) -> None:
    at.weights[at.target] = _HEAVY
    at.set(at.target, f"weight_e6 = {_HEAVY}, vote_weight = {_HEAVY} / 1e6")


def _counted(at: Attacker) -> None:
    """Let the heavier weight count, too."""
    at.edit(
        "UPDATE vote_tally SET vouched_sum = vouched_sum + 1000000, sigma_e6 = sigma_e6 + 1000000 WHERE"
        f" (fact, digest) = (SELECT fact_id, fact_digest FROM vote_ledger WHERE id = {at.target})",
        f"UPDATE vote_current SET weight_e6 = {_HEAVY} WHERE leaf = {at.target - 1}",
    )


def _swapped(at: Attacker) -> None:
    one = at.target - 1
    for old, new in ((one, -1), (one + 1, one), (-1, one + 1)):
        at.edit(f"UPDATE vote_ledger SET id = {new} WHERE id = {old}")


def _key_of_ann(at: Attacker) -> None:
    number = at.last("agent", "json_extract(event, '$.agent') = 'ann'")
    at.set(number, "event = replace(event, json_extract(event, '$.key'), ?)", (forgeries.public(forgeries.STRANGER),))


def _key_of_device(at: Attacker) -> None:
    number = at.last("key", "json_extract(event, '$.agent') = 'ann'")
    at.set(number, "event = replace(event, json_extract(event, '$.key'), ?)", (forgeries.public(forgeries.STRANGER),))


def _admin(at: Attacker) -> None:
    at.set(1, "event = replace(event, json_extract(event, '$.key'), ?)", (forgeries.public(forgeries.STRANGER),))


def _log_key(at: Attacker) -> None:
    at.set(1, "event = replace(event, json_extract(event, '$.vkey'), ?)", (at.own_vkey,))


def _event(kind: str, old: str, new: str) -> Deed:
    return lambda at: at.set(at.last(kind), f"event = replace(event, '{old}', '{new}')")


ATTACKS = (
    Attack("1", "a vote flipped", _vote("vote = -vote")),
    Attack("1", "a vote flipped by which agents were judged", _settled),
    Attack("2", "the mirror of a weight changed", after=_mirror),
    Attack("3", "a later time", _vote("timestamp = substr(timestamp, 1, 20) || '500000Z'")),
    Attack("3", "a time before the entry before", _vote(f"timestamp = '{START}'")),
    Attack("3", "a time a month later than the entry before", _jumped),
    Attack("3", "another time of signing", _vote(f"at = '{START}'")),
    Attack("4", "another agent", _vote("agent_id = 'cay'")),
    Attack("4", "an agent that there is not", _vote("agent_id = 'nobody'")),
    Attack("5", "a signature of zeros", _vote("signature = zeroblob(64)")),
    Attack("5", "a signature for another one", _vote("signature = (SELECT signature FROM vote_ledger WHERE id = 8)")),
    Attack("6", "another digest", _vote("fact_digest = zeroblob(32)")),
    Attack("6", "another fact", _vote("(fact_id, fact_digest) = (SELECT fact_id, fact_digest FROM vote_ledger"
                                      " WHERE id = 8)")),
    Attack("6", "another author", _vote("author = 'mallory'")),
    Attack("6", "another reason", _vote("reason_digest = zeroblob(32)")),
    Attack("7", "characters moved from fact to agent", _vote("agent_id = substr(fact_id, -4) || agent_id,"
                                                             " fact_id = substr(fact_id, 1, 32)")),
    Attack("8", "a hash overwritten", _vote("hash = zeroblob(32)"), levels=(EDIT,)),
    Attack("8", "a link overwritten", _vote("prev_hash = zeroblob(32)"), levels=(EDIT,)),
    Attack("13", "a heavier weight", _heavier),
    Attack("13", "a heavier weight that counts", _heavier, _counted),
    Attack("13", "another truth in a resolution", _event("resolve", '"truth":1', '"truth":-1')),
    Attack("13", "another trust", _event("trust", '"trust":"standard"', '"trust":"trusted"')),
    Attack("13", "another quorum in a policy", _event("policy", '"quorum":3', '"quorum":1')),
    Attack("14", "two ids swapped", _swapped),
    Attack("21", "the key of an agent swapped", _key_of_ann),
    Attack("21", "the key of a device swapped", _key_of_device),
    Attack("21", "the admin key swapped in the genesis", _admin),
    Attack("21", "the log's key swapped in the genesis", _log_key),
    Attack("form", "an unknown version", _vote("v = 2")),
    Attack("form", "an unknown kind", lambda at: at.set(at.last("policy"), "kind = 'bless'")),
    Attack("form", "a vote of an unknown kind", _vote("kind = 'ballot'"), levels=(EDIT,)),
    Attack("form", "an event that is none", _event("policy", '"v":1', '"v":2')),
)  # fmt: skip
