"""Turning texts into vectors: what an embedder is, the local model, an HTTP endpoint, and one for tests."""
