"""A replay gives the same to the byte: twice here, and on every version of Python that runs this test."""

import hashlib
import random
from pathlib import Path

from vote_kit import VoteLog

from cortex.ledger.checkpoint import encode_base64
from cortex.trust import replay
from cortex.trust.policy import LINEAR, WEIGHTED

SEED = 20_261_121
EVENTS = 1_500
# SHA-256 of the dump of all consensus tables, leaves included.
EXPECTED = "8fffb8ab969384e136ffcf96aca003ad96b6aa8bb5a7f6c4475139a6b8b7789b"


def _busy_log(folder: Path) -> VoteLog:
    """Half a year of votes by agents of all levels, with everything else that a log can hold."""
    folder.mkdir()
    (folder / "node.key").write_text(f"cortex-node-key/v1 {encode_base64(b'n' * 32)}\n")
    (folder / "node.key").chmod(0o600)
    chance, log = random.Random(SEED), VoteLog(folder)
    names = [*log.agents(5), *log.agents(2, "trusted", "t"), *log.agents(4, "untrusted", "u")]
    for number in range(EVENTS):
        log.wait(minutes=chance.randrange(360))
        name, fact = chance.choice(names), chance.randrange(60)
        log.vote(name, fact, chance.choice((1, 1, 1, 1, -1, 0)), author=chance.choice(names))
        if number % 97 == 50:
            log.resolve(fact, chance.choice((-1, 0, 1)))
        if number % 211 == 100:
            log.rotate(name, number)
        if number % 301 == 200:
            log.trust(name, chance.choice(("untrusted", "standard", "trusted")))
    log.policy(LINEAR)
    log.vote(names[0], 1)
    log.rotate_admin()
    log.policy(WEIGHTED)
    log.restored()
    log.trust(names[1], "revoked")
    return log


def test_a_replay_gives_the_same_to_the_byte_everywhere(tmp_path: Path) -> None:
    log = _busy_log(tmp_path / "log")

    held = replay.dump(log.tx)
    again = replay.dump(replay.replay(replay.leaves(log.tx, log.origin)))

    assert held == again
    assert EXPECTED == hashlib.sha256(held).hexdigest()
