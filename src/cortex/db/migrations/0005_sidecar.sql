-- Graphs over sign bits in files beside the database (index/sidecar.py): what each of them must be to be used.

-- Grows whenever facts are forgotten: what was made from the vectors before may hold something of them.
ALTER TABLE vector_epoch ADD COLUMN forgotten INTEGER NOT NULL DEFAULT 0;

-- Void unless epoch and forgotten are still those of vector_epoch. `identity` is of the very file that was made, so that
-- no other is ever handed to a library that trusts what it reads: not a copy, not one that came with the database.
CREATE TABLE vector_sidecar (
    kind        INTEGER PRIMARY KEY,
    embedder_id INTEGER NOT NULL,
    epoch       BLOB NOT NULL,
    forgotten   INTEGER NOT NULL,
    last_id     INTEGER NOT NULL,
    vectors     INTEGER NOT NULL,
    digest      BLOB NOT NULL,
    identity    TEXT NOT NULL
) STRICT;
