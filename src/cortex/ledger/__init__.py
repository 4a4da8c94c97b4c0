"""The transactions log: its Merkle tree, its signed checkpoints and the proofs an outsider can check."""
