"""The ledgers that are attacked."""

from pathlib import Path

import pytest
from attack_kit import build

from cortex.bench import attacks
from cortex.bench.attacking import ledgers
from cortex.bench.attacking.ledgers import BuiltLedger


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Made once; each test attacks a copy."""
    return build(tmp_path_factory.mktemp("built"))


@pytest.fixture(scope="session")
def voted(tmp_path_factory: pytest.TempPathFactory) -> BuiltLedger:
    """A votes ledger, made once; each test attacks a copy."""
    return ledgers.build(tmp_path_factory.mktemp("voted"))


@pytest.fixture(scope="session")
def crowded(tmp_path_factory: pytest.TempPathFactory) -> BuiltLedger:
    """A votes ledger with a complete batch of votes, and stored nodes."""
    return ledgers.build(tmp_path_factory.mktemp("crowded"), crowd_facts=attacks.CROWD_FACTS)
