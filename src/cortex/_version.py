"""The version, alone in a file so that `cortex --version` and the build read it without importing the rest."""

__version__ = "0.1.0"
