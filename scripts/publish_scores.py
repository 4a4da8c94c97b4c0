"""Writes the scores that a test holds from the result of a run:

    cortex benchmark --suite retrieval --json > run.json
    python scripts/publish_scores.py run.json

Scores of docstrings of other versions of Python stay as they were published.
"""

import json
import sys
from pathlib import Path

import msgspec

from cortex.bench import published
from cortex.bench.retrieval import RetrievalSets

ROOT = Path(__file__).parent.parent


def main() -> None:
    target = ROOT / "src" / "cortex" / "bench" / "data" / published.FILE
    result = msgspec.json.decode(Path(sys.argv[1]).read_bytes(), type=RetrievalSets)
    if notes := [note for one in result.sets for note in one.notes]:
        sys.exit(f"not all modes were measured: {notes}")
    before = published.read() if target.exists() else {}
    scores = before | {one.data: published.found(one) for one in result.sets}
    target.write_text(json.dumps(scores, indent=1, sort_keys=True) + "\n")


if __name__ == "__main__":
    main()
