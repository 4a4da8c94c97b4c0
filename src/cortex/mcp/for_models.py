"""What is said to people and not to models: with which command the admin key vouches, and where that key lies.

Whoever is judged does not vouch for itself; a model that has a shell could run the command that an answer names.
"""

import re
from typing import TypeVar

from msgspec import Struct, structs

from cortex.errors import CortexError
from cortex.ops.views import FactView
from cortex.ops.votes import CountedVote, CountedVotes, FactVotes, ShownVote
from cortex.settings import Settings
from cortex.trust import standing

_V = TypeVar("_V", CountedVote, ShownVote)

# Commands by which a person with the admin key decides.
_COMMANDS = re.compile(r"`cortex (?:agent|admin|resolve|vote-ledger (?:init|policy|confirm-clock|accept))\b")
_LOG = "[0-9a-f]{16}-[0-9a-f]{16}"


def response(found: Struct) -> Struct:
    """A response with what a person can do in the place of the command."""
    match found:
        case CountedVote():
            return _weighed(found)
        case CountedVotes():
            return structs.replace(found, votes=[_weighed(vote) for vote in found.votes])
        case FactVotes() | FactView():
            return structs.replace(found, votes=[_weighed(vote) for vote in found.votes])
        case _:
            return found


def _weighed(vote: _V) -> _V:
    if vote.why_zero is None:
        return vote
    return structs.replace(vote, why_zero=vote.why_zero.replace(standing.VOUCHING, "a person can vouch for it"))


def error(found: CortexError, settings: Settings) -> CortexError:
    """An error without the command and without the path of the admin key."""
    place = re.escape(str(settings.home / "admin")) + rf"[/\\]{_LOG}\.key"
    if settings.admin_key is not None:
        place += f"|{re.escape(str(settings.admin_key))}"
    # What lies beside it, such as an older key, has the same beginning.
    key = re.compile(rf"(?:{place})[.\w]*")
    found.message = key.sub("the file of the admin key", found.message)
    found.hint = key.sub("the file of the admin key", found.hint)
    if _COMMANDS.search(found.hint):
        found.hint = "ask a person: it takes a command that is not for models"
    return found
