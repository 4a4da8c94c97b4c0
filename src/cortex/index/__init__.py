"""Indexes derived from the facts: full text now; each can be rebuilt from the facts alone."""
