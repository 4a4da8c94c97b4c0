"""Trust files: which logs a witness knows. The lines that are for verifiers (C2SP tlog-policy) are passed over.

`verify.py` reads all of them; what `cortex vote-ledger checkpoint` prints for them is read here too.
"""

import re
from dataclasses import dataclass

from cortex import limits
from cortex.errors import Invalid
from cortex.ledger import checkpoint as checkpoints

_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f]")
_BLANK = re.compile("[ \t]+")
_OTHER_LINES = ("genesis", "witness", "group", "quorum", "threshold")


@dataclass(frozen=True, slots=True)
class TrustedKey:
    """A key of a log that is believed, by the log's origin."""

    name: str
    vkey: str


def parse_logs(text: str) -> tuple[TrustedKey, ...]:
    """The logs that a trust file names; its other lines are passed over. Raises Invalid naming the line."""
    if len(text) > limits.TRUST_FILE_BYTES_MAX:
        raise Invalid(f"a trust file of {len(text)} characters", f"at most {limits.TRUST_FILE_BYTES_MAX} are read")
    logs: list[TrustedKey] = []
    known: set[tuple[str, bytes]] = set()
    for number, line in enumerate(text.split("\n"), start=1):
        try:
            words = _words(line)
            if words and words[0] == "log":
                logs.append(_log(words[1:], known))
            elif words and words[0] not in _OTHER_LINES:
                lines = ", ".join(("log", *_OTHER_LINES))
                raise Invalid(f"{ascii(words[0])[:80]} begins no line of a trust file", f"the lines are {lines}")
        except Invalid as error:
            raise Invalid(f"line {number}: {error.message}", error.hint) from None
    return tuple(logs)


def _words(line: str) -> list[str]:
    """The words of a line; none of a blank line and of a comment."""
    control = _CONTROL.search(line)
    if control is not None:
        raise Invalid(f"U+{ord(control[0]):04X}", "lines end in a newline alone; use spaces and tabs")
    stripped = line.strip(" \t")
    return [] if not stripped or stripped.startswith("#") else _BLANK.split(stripped)


def _log(words: list[str], known: set[tuple[str, bytes]]) -> TrustedKey:
    if len(words) not in {1, 2}:
        raise Invalid(f"{len(words)} words after the first", "the form is log <vkey> [<url>]")
    key = checkpoints.parse_vkey(words[0])
    # A node signs each of its logs, which are other origins, with one key.
    if (key.name, key.public) in known:
        raise Invalid("a key that is named above", "name each key once")
    if len(known) >= limits.TRUST_NAMES_MAX:
        raise Invalid(f"more than {limits.TRUST_NAMES_MAX} logs", "split the file")
    known.add((key.name, key.public))
    return TrustedKey(key.name, words[0])
