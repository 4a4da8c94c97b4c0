"""The local model of this machine, for tests that need meaning. It is looked for before tests change HOME."""

from pathlib import Path

import pytest

from cortex import settings
from cortex.embed import model

MODELS = settings.load().embedder_folder
FOLDER: Path = MODELS / model.VERSION

needs_model = pytest.mark.skipif(
    not model.present(FOLDER), reason=f"the local model is not in {MODELS}: `cortex model pull` gets it"
)
