"""The ledger that is attacked."""

from pathlib import Path

import pytest
from attack_kit import build


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Made once; each test attacks a copy."""
    return build(tmp_path_factory.mktemp("built"))
