"""The entry point of `cortex`, `cortex-memory` and `python -m cortex`."""

import sys

from cortex._version import __version__


def main() -> int:
    """Run the command line of this process and return its exit code."""
    try:
        if sys.argv[1:] == ["--version"]:
            # Answered before anything is imported: scripts and editors ask this often.
            print(f"cortex {__version__}", flush=True)
            return 0
        from cortex.cli.main import main as run

        return run(sys.argv[1:])
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        from cortex.cli.terminal import abandon

        abandon()
        return 141


if __name__ == "__main__":
    sys.exit(main())
