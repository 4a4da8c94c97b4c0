"""Finding by meaning: the embedder while it is open, and the work that follows each commit."""
