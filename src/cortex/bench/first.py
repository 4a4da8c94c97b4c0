"""A process that answers one question and ends.

    python -m cortex.bench.first FILE

It prints how many milliseconds of its time went into loading the model.
"""

import asyncio
import sys
import time
from pathlib import Path

from cortex.bench import stage
from cortex.ops.search import SearchFacts

_QUESTION = "when do we deploy the server"


def main() -> None:
    """Open the file, load the model, search."""
    with stage.meant(Path(sys.argv[1])) as app, asyncio.Runner() as loop:
        started = time.perf_counter()
        loop.run(app.context.meaning.held.query(_QUESTION))
        loaded_ms = (time.perf_counter() - started) * 1e3
        found = loop.run(app.call(SearchFacts(query=_QUESTION, all_projects=True)))
        assert found.mode == "hybrid", f"our own search is hybrid, was {found.mode}: {found.notes}"
        sys.stdout.write(f"{loaded_ms:.3f}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
