"""Trust policies: which logs and which witnesses are believed, and how many of them (C2SP tlog-policy).

Besides the lines of C2SP, `threshold <k>` says how many of a log's keys must have signed: the nodes of one log each
sign with a key of their own.
"""

import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from cortex import limits
from cortex.errors import Corrupt, Invalid
from cortex.ledger import checkpoint as checkpoints
from cortex.ledger import cosignature
from cortex.ledger.checkpoint import Checkpoint

NOBODY = "none"

_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f]")
_BLANK = re.compile("[ \t]+")
_COUNT = re.compile("[1-9][0-9]{0,8}")


@dataclass(frozen=True, slots=True)
class TrustedKey:
    """A log or a witness that is believed. A log's name is its origin, a witness's is the policy's own word."""

    name: str
    vkey: str
    url: str | None = None


@dataclass(frozen=True, slots=True)
class WitnessGroup:
    """At least `needed` of these witnesses and groups."""

    name: str
    needed: int
    members: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class TrustPolicy:
    """What a checkpoint needs to be believed. Groups name only what stands before them."""

    logs: tuple[TrustedKey, ...]
    witnesses: tuple[TrustedKey, ...]
    groups: tuple[WitnessGroup, ...]
    quorum: str
    threshold: int = 1

    def satisfied(self, note: str) -> Checkpoint:
        """The checkpoint of a note that its log signed and enough witnesses cosigned; else raises Corrupt."""
        origin = checkpoints.parse(note)[0].origin
        vkeys = [log.vkey for log in self.logs if log.name == origin]
        if not vkeys:
            raise Corrupt(f"a checkpoint of {ascii(origin)[:200]}, which no log line names", "see the trust policy")
        head = checkpoints.verify(note, vkeys, self.threshold, origin)
        seen = {each.name for each in self.witnesses if cosignature.cosigned_at(note, each.vkey) is not None}
        cosigned = len(seen)
        for group in self.groups:
            if len(seen.intersection(group.members)) >= group.needed:
                seen.add(group.name)
        if self.quorum != NOBODY and self.quorum not in seen:
            raise Corrupt(
                f"{cosigned} of {len(self.witnesses)} witnesses cosigned, which is not the quorum {self.quorum}",
                "ask the witnesses for their cosignatures; see the trust policy",
            )
        return head


def parse(text: str) -> TrustPolicy:
    """The policy that a file holds. Raises Invalid naming the line."""
    reading = _read(text)
    if reading.quorum is None:
        raise Invalid("a trust policy without a quorum line", f"end it with `quorum <name>` or `quorum {NOBODY}`")
    for origin, count in Counter(log.name for log in reading.logs).items():
        if count < reading.threshold:
            raise Invalid(
                f"a threshold of {reading.threshold} where {origin} has {count} keys", "name more keys, or lower it"
            )
    return TrustPolicy(
        logs=tuple(reading.logs),
        witnesses=tuple(reading.witnesses),
        groups=tuple(reading.groups),
        quorum=reading.quorum,
        threshold=reading.threshold,
    )


def parse_logs(text: str) -> tuple[TrustedKey, ...]:
    """The logs that a file names: a whole policy, or `log` lines alone. Raises Invalid naming the line."""
    return tuple(_read(text).logs)


@dataclass(slots=True)
class _Reading:
    logs: list[TrustedKey] = field(default_factory=list)
    witnesses: list[TrustedKey] = field(default_factory=list)
    groups: list[WitnessGroup] = field(default_factory=list)
    quorum: str | None = None
    threshold: int = 1
    threshold_given: bool = False
    named: set[str] = field(default_factory=set)
    grouped: set[str] = field(default_factory=set)
    keys: set[tuple[str, bytes]] = field(default_factory=set)


def _read(text: str) -> _Reading:
    if len(text) > limits.TRUST_FILE_BYTES_MAX:
        raise Invalid(f"a trust policy of {len(text)} characters", f"at most {limits.TRUST_FILE_BYTES_MAX} are read")
    reading = _Reading()
    for number, line in enumerate(text.split("\n"), start=1):
        control = _CONTROL.search(line)
        if control is not None:
            raise Invalid(
                f"line {number}: U+{ord(control[0]):04X}", "lines end in a newline alone; use spaces and tabs"
            )
        words = _BLANK.split(line.strip(" \t"))
        if not words[0] or words[0].startswith("#"):
            continue
        try:
            _reader(words[0])(reading, words[1:])
        except Invalid as error:
            raise Invalid(f"line {number}: {error.message}", error.hint) from None
    return reading


def _reader(word: str) -> Callable[[_Reading, list[str]], None]:
    if word not in _READERS:
        raise Invalid(f"{_shown(word)} begins no line of a policy", f"the lines are {', '.join(_READERS)}")
    return _READERS[word]


def _log(reading: _Reading, words: list[str]) -> None:
    (vkey,), url = _with_url(words, "log <vkey> [<url>]", 1)
    key = checkpoints.parse_vkey(vkey)
    # C2SP refuses one key under two names. A node signs each of its logs, which are other origins, with one key,
    # and the threshold counts the keys of one origin: nothing counts twice.
    _once(reading, f"log {key.name}", key.public)
    _room(reading.logs)
    reading.logs.append(TrustedKey(key.name, vkey, url))


def _witness(reading: _Reading, words: list[str]) -> None:
    (name, vkey), url = _with_url(words, "witness <name> <vkey> [<url>]", 2)
    key = cosignature.parse_witness_vkey(vkey)
    _once(reading, "witness", key.public)
    _room(reading.witnesses)
    _define(reading, name)
    reading.witnesses.append(TrustedKey(name, vkey, url))


def _group(reading: _Reading, words: list[str]) -> None:
    if len(words) < 3:
        raise Invalid(f"a group line of {len(words)} words", "the form is group <name> <any|all|k> <member>...")
    name, rule, *members = words
    for member in members:
        if member not in reading.named:
            raise Invalid(f"{_shown(member)} is not defined above", "define witnesses and groups before naming them")
        if member in reading.grouped:
            raise Invalid(f"{_shown(member)} is a member already", "name each once, or it would count twice")
        reading.grouped.add(member)
    _room(reading.groups)
    _define(reading, name)
    reading.groups.append(WitnessGroup(name, _needed(rule, len(members)), tuple(members)))


def _needed(rule: str, members: int) -> int:
    if rule in {"any", "all"}:
        return 1 if rule == "any" else members
    if _COUNT.fullmatch(rule) is None or int(rule) > members:
        raise Invalid(f"{_shown(rule)} of {members} members", "give any, all, or a number up to that of the members")
    return int(rule)


def _quorum(reading: _Reading, words: list[str]) -> None:
    if len(words) != 1:
        raise Invalid(f"a quorum line of {len(words)} words", "the form is quorum <name>")
    if reading.quorum is not None:
        raise Invalid("a second quorum line", "keep one")
    if words[0] != NOBODY and words[0] not in reading.named:
        raise Invalid(f"{_shown(words[0])} is not defined above", "put the quorum line last")
    reading.quorum = words[0]


def _threshold(reading: _Reading, words: list[str]) -> None:
    if len(words) != 1 or _COUNT.fullmatch(words[0]) is None:
        raise Invalid(f"a threshold of {_shown(' '.join(words))}", "the form is threshold <k>, k at least 1")
    if reading.threshold_given:
        raise Invalid("a second threshold line", "keep one")
    reading.threshold, reading.threshold_given = int(words[0]), True


def _with_url(words: list[str], form: str, needed: int) -> tuple[list[str], str | None]:
    if len(words) not in {needed, needed + 1}:
        raise Invalid(f"{len(words)} words after the first", f"the form is {form}")
    return words[:needed], words[needed] if len(words) > needed else None


def _define(reading: _Reading, name: str) -> None:
    if name == NOBODY:
        raise Invalid(f"the name {NOBODY}", "it stands for no witnesses; give another")
    if name in reading.named:
        raise Invalid(f"{_shown(name)} is defined above", "give each witness and group a name of its own")
    reading.named.add(name)


def _once(reading: _Reading, use: str, public: bytes) -> None:
    if (use, public) in reading.keys:
        raise Invalid("a key that is named above", "name each key once, or it would count twice")
    reading.keys.add((use, public))


def _room(taken: list[TrustedKey] | list[WitnessGroup]) -> None:
    if len(taken) >= limits.TRUST_NAMES_MAX:
        raise Invalid(f"more than {limits.TRUST_NAMES_MAX} of a kind", "split the policy")


def _shown(word: str) -> str:
    return ascii(word)[:80]


_READERS: dict[str, Callable[[_Reading, list[str]], None]] = {
    "log": _log,
    "witness": _witness,
    "group": _group,
    "quorum": _quorum,
    "threshold": _threshold,
}
