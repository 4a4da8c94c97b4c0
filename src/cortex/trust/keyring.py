"""The keys that this process has read, ready to sign events."""

from dataclasses import dataclass
from pathlib import Path

from nacl.signing import SigningKey

from cortex.errors import KeyNotValid
from cortex.trust import events, keyfiles
from cortex.trust.events import Custody, Event, Signed
from cortex.trust.keyfiles import AgentKey


@dataclass(frozen=True, slots=True)
class EventSigner:
    """A key that was read, ready to sign; `custody` says who keeps it, `path` where it lies."""

    name: str
    public: str
    custody: Custody
    key: SigningKey
    path: Path | None = None


class Keyring:
    """The keys of agents that were read from files, so that each is read once."""

    def __init__(self, home: Path) -> None:
        self.home = home
        # The file's votes log, once it was seen to have one, and names that are registered in it: both stay.
        self.origin: str | None = None
        self.registered: set[str] = set()
        self._held: dict[tuple[str, str], EventSigner] = {}

    def held(self, name: str) -> EventSigner | None:
        """The key of a registered agent, where it was read before."""
        return self._held.get((self.origin or "", name)) if name in self.registered else None

    def of(self, origin: str, name: str) -> EventSigner | None:
        """The key that this machine holds of an agent: its own before one that the server keeps for it."""
        held = self._held.get((origin, name))
        if held is None:
            found = keyfiles.find(self.home, origin, name)
            if found is None:
                return None
            place = keyfiles.agent_path if found.custody == "agent" else keyfiles.custody_path
            held = signer(found.key, found.custody, place(self.home, origin, name))
            self._held[origin, name] = held
        return held

    def keep(self, origin: str, name: str) -> EventSigner:
        """The key that the server keeps for an agent, made if need be."""
        place = keyfiles.custody_path(self.home, origin, name)
        held = signer(keyfiles.make(place, name, origin), "server", place)
        self._held[origin, name] = held
        return held

    def forget(self) -> None:
        """Read everything anew when next asked for it: a key may have been rotated elsewhere, or the file restored."""
        self.origin = None
        self.registered.clear()
        self._held.clear()


def signer(key: AgentKey, custody: Custody, path: Path | None = None) -> EventSigner:
    """A key ready to sign."""
    signing = SigningKey(key.seed)
    return EventSigner(key.name, bytes(signing.verify_key).hex(), custody, signing, path)


def sign(event: Event, *keys: EventSigner) -> Signed:
    """An event with the signatures of `keys`, in that order. Raises KeyNotValid where others have to sign."""
    if tuple(key.public for key in keys) != events.signers(event):
        raise KeyNotValid(f"an event of kind {events.kind_of(event)} is to be signed by others", "give their keys")
    told = events.message(event)
    return Signed(event, tuple(key.key.sign(told).signature for key in keys))
