"""Agents and their keys, votes, reputation, and the ledger that all of it is computed from. See DESIGN.md."""
