"""A witness in a process of its own, which says where it is and goes on until it is stopped.

    witness_child.py STATE LOGS NAME [SETTING=NUMBER...]

The settings are names of `cortex.limits`, made small so that a test reaches them.
"""

import logging
import os
import sys
from pathlib import Path

from cortex import limits
from cortex.errors import CortexError
from cortex.witness.server import serve


def main() -> None:
    """Serve, or say why not."""
    state, logs, name, *settings = sys.argv[1:]
    logging.basicConfig(stream=sys.stderr, format="%(message)s")
    for setting in settings:
        key, _, number = setting.partition("=")
        setattr(limits, key, int(number))
    try:
        serve(Path(state), Path(logs), name=name, ready=lambda told: os.write(1, told.encode() + b"\n"))
    except CortexError as error:
        sys.exit(f"{type(error).__name__}: {error}")


if __name__ == "__main__":
    main()
