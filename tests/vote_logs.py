"""Builds votes logs in memory by the words of trust/DESIGN.md: JSON by the standard library, signatures by PyNaCl.

Nothing here is computed by the verifier that the logs are for, and no rule is applied: whoever casts a vote says what
it weighs, unless it is the weight of a fresh agent.
"""

import base64
import copy
import dataclasses
import hashlib
import hmac
import json
import uuid
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from nacl.signing import SigningKey

ORIGIN = "cortex/votes/0123456789abcdef/fedcba9876543210"
START = datetime(2026, 3, 2, 9, tzinfo=UTC)
POLICY: dict[str, Any] = {
    "cap_e6": 250_000,
    "ceiling_e6": 950_000,
    "contested": 3,
    "floor_e6": 50_000,
    "half_life_days": 180,
    "judge_e6": 2_197_224,
    "prior": {"standard": [3, 1], "trusted": [9, 1], "untrusted": [1, 1]},
    "quorum": 3,
    "resolve": 3,
    "rule": "weighted",
    "settle_s": 86_400,
    "threshold_e6": 2_944_439,
}
# ln(3) and ln(9) in millionths; Beta(1, 1) less one deviation is .2113, whose odds are below 1.
FRESH = {"standard": 1_098_612, "trusted": 2_197_224, "untrusted": 0}

Row = dict[str, Any]


def key_of(name: str) -> SigningKey:
    return SigningKey(hashlib.sha256(name.encode()).digest())


def public(key: SigningKey) -> str:
    return bytes(key.verify_key).hex()


def canonical(value: Any) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def leaf_hash(line: bytes) -> bytes:
    return hashlib.sha256(b"\0" + line).digest()


def tree_root(hashes: list[bytes]) -> bytes:
    """RFC 9162, 2.1.1, as it is written."""
    if len(hashes) < 2:
        return hashes[0] if hashes else hashlib.sha256().digest()
    split = 1 << (len(hashes) - 1).bit_length() - 1
    return hashlib.sha256(b"\1" + tree_root(hashes[:split]) + tree_root(hashes[split:])).digest()


def tree_path(index: int, hashes: list[bytes]) -> list[bytes]:
    """RFC 9162, 2.1.3.1."""
    if len(hashes) == 1:
        return []
    split = 1 << (len(hashes) - 1).bit_length() - 1
    if index < split:
        return [*tree_path(index, hashes[:split]), tree_root(hashes[split:])]
    return [*tree_path(index - split, hashes[split:]), tree_root(hashes[:split])]


def base64_of(raw: bytes) -> str:
    return base64.b64encode(raw).decode()


def vkey(key: SigningKey, name: str = ORIGIN, algorithm: int = 1) -> str:
    raw = bytes([algorithm]) + bytes(key.verify_key)
    return f"{name}+{key_id(key, name, algorithm).hex()}+{base64_of(raw)}"


def key_id(key: SigningKey, name: str, algorithm: int) -> bytes:
    return hashlib.sha256(name.encode() + b"\n" + bytes([algorithm]) + bytes(key.verify_key)).digest()[:4]


def sign_note(text: str, key: SigningKey, name: str = ORIGIN) -> str:
    return f"{text}\n— {name} {base64_of(key_id(key, name, 1) + key.sign(text.encode()).signature)}\n"


def cosign(note: str, key: SigningKey, name: str, seconds: int = 1_772_000_000) -> str:
    """The note with the line of a witness (C2SP tlog-cosignature)."""
    told = f"cosignature/v1\ntime {seconds}\n{note.partition(chr(10) * 2)[0]}\n".encode()
    raw = key_id(key, name, 4) + seconds.to_bytes(8, "big") + key.sign(told).signature
    return f"{note}— {name} {base64_of(raw)}\n"


def fact(number: int) -> str:
    return str(uuid.UUID(int=number + (7 << 76) + (8 << 60)))


def digest(number: int) -> str:
    return hashlib.sha256(b"text %d" % number).hexdigest()


def reason_digest(salt: bytes, reason: str) -> str:
    return hmac.new(salt, b"cortex-reason/v1\n" + reason.encode(), "sha256").hexdigest()


@dataclasses.dataclass
class VotesLog:
    """A votes log, to be changed and written. Keys are known by names; `log` is the key that signs checkpoints."""

    rows: list[Row] = dataclasses.field(default_factory=list)
    notes: list[str] = dataclasses.field(default_factory=list)
    at: datetime = START
    admin: str = "admin"
    keys: dict[str, str] = dataclasses.field(default_factory=dict)
    levels: dict[str, str] = dataclasses.field(default_factory=dict)
    log: str = "log"
    origin: str = ORIGIN

    # Leaves.

    def wait(self, **units: float) -> "VotesLog":
        self.at += timedelta(**units)
        return self

    @property
    def ts(self) -> str:
        return self.at.isoformat(timespec="microseconds").replace("+00:00", "Z")

    def put(self, kind: str, signers: list[str], weight: int | None = None, **members: Any) -> Row:
        """Append a leaf whose event is signed by keys of these names."""
        event = {"at": self.ts, "id": fact(10**6 + len(self.rows)), "log": self.origin, "v": 1, **members}
        row = {
            "event": event,
            "idx": len(self.rows),
            "kind": kind,
            "prev": "",
            "sigs": sign(kind, event, signers),
            "ts": self.ts,
            "v": 1,
            "weight_e6": weight,
        }
        self.rows.append(row)
        self.link(len(self.rows) - 1)
        return row

    def genesis(self, **policy: Any) -> "VotesLog":
        told = {**POLICY, **policy}
        self.put("genesis", [self.admin], key=public(key_of(self.admin)), policy=told, vkey=self.vkey)
        return self

    def agent(self, name: str, trust: str = "standard", **members: Any) -> Row:
        self.keys[name], self.levels[name] = name, trust
        admin = None if trust == "untrusted" else public(key_of(self.admin))
        told = {"admin": admin, "agent": name, "custody": "agent", "projects": ["*"], "trust": trust}
        signers = [name, *([self.admin] if admin else [])]
        return self.put("agent", signers, **{**told, "key": public(key_of(name)), **members})

    def agents(self, count: int, trust: str = "standard", prefix: str = "a") -> list[str]:
        names = [f"{prefix}{number}" for number in range(count)]
        for name in names:
            self.agent(name, trust)
        return names

    def vote(self, name: str, number: int = 1, vote: int = 1, weight: int | None = None, **members: Any) -> Row:
        told = {"agent": name, "author": "someone", "fact": fact(number), "fact_digest": digest(number)}
        told |= {"key": public(key_of(self.keys[name])), "reason_digest": None, "vote": vote}
        weight = FRESH[self.levels[name]] if weight is None else weight
        return self.put("vote", [self.keys[name]], weight, **{**told, **members})

    def change_key(self, op: str, name: str, new: str = "", by: str = "") -> Row:
        """`new` is the key that comes in; `by` the name of the key that says so, unless it is the agent's own."""
        by = by or (self.admin if op == "revoke" else self.keys[name])
        key = key_of(self.keys[name] if op == "revoke" else new)
        told: Row = {"agent": name, "by": public(key_of(by)), "key": public(key), "op": op}
        told |= {"custody": None, "projects": None} if op == "revoke" else {"custody": "server", "projects": ["*"]}
        self.keys[name] = new or self.keys[name]
        return self.put("key", [by] if op == "revoke" else [by, new], **told)

    def by_admin(self, kind: str, **members: Any) -> Row:
        return self.put(kind, [self.admin], **{"key": public(key_of(self.admin)), **members})

    def trust(self, name: str, level: str) -> Row:
        self.levels[name] = level
        return self.by_admin("trust", agent=name, trust=level)

    def policy(self, **changes: Any) -> Row:
        return self.by_admin("policy", policy={**POLICY, **changes})

    def resolve(self, truth: int, number: int = 1, **members: Any) -> Row:
        told = {"fact": fact(number), "fact_digest": digest(number), "reason_digest": None, "truth": truth}
        return self.by_admin("resolve", **{**told, **members})

    def rotate_admin(self, new: str) -> Row:
        row = self.put("admin", [self.admin, new], key=public(key_of(self.admin)), new=public(key_of(new)))
        self.admin = new
        return row

    def restored(self, log: str, **members: Any) -> Row:
        self.log = log
        told = {"root": tree_root(self.hashes).hex(), "size": len(self.rows), "vkey": self.vkey}
        return self.by_admin("restored", **{**told, **members})

    # What holds leaves together.

    @property
    def lines(self) -> list[bytes]:
        return [canonical(row) for row in self.rows]

    @property
    def hashes(self) -> list[bytes]:
        return [leaf_hash(line) for line in self.lines]

    @property
    def vkey(self) -> str:
        return vkey(key_of(self.log), self.origin)

    def link(self, start: int = 0) -> "VotesLog":
        """Recompute the links from leaf `start` on."""
        for at in range(start, len(self.rows)):
            before = leaf_hash(canonical(self.rows[at - 1])) if at else hashlib.sha256(self.origin.encode()).digest()
            self.rows[at]["prev"] = before.hex()
        return self

    def note(self, size: int | None = None, log: str = "") -> str:
        """A signed checkpoint of so many leaves."""
        size = len(self.rows) if size is None else size
        text = f"{self.origin}\n{size}\n{base64_of(tree_root(self.hashes[:size]))}\n"
        return sign_note(text, key_of(log or self.log), self.origin)

    def seal(self, *sizes: int) -> "VotesLog":
        """Checkpoints of these sizes, or of all leaves, in the place of what there was."""
        self.notes = [self.note(size) for size in sizes or (len(self.rows),)]
        return self

    def copy(self) -> "VotesLog":
        return copy.deepcopy(self)

    # What goes out.

    def directory(self, path: Path) -> Path:
        path.mkdir()
        (path / "leaves.jsonl").write_bytes(b"".join(line + b"\n" for line in self.lines))
        (path / "checkpoints.jsonl").write_text("".join(json.dumps({"note": note}) + "\n" for note in self.notes))
        return path

    def document(self, **changes: Any) -> str:
        told = {"format": "cortex-ledger/v1", "log": "votes", "leaves": [line.decode() for line in self.lines]}
        return json.dumps({**told, "checkpoints": self.notes, **changes})

    def proof(self, index: int, size: int | None = None) -> str:
        """A tlog-proof (C2SP) of a leaf under a checkpoint."""
        size = len(self.rows) if size is None else size
        path = "".join(f"{base64_of(part)}\n" for part in tree_path(index, self.hashes[:size]))
        return f"c2sp.org/tlog-proof@v1\nindex {index}\n{path}\n{self.note(size)}"

    def promise(self, index: int, log: str = "") -> str:
        text = f"cortex-promise/v1\n{self.origin}\n{index}\n{base64_of(self.hashes[index])}\n"
        return sign_note(text, key_of(log or self.log), self.origin)

    def receipt(self, index: int, **parts: Any) -> str:
        """A line of an agent's receipts, with the promise and the proof that are given."""
        row = self.rows[index]
        told = {"ballot": row["event"], "sig": row["sigs"][0], "idx": index, "leaf": self.lines[index].decode()}
        return json.dumps({**told, "promise": None, "proof": None, **parts}) + "\n"


def sign(kind: str, event: Row, signers: list[str]) -> list[str]:
    prefix = "cortex-ballot/v1\n" if kind == "vote" else f"cortex-event/v1\n{kind}\n"
    told = prefix.encode() + canonical(event)
    return [key_of(name).sign(told).signature.hex() for name in signers]
