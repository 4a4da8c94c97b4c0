"""The command line: generated from the operations, with a few commands of its own (see docs/cli.md)."""
